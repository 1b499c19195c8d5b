"""In which unit the changes of an explain study are written, and with how many digits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.estimate import Estimate
from counterpoint.report.verdict import LEVEL
from counterpoint.report.wording import NO_BREAK, decimals_for, number, signed

if TYPE_CHECKING:
    from counterpoint.study.explain.correlation import RankCorrelation
    from counterpoint.study.explain.results import ExplainResults

# Metrics between 0 and 1 whose differences people call points.
_SHARES = ("accuracy", "auroc", "auc", "auprc", "f1", "precision", "recall", "specificity", "iou", "jaccard", "dice")
# Differences of losses and metrics below this are rounding, not training: they count as zero.
_ROUNDING = 1e-9
# The base-2 logarithm of what a float cannot hold; intervals of two seeds are wide.
_TOO_LARGE = 1024.0


@dataclass(frozen=True)
class Unit:
    """How values and changes of a quantity are written.

    Attributes:
        scale: What they are multiplied by.
        name: What stands behind them.
        decimals: As many as people expect; 0 for as many as the value needs.
    """

    scale: float = 1.0
    name: str = ""
    decimals: int = 0

    @property
    def suffix(self) -> str:
        """The name with the space before it."""
        return f"{NO_BREAK}{self.name}" if self.name else ""


PLAIN = Unit()
POINTS = Unit(100.0, "points", 1)


def metric_unit(results: ExplainResults) -> Unit:
    """Points where every test metric is a share such as accuracy, else plain numbers: one unit for the whole page.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.results import POINTS as COLUMNS, ExplainResults
        >>> def study(metric, value):
        ...     points = pd.DataFrame([("single", 0, "a", 0, "test_metric", value)], columns=COLUMNS)
        ...     about = {"tasks": {"a": {"metric": metric, "direction": "maximize"}}}
        ...     return ExplainResults(points, pd.DataFrame(), about)
        >>> [metric_unit(study(*given)).name for given in (("AUROC", 0.8), ("AUROC", 80.0), ("R2", 0.8))]
        ['points', '', '']
    """
    named = all(any(share in str(facts["metric"]).lower() for share in _SHARES) for facts in results.tasks.values())
    values = results.points.loc[results.points["quantity"] == "test_metric", "value"]
    return POINTS if named and values.dropna().between(0, 1).all() else PLAIN


def common_metric(results: ExplainResults) -> str:
    """The name of the metric that all tasks have, or nothing where they differ: then a mean has no meaning.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> tasks = {"a": {"metric": "R2", "direction": "maximize"}, "b": {"metric": "MAE", "direction": "minimize"}}
        >>> common_metric(ExplainResults(pd.DataFrame(), pd.DataFrame(), {"tasks": tasks}))
        ''
    """
    kinds = {(str(facts["metric"]), str(facts["direction"])) for facts in results.tasks.values()}
    return next(iter(kinds))[0] if len(kinds) == 1 else ""


def side(estimate: Estimate) -> int:
    """1 or -1 where the 95 % interval lies above or below zero, else 0: then no difference was found.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> side(Estimate.of([1.0, 1.1])), side(Estimate.of([1.0, -1.1])), side(Estimate.of([-1.0, -1.0]))
        (1, 0, -1)
    """
    if not math.isfinite(estimate.mean) or max(abs(estimate.low), abs(estimate.high)) < _ROUNDING:
        return 0
    return (estimate.low > 0) - (estimate.high < 0)


def amount(estimate: Estimate, unit: Unit = PLAIN, *, nested: bool = False) -> str:
    r"""How large a change is without its direction, which the sentence says, and its interval.

    Args:
        estimate: The change; its interval excludes zero.
        unit: In which to say it.
        nested: Whether it will stand in parentheses.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> amount(Estimate(-0.0123, -0.02, -0.004, 0.0, 3), POINTS).replace("\N{NO-BREAK SPACE}", " ")
        '1.2 points (95 % interval 0.4 to 2.0)'
    """
    near, middle, far = sorted(unit.scale * abs(value) for value in (estimate.low, estimate.mean, estimate.high))
    digits = decimals(estimate, unit)
    ends = f"{LEVEL} {number(near, digits)} to {number(far, digits)}"
    return f"{number(middle, digits)}{unit.suffix}" + (f", {ends}" if nested else f" ({ends})")


def change(estimate: Estimate | RankCorrelation, unit: Unit = PLAIN) -> str:
    r"""A change with its sign and its interval, to stand in parentheses.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> change(Estimate(0.001, -0.02, 0.022, 0.0, 3)).replace("\N{NO-BREAK SPACE}", " ").replace("\u2212", "-")
        '+0.001, 95 % interval -0.020 to +0.022'
    """
    mean, ends = change_parts(estimate, unit)
    return f"{mean}{unit.suffix}, {LEVEL} {ends}"


def change_parts(estimate: Estimate | RankCorrelation, unit: Unit = PLAIN) -> tuple[str, str]:
    """The signed change and its signed interval, with the same digits.

    Example:
        >>> change_parts(Estimate(0.25, 0.125, 0.375, 0.0, 3), POINTS)
        ('+25.0', '+12.5 to +37.5')
    """
    middle = estimate.mean if isinstance(estimate, Estimate) else estimate.value
    values = [unit.scale * value for value in (middle, estimate.low, estimate.high)]
    digits = decimals(estimate, unit)
    mean, low, high = (signed(value, digits) for value in values)
    return mean, f"{low} to {high}"


def ratio(estimate: Estimate, *, nested: bool = False) -> str:
    r"""A change of base-2 logarithms as a ratio with its interval.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> ratio(Estimate(1.0, 0.5, 1.5, 0.0, 3)).replace("\N{NO-BREAK SPACE}", " ")
        '2.0 times as high (95 % interval 1.4 to 2.8)'
    """
    mean, ends = ratio_parts(estimate)
    return f"{mean} times as high" + (f", {LEVEL} {ends}" if nested else f" ({LEVEL} {ends})")


def ratio_parts(estimate: Estimate) -> tuple[str, str]:
    """The ratio and its interval, with the same digits; an end that is not 1 does not read as 1.

    Example:
        >>> ratio_parts(Estimate(1.0, 0.01, 1.99, 0.0, 3))
        ('2.00', '1.01 to 3.97')
    """
    values = [math.inf if value >= _TOO_LARGE else 2.0**value for value in (estimate.mean, estimate.low, estimate.high)]
    start = decimals_for([min(values)], 2)
    ends = values[1:]
    digits = next((d for d in range(start, start + 4) if all(abs(end - 1) >= 0.5 * 10**-d for end in ends)), start)
    mean, low, high = (number(value, digits) for value in values)
    return mean, f"{low} to {high}"


def decimals(estimate: Estimate | RankCorrelation, unit: Unit = PLAIN) -> int:
    """Decimals that show two digits of the far end, and more where the near end is not zero but would read so.

    Example:
        >>> digits = [decimals(Estimate(1.2, low, 2.0, 0.0, 3)) for low in (0.4, 0.004, -0.004)]
        >>> digits, decimals(Estimate(120.0, 110.0, 130.0, 0.0, 3)), decimals(Estimate(0.2, 0.1, 0.3, 0.0, 3), POINTS)
        ([1, 3, 1], 0, 1)
    """
    near, far = sorted(abs(unit.scale * end) for end in (estimate.low, estimate.high))
    fixed = unit.decimals if far >= 10**-unit.decimals else 0
    start = fixed or decimals_for([far], 2)
    if not estimate.excludes_zero or far < _ROUNDING:
        return start
    return next((digits for digits in range(start, start + 4) if near >= 0.5 * 10**-digits), start)

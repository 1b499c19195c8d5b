r"""What to use: chosen on validation rows, confirmed on test rows that never took part in choosing. Imports no torch.

Methods are compared by :math:`\Delta_m` against each task alone, in percent, paired by seed. Of the methods that the
rules allow, the one with the best mean on validation rows leads. Among those whose mean difference from it is within
one standard error of that paired difference the cheapest to serve is chosen (the one-standard-error rule: Breiman et
al., Classification and Regression Trees, 1984, Section 3.4.3). What is said about it then is said from test rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from counterpoint.estimate import Estimate
from counterpoint.study.summary import BASELINE, delta_m, task_delta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from counterpoint.study.methods import Method

Verdict = Literal["share", "separate", "no difference", "undecided"]


@dataclass(frozen=True)
class Cost:
    """What a method takes to serve and to train, means over seeds.

    Attributes:
        networks: Networks to serve.
        parameters: Of all networks.
        multiply_adds: Of all networks, for one row.
        seconds: Training of its networks for one seed.
        search_seconds: Trainings for one seed that led to it and are not of its own networks.
    """

    networks: int
    parameters: float
    multiply_adds: float
    seconds: float
    search_seconds: float = 0.0


@dataclass(frozen=True)
class Contrast:
    """A paired difference between two methods over the seeds that both have, in percent; positive: the first is better.

    Attributes:
        method: The first.
        against: The second.
        validation: Relative change of the tasks' metrics, mean over tasks, on validation rows.
        test: The same on test rows.
        tasks: The same for each task on test rows.
    """

    method: str
    against: str
    validation: Estimate
    test: Estimate
    tasks: dict[str, Estimate]


@dataclass(frozen=True)
class Decision:
    """What to use, and how sure that is.

    Attributes:
        chosen: Key of the method to use.
        leader: Key of the best method on validation rows among those allowed; the chosen one may be cheaper.
        verdict: ``"share"``: the chosen method shares and is better than each task alone, on test rows, with an
            interval that excludes zero. ``"separate"``: sharing is worse in the same sense. ``"no difference"``: the
            interval holds zero. ``"undecided"``: fewer than two seeds, nothing to compare with, or each task alone
            was chosen on validation rows and is worse on test rows.
        contrasts: Every other method against each task alone, the chosen one also against every method.
        costs: By method.
        ruled_out: Why a method may not be chosen, by method.
    """

    chosen: str
    leader: str
    verdict: Verdict
    contrasts: tuple[Contrast, ...] = ()
    costs: dict[str, Cost] = field(default_factory=dict)
    ruled_out: dict[str, str] = field(default_factory=dict)

    def contrast(self, method: str, against: str) -> Contrast | None:
        """The difference between two methods, if it is known."""
        return next((c for c in self.contrasts if (c.method, c.against) == (method, against)), None)

    @property
    def sharing(self) -> str | None:
        """The method whose difference from each task alone the verdict speaks of."""
        return next((c.method for c in self.contrasts if c.against == BASELINE), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinite ends of intervals are ``None``."""
        values = asdict(self)
        for contrast in values["contrasts"]:
            for estimate in (contrast["validation"], contrast["test"], *contrast["tasks"].values()):
                estimate |= {name: None if not math.isfinite(end) else end for name, end in estimate.items()}
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Decision:
        """What :meth:`to_json` made."""
        contrasts = tuple(
            Contrast(
                each["method"],
                each["against"],
                _estimate(each["validation"]),
                _estimate(each["test"]),
                {task: _estimate(estimate) for task, estimate in each["tasks"].items()},
            )
            for each in values["contrasts"]
        )
        costs = {key: Cost(**cost) for key, cost in values["costs"].items()}
        return cls(**{**values, "contrasts": contrasts, "costs": costs})


def decide(
    methods: Sequence[Method],
    validation: pd.DataFrame,
    test: pd.DataFrame,
    costs: Mapping[str, Cost],
    *,
    networks: int | None = None,
) -> Decision:
    """Chooses on validation rows and confirms on test rows.

    Args:
        methods: What to choose from; ``"single"`` is the reference.
        validation: ``StudyResults.scores("validation")``.
        test: ``StudyResults.scores("test")``.
        costs: By method.
        networks: The most networks to serve.

    Raises:
        ValueError: if no method is allowed.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.methods import Method
        >>> columns = ["method", "seed", "task", "direction", "value"]
        >>> rows = [(key, seed, task, "maximize", 0.8 + gain + 0.001 * seed)
        ...         for key, gain in (("single", 0.0), ("uniform", 0.05)) for seed in range(3) for task in "ab"]
        >>> scores = pd.DataFrame(rows, columns=columns)
        >>> methods = [Method.alone("ab"), Method.of_all("uniform", ("a", "b"))]
        >>> costs = {"single": Cost(2, 10, 10, 1.0), "uniform": Cost(1, 6, 6, 1.0)}
        >>> decision = decide(methods, scores, scores, costs)
        >>> decision.chosen, decision.verdict
        ('uniform', 'share')
    """
    ruled_out = {
        method.key: f"needs {len(method.networks)} networks, {networks} allowed"
        for method in methods
        if networks is not None and len(method.networks) > networks
    }
    changes = {method.key: _changes(validation, method.key) for method in methods}
    seeds = max((len(changes[method.key]) for method in methods if method.key not in ruled_out), default=0)
    for method in methods:
        # A method that the budget stopped after fewer seeds was stopped because it did worse. What may not be chosen
        # sets no measure: where a run of each method crashed, the best of them is still to be had.
        if method.key not in ruled_out and len(changes[method.key]) < seeds:
            ruled_out[method.key] = f"has {len(changes[method.key])} of {seeds} seeds"
    allowed = [method for method in methods if method.key not in ruled_out]
    if not allowed:
        raise ValueError(f"no method serves all tasks with at most {networks} networks; allow more")
    leader = max(allowed, key=lambda method: _mean(changes[method.key])).key
    tied = [method for method in allowed if _within_one_error(changes[method.key], changes[leader])]
    order = {method.key: place for place, method in enumerate(methods)}
    chosen = min(tied, key=lambda method: (*_price(costs[method.key]), order[method.key]))
    contrasts = _contrasts(methods, chosen, leader, validation, test)
    return Decision(chosen.key, leader, _verdict(chosen, contrasts), tuple(contrasts), dict(costs), ruled_out)


def _changes(scores: pd.DataFrame, method: str) -> dict[int, float]:
    if method == BASELINE:
        return {int(seed): 0.0 for seed in scores.loc[scores["method"] == BASELINE, "seed"].unique()}
    return delta_m(scores, method)


def _mean(by_seed: Mapping[int, float]) -> float:
    mean = float(np.mean(list(by_seed.values()))) if by_seed else math.nan
    return mean if math.isfinite(mean) else -math.inf


def _within_one_error(method: Mapping[int, float], leader: Mapping[int, float]) -> bool:
    differences = [method[seed] - leader[seed] for seed in leader if seed in method]
    if not differences or not np.isfinite(differences).all():
        return method is leader
    estimate = Estimate.of(differences)
    return estimate.mean >= -estimate.spread / math.sqrt(estimate.seeds)


def _price(cost: Cost) -> tuple[float, ...]:
    return cost.networks, cost.multiply_adds, cost.search_seconds > 0, cost.parameters


def _contrasts(
    methods: Sequence[Method], chosen: Method, leader: str, validation: pd.DataFrame, test: pd.DataFrame
) -> list[Contrast]:
    """The one that the verdict speaks of comes first."""
    keys = [method.key for method in methods]
    sharing = [method.key for method in methods if method.key != BASELINE]
    first = chosen.key
    if first == BASELINE and sharing:
        first = leader if leader != BASELINE else max(sharing, key=lambda key: _mean(delta_m(validation, key)))
    pairs = [(key, BASELINE) for key in sorted(sharing, key=lambda key: key != first) if BASELINE in keys]
    pairs += [(chosen.key, key) for key in keys if key not in {chosen.key, BASELINE} and chosen.key != BASELINE]
    made = (_contrast(method, against, validation, test) for method, against in pairs)
    return [contrast for contrast in made if contrast is not None]


def _contrast(method: str, against: str, validation: pd.DataFrame, test: pd.DataFrame) -> Contrast | None:
    on_validation, on_test = (list(delta_m(scores, method, against).values()) for scores in (validation, test))
    if not on_validation or not on_test:
        return None
    tasks = {
        task: Estimate.of(list(task_delta(test, method, task, against).values()))
        for task in dict.fromkeys(test["task"])
    }
    return Contrast(method, against, Estimate.of(on_validation), Estimate.of(on_test), tasks)


def _verdict(chosen: Method, contrasts: Sequence[Contrast]) -> Verdict:
    judged = next((c for c in contrasts if c.against == BASELINE), None)
    if judged is None or judged.test.seeds < 2 or not math.isfinite(judged.test.mean):
        return "undecided"
    if not judged.test.excludes_zero:
        return "no difference"
    if judged.test.mean < 0:
        return "separate"
    # Validation rows may have said otherwise: what was chosen on them is not taken back because of test rows.
    return "share" if chosen.shares else "undecided"


def _estimate(values: dict[str, Any]) -> Estimate:
    ends = {"mean": math.nan, "low": -math.inf, "high": math.inf, "spread": math.nan}
    known = {name: ends[name] if value is None else value for name, value in values.items()}
    return Estimate(known["mean"], known["low"], known["high"], known["spread"], int(known["seeds"]))

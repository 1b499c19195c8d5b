"""What each method of a grouping study amounts to: one row a method, with random draws taken together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.estimate import Estimate
from counterpoint.report.methods import Method
from counterpoint.study.group_results import FAMILIES
from counterpoint.study.summary import BASELINE, delta_m

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from counterpoint.study.group_results import Candidate, GroupResults

TOGETHER, TAG = "together", "tag"

# As in methods.py; the two references look there as they look here.
_LOOKS = {
    BASELINE: ("#5f6368", "dot"),
    TOGETHER: ("#0072b2", "dash"),
    TAG: ("#c84e00", "solid"),
    "cs": ("#007a5a", "dashdot"),
    "hoa": ("#a6478a", "longdash"),
    "random": ("#9a6b00", "dash"),
    "optimal": ("#4b3d8f", "longdashdot"),
}


@dataclass(frozen=True)
class Draw:
    """One random grouping: means over seeds; a change is NaN where it is undefined."""

    delta: float
    reduction: float
    seconds: float


@dataclass(frozen=True)
class GroupMethod:
    """One method: a family and a number of networks.

    Attributes:
        family: What proposed the groupings: a key of ``FAMILIES``.
        size: How many networks it was allowed.
        keys: Its keys in ``GroupResults.scores``: one, or one a draw.
        networks: The fewest and the most networks that it used.
        metric: Mean test metric over tasks; None where tasks have different metrics.
        loss: Mean test loss over tasks.
        delta: Delta-m of the test metric against each task alone, percent, positive is better; None if undefined.
        reduction: By how much test losses are lower than alone, mean over tasks, percent; None if undefined.
        validation: The same of validation losses.
        seconds: Training time of all networks of one seed, and of the search.
        search: The search's part of it.
        parameters: The fewest and the most parameters of all networks of one seed.
        draws: Random draws one by one; empty for other families.
        follows_rules: Whether the study's rules allow it.
    """

    family: str
    size: int
    keys: tuple[str, ...]
    networks: tuple[int, int]
    metric: Estimate | None
    loss: Estimate
    delta: Estimate | None
    reduction: Estimate | None
    validation: Estimate | None
    seconds: Estimate
    search: float
    parameters: tuple[int, int]
    draws: tuple[Draw, ...] = ()
    follows_rules: bool = True

    @property
    def label(self) -> str:
        """The method's name for people."""
        fixed = self.family in {BASELINE, TOGETHER}
        return FAMILIES[self.family] + ("" if fixed else f", {self.size}")

    @property
    def looks(self) -> Method:
        """How it is drawn: one colour and line a family."""
        return looks(self.family, self.label)


def looks(family: str, label: str = "") -> Method:
    """How a family is drawn.

    Example:
        >>> looks("tag").label, looks("tag").color
        ('Task affinity (TAG)', '#c84e00')
    """
    return Method(family, label or FAMILIES[family], *_LOOKS[family])


def as_loss(scores: pd.DataFrame, column: str = "loss") -> pd.DataFrame:
    """The scores with a loss in place of the metric, so that ``delta_m`` tells by how much it is lower.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", 0, "a", "maximize", 0.9, 2.0), ("tag-2", 0, "a", "maximize", 0.9, 1.0)]
        >>> scores = pd.DataFrame(rows, columns=["method", "seed", "task", "direction", "value", "loss"])
        >>> delta_m(as_loss(scores), "tag-2")
        {0: 50.0}
    """
    return scores.assign(value=scores[column], direction="minimize")


def change(scores: pd.DataFrame, keys: Sequence[str], baseline: str = BASELINE) -> Estimate | None:
    """Mean relative change over tasks against a baseline, percent, over the seeds that both have.

    Draws of a random method are averaged within each seed first: their differences are no differences between seeds.

    Args:
        scores: ``GroupResults.scores``, or :func:`as_loss` of them.
        keys: Keys of the method, one a draw.
        baseline: Key of the method to compare with.

    Returns:
        The estimate, or None without common seeds or with a change that is not finite.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", 0, "a", "maximize", 1.0), ("random-2.0", 0, "a", "maximize", 1.1),
        ...         ("random-2.1", 0, "a", "maximize", 1.3)]
        >>> scores = pd.DataFrame(rows, columns=["method", "seed", "task", "direction", "value"])
        >>> round(change(scores, ["random-2.0", "random-2.1"]).mean, 6)
        20.0
    """
    draws = [delta_m(scores[scores["method"].isin([key, baseline])], key, baseline) for key in keys]
    seeds = sorted(set.intersection(*(set(draw) for draw in draws))) if draws else []
    if not seeds:
        return None
    estimate = Estimate.of([float(np.mean([draw[seed] for draw in draws])) for seed in seeds])
    return estimate if math.isfinite(estimate.mean) else None


def complete_scores(results: GroupResults) -> pd.DataFrame:
    """The study's scores without the seeds of a method that lack a task that the method serves."""
    scores = results.scores
    if scores.empty:
        return scores
    served = {c.method: sum(len(network.serves) for network in c.networks) for c in results.candidates}
    found = scores.groupby(["method", "seed"])["task"].transform("count")
    return scores[found == scores["method"].map(served)]


def method_rows(results: GroupResults, scores: pd.DataFrame | None = None) -> list[GroupMethod]:
    """One row a method: alone and together first, then by family and number of networks.

    Args:
        results: A finished study.
        scores: Its :func:`complete_scores`, where they are at hand.

    Returns:
        The methods that have scores.
    """
    scores = complete_scores(results) if scores is None else scores
    order = list(FAMILIES)
    trained = set(scores["method"])
    by_method: dict[tuple[str, int], list[Candidate]] = {}
    for candidate in results.candidates:
        if candidate.method in trained:
            size = 0 if candidate.family in {BASELINE, TOGETHER} else candidate.size
            by_method.setdefault((candidate.family, size), []).append(candidate)
    ordered = sorted(by_method.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    return [_row(candidates, scores) for _, candidates in ordered]


def _row(candidates: list[Candidate], scores: pd.DataFrame) -> GroupMethod:
    family = candidates[0].family
    keys = tuple(dict.fromkeys(candidate.method for candidate in candidates))
    own = scores[scores["method"].isin(keys)]
    runs = own.drop_duplicates(["method", "seed", "run"])
    search = {key: _search(candidates, key) for key in keys}
    totals = runs.groupby(["method", "seed"])["parameters"].sum()
    seconds = runs.groupby(["method", "seed"])["seconds"].sum()
    seconds = seconds + [search[method](seed) for method, seed in seconds.index]
    compared = scores if family != BASELINE else scores.iloc[:0]
    losses, metrics = as_loss(compared), own["metric"].nunique()
    counts = [len(candidate.networks) for candidate in candidates]
    return GroupMethod(
        family=family,
        size=candidates[0].size,
        keys=keys,
        networks=(min(counts), max(counts)),
        metric=_by_seed(own, "value") if metrics == 1 else None,
        loss=_by_seed(own, "loss"),
        delta=change(compared, keys),
        reduction=change(losses, keys),
        validation=change(as_loss(compared, "validation_loss"), keys),
        seconds=Estimate.of(list(seconds.groupby("seed").mean())),
        search=float(np.mean([search[method](seed) for method, seed in seconds.index])),
        parameters=(int(totals.min()), int(totals.max())),
        draws=tuple(_draw(compared, losses, key, float(seconds[key].mean())) for key in keys)
        if family == "random"
        else (),
        follows_rules=all(candidate.follows_rules for candidate in candidates),
    )


def _search(candidates: list[Candidate], key: str) -> Callable[[int], float]:
    known = {c.seed: c.search_seconds for c in candidates if c.method == key}
    return lambda seed: known[seed] if seed in known else known.get(None, 0.0)


def _by_seed(rows: pd.DataFrame, column: str) -> Estimate:
    return Estimate.of(list(rows.groupby("seed")[column].mean()))


def _draw(scores: pd.DataFrame, losses: pd.DataFrame, key: str, seconds: float) -> Draw:
    delta, reduction = change(scores, [key]), change(losses, [key])
    return Draw(delta.mean if delta else math.nan, reduction.mean if reduction else math.nan, seconds)

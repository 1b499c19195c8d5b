"""The course of validation by epoch in a recipe: task by task, or the mean over many tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from counterpoint.report.curves import curve
from counterpoint.report.explain_axes import Axis, vertical
from counterpoint.report.figures import Plot, add_curves, blank
from counterpoint.report.methods import methods_of, tasks_of
from counterpoint.report.recipe_figures import MAX_PANELS
from counterpoint.report.sections import Group
from counterpoint.report.wording import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.report.curves import Curve
    from counterpoint.report.methods import Method
    from counterpoint.study.recipes.results import RecipeResults

    Curves = Sequence[tuple[Method, Curve]]


def epochs_groups(results: RecipeResults) -> list[Group]:
    """Validation loss and main metric by epoch: a group a task, or one for the mean over many tasks.

    Args:
        results: A finished recipe.

    Returns:
        No group where nothing was recorded.
    """
    methods, tasks = methods_of(results.scores), tasks_of(results.scores)
    metrics = _main_metrics(results.scores)
    history = results.history
    if len(tasks) <= MAX_PANELS:
        rows = [(task, history[history["task"].astype(str) == task], metrics.get(task)) for task in tasks]
    else:
        common = set(metrics.values())
        mean = f"Mean over {len(tasks)} tasks"
        rows = [(mean, over_tasks(history), next(iter(common)) if len(common) == 1 else None)]
    groups = [_group(title, own, metric, methods) for title, own, metric in rows]
    return [group for group in groups if group is not None]


def over_tasks(history: pd.DataFrame) -> pd.DataFrame:
    """The mean over tasks at the epochs that all tasks of a method's seed have: one task alone may stop early.

    Args:
        history: ``RecipeResults.history``.

    Example:
        >>> import pandas as pd
        >>> rows = [("m", 0, 1, "a", 2.0, 0.5), ("m", 0, 1, "b", 4.0, 0.7), ("m", 0, 2, "a", 1.0, 0.8)]
        >>> columns = ["method", "seed", "epoch", "task", "validation_loss", "validation_value"]
        >>> over_tasks(pd.DataFrame(rows, columns=columns))[["epoch", "validation_loss"]].to_numpy().tolist()
        [[1.0, 3.0]]
    """
    tasks = history.groupby(["method", "seed"])["task"].nunique().to_dict()
    rows = []
    for (method, seed, epoch), own in history.groupby(["method", "seed", "epoch"]):
        if own["task"].nunique() == tasks[method, seed]:  # a mean over fewer would be of something else
            means = [float(own[name].mean(skipna=False)) for name in ("validation_loss", "validation_value")]
            rows.append((method, seed, epoch, *means))
    return pd.DataFrame(rows, columns=["method", "seed", "epoch", "validation_loss", "validation_value"])


def _main_metrics(scores: pd.DataFrame) -> dict[str, tuple[str, str]]:
    main = scores[scores["main"].astype(bool)].drop_duplicates("task")
    facts = zip(main["task"], main["metric"], main["direction"], strict=True)
    return {str(task): (str(metric), str(direction)) for task, metric, direction in facts}


def _group(title: str, rows: pd.DataFrame, metric: tuple[str, str] | None, methods: Sequence[Method]) -> Group | None:
    losses = _curves(rows, "validation_loss", methods)
    values = _curves(rows, "validation_value", methods) if metric is not None else []
    plots = [_by_epoch("Validation loss", "loss", losses)] if losses else []
    said = "Lower validation loss is better."
    if metric is not None and values:
        name, better = metric[0], "higher" if metric[1] == "maximize" else "lower"
        plots.append(_by_epoch(f"Validation {name}", name, values))
        said = f"Of {name}, {better} is better."
    drawn = [method for method in methods if any(method is other for other, _ in (*losses, *values))]
    return Group(title, said, plots, drawn) if plots else None


def _curves(rows: pd.DataFrame, quantity: str, methods: Sequence[Method]) -> Curves:
    found = []
    for method in methods:
        own = rows.loc[rows["method"].astype(str) == method.key, ["seed", "epoch", quantity]]
        own = own.assign(epoch=own["epoch"] + 1)  # people count finished epochs
        data = curve(own.rename(columns={"epoch": "step", quantity: "value"}))
        if data is not None:
            found.append((method, data))
    # A single epoch is no course.
    return found if any(len(data.steps) > 1 for _, data in found) else []


def _by_epoch(title: str, y_title: str, curves: Curves) -> Plot:
    figure = blank()
    add_curves(figure, curves)
    vertical(figure, "yaxis", Axis(y_title), curves)
    first, last = min(data.steps[0] for _, data in curves), max(data.steps[-1] for _, data in curves)
    figure.update_xaxes(title_text="epoch", range=[first, last + 0.01 * (last - first)], hoverformat=",.0f")
    if last <= 6:  # there are no halves of epochs
        figure.update_xaxes(tick0=first, dtick=1)
    ends = listing([f"{data.mean[-1]:.3g} with {method.label}" for method, data in curves])
    return Plot(title, f"{title} by epoch; at the end {ends}.", figure.to_json(), 250)

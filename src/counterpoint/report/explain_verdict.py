"""The verdict of an explain study: did sharing help, when does it show, was it slower, what goes along with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_answers import weighting_sentence
from counterpoint.report.explain_associations import conflict_sentence
from counterpoint.report.explain_sentences import NONE_FOUND, deficit_sentence, outcomes_sentence, some, step_text
from counterpoint.report.explain_units import amount, change, common_metric, metric_unit, side
from counterpoint.study.explain.findings import UNIFORM

if TYPE_CHECKING:
    from counterpoint.estimate import Estimate
    from counterpoint.report.explain_units import Unit
    from counterpoint.study.explain.findings import Findings
    from counterpoint.study.explain.results import ExplainResults


def explain_verdict(results: ExplainResults, found: Findings) -> list[str]:
    r"""The answer in a few plain sentences, claiming no more than the 95 % intervals support.

    Sharing is judged by the plain sum of the losses where the study has it, and the other weightings against that; else
    each weighting is judged by itself.

    Args:
        results: An explain study.
        found: Its findings.

    Returns:
        Sentences of plain text.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.findings import findings
        >>> from counterpoint.study.explain.results import POINTS, RUNS, ExplainResults
        >>> rows = [(method, seed, task, step, quantity, value + shift * (quantity == "test_metric"))
        ...     for method, shift in (("single", 0.0), ("uniform", 0.1))
        ...     for seed in (0, 1) for task in ("left", "right")
        ...     for step, loss in ((0, 2.0), (5, 1.0), (9, 0.5))
        ...     for quantity, value in (("train_loss", loss), ("test_loss", loss), ("test_metric", 0.8 - loss / 4))]
        >>> runs = [("uniform", seed, "left,right", 9, 1.0, 0.1, 0.0, 100) for seed in (0, 1)]
        >>> about = {"methods": {"single": "Single-task", "uniform": "Uniform"},
        ...     "tasks": dict.fromkeys(("left", "right"), {"metric": "accuracy", "direction": "maximize"})}
        >>> study = ExplainResults(pd.DataFrame(rows, columns=POINTS), pd.DataFrame(runs, columns=RUNS), about)
        >>> verdict = explain_verdict(study, findings(study))
        >>> mean, tasks = verdict[0].replace("\N{NO-BREAK SPACE}", " ").split(" (95 % interval 10.0 to 10.0) ")
        >>> mean
        'Sharing both tasks (Uniform) made the test accuracy at comparable training loss better by 10.0 points'
        >>> tasks
        'on average over tasks; 2 of 2 tasks gained (left and right).'
    """
    heads = [UNIFORM] if UNIFORM in results.methods else list(results.methods)
    sentences = [_sharing(results, found, method) for method in heads]
    sentences += [said for method in heads[:1] if (said := _onsets(results, found, method))]
    deficits = [(results.methods[m], e) for m in heads if (e := found.deficit(m)) is not None]
    sentences.append(f"{deficit_sentence(deficits)[:-1]}, averaged over tasks and probe steps.")
    sentences += [conflict_sentence(results, found, method) for method in heads[:1]]
    others = [method for method in results.methods if method not in heads]
    return sentences + [weighting_sentence(results, found, method) for method in others]


def _sharing(results: ExplainResults, found: Findings, method: str) -> str:
    unit, metric = metric_unit(results), common_metric(results)
    tasks = "both tasks" if len(results.tasks) == 2 else f"all {len(results.tasks)} tasks"
    counts = _counts(found, method)
    lead, mean = f"Sharing {tasks} ({results.methods[method]})", found.gap(method)
    if mean is None:
        return f"{lead} cannot be compared with single-task training at the same training loss: {counts}."
    if not metric:
        return f"{lead}: at comparable training loss, {counts}; no mean is given, because the tasks' metrics differ."
    compared = sum(comparison.gap is not None for comparison in found.comparisons[method].values())
    over = "tasks" if compared == len(results.tasks) else f"the {compared} of {len(results.tasks)} that can be compared"
    return f"{lead}{_mean(mean, metric, unit, over)}; {counts}."


def _mean(mean: Estimate, metric: str, unit: Unit, over: str) -> str:
    found, where = side(mean), f"the test {metric} at comparable training loss"
    if not found:
        return f": {NONE_FOUND} in {where}, on average over {over} ({change(mean, unit)}, positive is better)"
    return f" made {where} {'better' if found > 0 else 'worse'} by {amount(mean, unit)} on average over {over}"


def _counts(found: Findings, method: str) -> str:
    comparisons = found.comparisons[method]
    apart = [task for task, comparison in comparisons.items() if comparison.gap is None]
    sides = {task: side(c.gap.estimate) for task, c in comparisons.items() if c.gap is not None}
    gained, lost, unclear = ([task for task, found in sides.items() if found == wanted] for wanted in (1, -1, 0))
    return outcomes_sentence(gained, lost, unclear, apart)


def _onsets(results: ExplainResults, found: Findings, method: str) -> str:
    """From when on the tasks that gained or lost did so."""
    steps = {}
    for task, comparison in found.comparisons[method].items():
        onset = comparison.gap.onset if comparison.gap is not None else None
        if comparison.gap is None or onset is None:
            continue
        if side(comparison.gap.estimate) == (1 if onset.better else -1):
            steps[task] = onset.multi_step
    if not steps:
        return ""
    first, last = min(steps, key=steps.__getitem__), max(steps, key=steps.__getitem__)
    lead = f"Where a task gained or lost ({results.methods[method]}), this is clear from about step"
    if step_text(steps[first]) == step_text(steps[last]):
        return f"{lead} {step_text(steps[first])} of the shared training on ({some(list(steps))})."
    return f"{lead} {step_text(steps[first])} ({first}) to {step_text(steps[last])} ({last}) of the shared training on."

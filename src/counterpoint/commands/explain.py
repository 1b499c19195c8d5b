"""counterpoint explain."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from counterpoint.commands.command_line import command_line
from counterpoint.commands.lists import names


def explain(  # noqa: PLR0917  (the command's options)
    data: Literal["yeast", "digits"],
    weightings: str = "mgda",
    seeds: int = 3,
    curvature: bool = True,
    epochs: int | None = None,
    out: Path = Path("runs/explain"),
    workers: int | None = None,
) -> None:
    """Find out whether sharing a network helped, when it turned, and what went along with it.

    Trains each task alone and all together, with the plain sum and with other weightings, and records every task's
    trajectory: losses, test metric, gradients, curvature. Then compares them at the same training loss and at the same
    step, task by task, with intervals over seeds.

    Args:
        data: what to train on.
        weightings: how tasks that share the network are balanced besides uniformly, separated by commas,
            such as mgda,cagrad(c=0.4); none with "".
        seeds: trainings of each network, at least 2; with 2 only large differences are found.
        curvature: whether to look at curvature, which takes about as long as the training.
        epochs: passes over the training rows; by default what suits the data.
        out: folder for results, report, logs and checkpoints.
        workers: trainings side by side, by default one a core.
    """
    options = dict(locals())
    from dataclasses import replace  # noqa: PLC0415

    from counterpoint.report import explain_verdict, write_explanation  # noqa: PLC0415
    from counterpoint.study.execution import cores  # noqa: PLC0415
    from counterpoint.study.explain.findings import findings  # noqa: PLC0415
    from counterpoint.study.explain.study import ExplainStudy  # noqa: PLC0415
    from counterpoint.study.source import SOURCES  # noqa: PLC0415
    from counterpoint.terminal import RunProgress, answers_table, console, gaps_table  # noqa: PLC0415
    from counterpoint.training import Curvature  # noqa: PLC0415

    source = SOURCES[data]
    study = ExplainStudy(
        source,
        names(weightings),
        seeds,
        fit=source.fit if epochs is None else replace(source.fit, epochs=epochs),
        curvature=Curvature() if curvature else None,
        out=out,
        workers=workers if workers is not None else cores(),
    )
    console.print(
        f"{len(study.jobs)} trainings, {study.workers} side by side, into {study.out}", markup=False, soft_wrap=True
    )
    with RunProgress() as progress:
        results = study.run(command_line(explain, options), progress)
    for line in results.about["warnings"]:
        console.print(f"left out: {line}", markup=False, soft_wrap=True)
    found = findings(results)
    page = write_explanation(results, study.out / "report.html", found).resolve()
    for method, label in results.methods.items():
        console.print(gaps_table(found.comparisons[method], label))
    if found.answers:
        console.print(answers_table(found.answers, results.methods))
    for sentence in explain_verdict(results, found):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)

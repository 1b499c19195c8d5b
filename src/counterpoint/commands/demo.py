"""counterpoint demo."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from counterpoint.commands.command_line import command_line
from counterpoint.commands.lists import names


def demo(  # noqa: PLR0917  (the command's options)
    seeds: int = 2,
    epochs: int = 6,
    weightings: str = "uniform,mgda",
    out: Path = Path("runs/demo"),
    precision: Literal["32", "bf16"] = "32",
    train_rows: int = 16_000,
    workers: int | None = None,
) -> None:
    """Train two tasks alone, together, and together with balanced gradients, and show what happened.

    Two MNIST digits share a canvas; one task reads the left digit, the other the right one. Ends with a table, the
    results as Parquet files, and a report to open in a browser. Takes about three minutes on two cores.

    Args:
        seeds: trainings of each kind; intervals need at least 2.
        epochs: passes over the training pairs.
        weightings: names of weightings, separated by commas; each trains the two tasks together once a seed.
        out: folder for results, report, logs and checkpoints.
        precision: 32, or bf16 for mixed precision.
        train_rows: number of training pairs.
        workers: trainings side by side, by default one a core.
    """
    options = dict(locals())

    from counterpoint.data import DigitPairs  # noqa: PLC0415
    from counterpoint.report import verdict, write_report  # noqa: PLC0415
    from counterpoint.study.demo import Demo  # noqa: PLC0415
    from counterpoint.study.execution import cores  # noqa: PLC0415
    from counterpoint.terminal import StudyProgress, console, results_table  # noqa: PLC0415
    from counterpoint.training import FitSettings  # noqa: PLC0415

    study = Demo(
        names(weightings),
        seeds,
        FitSettings(epochs=epochs, precision=precision),
        DigitPairs(train_rows=train_rows),
        out,
        workers if workers is not None else cores(),
    )
    console.print(f"{len(study.runs)} trainings, {study.workers} side by side, into {out}")
    with StudyProgress(study.runs) as progress:
        results = study.run(
            command_line(demo, options), progress.update, lambda index, outcome: progress.done(index, outcome.scores)
        )
    page = write_report(results, out / "report.html").resolve()
    console.print(results_table(results.scores))
    for sentence in verdict(results.scores):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)

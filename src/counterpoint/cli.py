"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    import os  # noqa: PLC0415
    import shlex  # noqa: PLC0415

    from counterpoint.data import DigitPairs  # noqa: PLC0415
    from counterpoint.report import verdict, write_report  # noqa: PLC0415
    from counterpoint.study.demo import Demo  # noqa: PLC0415
    from counterpoint.terminal import StudyProgress, console, results_table  # noqa: PLC0415
    from counterpoint.training import FitSettings  # noqa: PLC0415

    study = Demo(
        tuple(name.strip().lower() for name in weightings.split(",") if name.strip()),
        seeds,
        FitSettings(epochs=epochs, precision=precision),
        DigitPairs(train_rows=train_rows),
        out,
        workers if workers is not None else os.cpu_count() or 1,
    )
    options = ("seeds", seeds), ("epochs", epochs), ("weightings", weightings), ("precision", precision)
    command = shlex.join(
        [
            "counterpoint",
            "demo",
            *(f"--{name}={value}" for name, value in (*options, ("train_rows", train_rows))),
        ]
    )
    console.print(f"{len(study.runs)} trainings, {study.workers} side by side, into {out}")
    with StudyProgress(study.runs) as progress:
        results = study.run(command, progress.update, lambda index, outcome: progress.done(index, outcome.scores))
    page = write_report(results, out / "report.html").resolve()
    console.print(results_table(results.scores))
    for sentence in verdict(results.scores):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def report(folder: Path) -> None:
    """Write the report of finished results again.

    Args:
        folder: where a study left its results, for example runs/demo.
    """
    from counterpoint.report import write_report  # noqa: PLC0415
    from counterpoint.study.results import Results  # noqa: PLC0415

    print(write_report(Results.load(folder), folder / "report.html"))  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 when done, 2 for what the user can mend, 130 when interrupted."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        from jsonargparse import auto_cli  # noqa: PLC0415
    except ImportError:
        return _complain("the command line needs the extra 'study': pip install 'counterpoint[study]'")
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):  # an arrow that the terminal cannot show must not end a study
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        auto_cli([demo, report], args=None if arguments is None else list(arguments), prog="counterpoint")
    except (ValueError, OSError, ArithmeticError) as error:
        return _complain(" ".join(str(error).split()))
    except ImportError as error:
        return _complain(f"{error}; this command needs the extra 'study': pip install 'counterpoint[study]'")
    except BrokenProcessPool:
        return _complain("a training process was killed, perhaps for want of memory; try fewer --workers")
    except KeyboardInterrupt:
        return _complain("interrupted; this study's results were not saved", code=130)
    return 0


def _complain(message: str, code: int = 2) -> int:
    print(f"counterpoint: {message}", file=sys.stderr)  # noqa: T201
    return code

"""What the report of a study says beside its numbers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from counterpoint.serving.custom import ALWAYS_TRUSTED

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.serving import Bundle
    from counterpoint.study.comparison import Comparison
    from counterpoint.study.source import Source
    from counterpoint.study.study import Study
    from counterpoint.study.subject import Subject


def facts_of(study: Study, subject: Subject, workers: int, command: str) -> dict[str, Any]:
    """Title, question, data, settings, and how to do it again, as plain values.

    Args:
        study: What was asked for.
        subject: What it is about.
        workers: Trainings side by side.
        command: The command line that reproduces the study.
    """
    source = subject.source
    return {
        "title": "What to train together",
        "question": _question(source, study.comparison),
        "data": source.about(),
        "table": subject.facts(),
        "settings": _settings(study, source, workers),
        "reproduce": [line for line in (command, shlex.join(["counterpoint", "report", str(study.folder)])) if line],
    }


def how_to_predict(folder: Path, bundle: Bundle) -> str:
    """In one line; without preprocessing, from inputs that only the user's own code can make."""
    if bundle.preprocessing is not None:
        return shlex.join(["counterpoint", "predict", str(folder), "new.csv", "--out=predictions.csv"])
    wanted = {package for served in bundle.networks for package in getattr(served.network, "trust", ())}
    trust = sorted(wanted - set(ALWAYS_TRUSTED))
    said = f", trust={trust}" if trust else ""
    return f"counterpoint.load_bundle({str(folder)!r}{said}).predict(inputs)"


def _question(source: Source, comparison: Comparison) -> str:
    limit = f", with at most {comparison.networks} networks to serve" if comparison.networks else ""
    return (
        f"{len(source.tasks)} tasks: which of them to train together, how to balance them, and what that gains over "
        f"a network for each task{limit}."
    )


def _settings(study: Study, source: Source, workers: int) -> dict[str, Any]:
    fit, comparison = source.fit, study.comparison
    return {
        "network": source.network,
        "epochs": f"at most {fit.epochs}" if fit.patience else fit.epochs,
        **({"stops early": f"after {fit.patience} epochs without a better validation score"} if fit.patience else {}),
        "batch size": fit.batch_size,
        "optimizer": "Adam",
        "learning rate": source.lr,
        "seeds": comparison.seeds,
        "weightings": ", ".join(comparison.weightings) or "none besides the plain sum",
        "loss scales tried": comparison.scale_trials,
        "networks to serve": comparison.networks or "no limit",
        "affinity": f"{comparison.meter.method}, every {comparison.meter.every} steps",
        "tested": "checkpoint with the best mean validation score",
        "runs side by side": workers,
        "executor": study.executor if isinstance(study.executor, str) else type(study.executor).__name__,
    }

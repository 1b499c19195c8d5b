"""What the demo measured, as tables in one folder. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from counterpoint.study.results_folder import ResultsFormat

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

SCORES = [
    "run",
    "method",
    "label",
    "seed",
    "task",
    "metric",
    "direction",
    "value",
    "loss",
    "seconds",
    "parameters",
]
HISTORY = ["run", "method", "label", "seed", "epoch", "step", "split", "task", "other", "quantity", "value"]
EXAMPLES = ["example", "image", "task", "method", "label", "target", "prediction"]
FORMAT = ResultsFormat(None, 1, {"scores": SCORES, "history": HISTORY, "examples": EXAMPLES}, "results")


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a finished study measured.

    Attributes:
        scores: One row per run and task: ``run``, ``method`` (key), ``label`` (for people), ``seed``, ``task``,
            ``metric``, ``direction`` (``"maximize"`` or ``"minimize"``), test ``value`` and test ``loss`` at the
            checkpoint with the best validation score, ``seconds`` and ``parameters`` of the run.
        history: One row per measurement: ``split`` is ``"train"`` or ``"validation"``; ``quantity`` is ``"loss"``,
            ``"metric"``, ``"weight"`` or ``"cosine"`` (between ``task`` and ``other``).
        examples: A few test inputs (PNG bytes) with each method's prediction per task.
        about: The study's facts: title, data, settings, command, versions, machine, start, seconds.

    Example:
        >>> import pandas as pd, tempfile
        >>> empty = Results(pd.DataFrame(columns=SCORES), pd.DataFrame(columns=HISTORY),
        ...                 pd.DataFrame(columns=EXAMPLES), {"title": "nothing yet"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     empty.save(folder)
        ...     Results.load(folder).about["title"]
        'nothing yet'
    """

    scores: pd.DataFrame
    history: pd.DataFrame
    examples: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> None:
        """Writes the tables as Parquet and the facts as JSON, each completely or not at all.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        tables = {"scores": self.scores, "history": self.history, "examples": self.examples}
        FORMAT.save(folder, tables, self.about)

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no results, or results of another schema.
        """
        return FORMAT.load(folder, lambda tables, facts: cls(**tables, about=facts))

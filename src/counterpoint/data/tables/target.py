"""A labelled column: between the labels people write and the numbers a network learns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from counterpoint.data.tables.columns import as_text, plain
from counterpoint.data.tables.errors import TableError
from counterpoint.data.tables.values import as_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    import pyarrow as pa

TargetKind = Literal["binary", "multiclass", "regression", "count"]
Transform = Literal["none", "log", "log1p"]
Label = str | int | float | bool
# The label of a class target that has none: what torch's losses ignore.
NO_CLASS = -100

_FORWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": np.asarray, "log": np.log, "log1p": np.log1p}
_BACKWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": np.asarray, "log": np.exp, "log1p": np.expm1}
_ABOVE = {"log": 0.0, "log1p": -1.0}


@dataclass(frozen=True)
class Target:
    """One labelled column.

    Attributes:
        name: The column.
        kind: ``"binary"``, ``"multiclass"``, ``"regression"`` or ``"count"``.
        transform: Of regression labels, before standardization: ``"log"`` and ``"log1p"`` are natural logarithms.
        classes: Labels in the order of their numbers; of a binary target negative and positive.
        mean: Of the transformed labels of training rows (regression).
        scale: Their standard deviation (regression).
        baseline: Error of the best constant on training rows in the task's metric: for regression the standard
            deviation of transformed labels, for counts the mean Poisson deviance of predicting the mean, else 1.
        partial: Whether some rows have no label.

    Example:
        >>> import numpy as np, pandas as pd
        >>> cut = Target("cut", "multiclass", classes=("Fair", "Good", "Ideal"))
        >>> cut.encode(pd.Series(["Ideal", None, "Fair"])).tolist()
        [2, -100, 0]
        >>> cut.decode(np.array([[0.0, 9.0, 0.0]]))["cut"].tolist()
        ['Good']
    """

    name: str
    kind: TargetKind
    transform: Transform = "none"
    classes: tuple[Label, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    baseline: float = 1.0
    partial: bool = False

    @property
    def outputs(self) -> int:
        """Width of a head: the number of classes of a multiclass target, else 1."""
        return len(self.classes) if self.kind == "multiclass" else 1

    def encode(self, labels: pd.Series[Any] | pa.ChunkedArray, *, source: str = "the table") -> np.ndarray:
        """Labels as numbers to learn.

        Regression: float32 [N], transformed and standardized; counts: float32 [N]; both with NaN for no label. Classes:
        int64 [N], -100 for no label.

        Raises:
            TableError: for an unknown class, text among numbers, a logarithm of what has none, a count that is none.
        """
        array = plain(self.name, labels, source=source)
        if self.classes:
            return self._class_numbers(array, source)
        values = as_numbers(self.name, array, source=source)
        if self.kind == "count":
            wrong, todo = (values < 0) | (values != np.floor(values)), f"say --task {self.name}:regression"
            self._refuse_first(values, wrong, f"expected counts 0, 1, 2, ...: correct it, or {todo}", source)
            return values.astype(np.float32)
        return ((self.transformed(values, source=source) - self.mean) / self.scale).astype(np.float32)

    def transformed(self, values: np.ndarray, *, source: str = "the table") -> np.ndarray:
        """Numbers [N] in the scale in which they are learned, before standardization.

        Raises:
            TableError: for a logarithm of what has none.
        """
        if self.transform in _ABOVE:
            least = _ABOVE[self.transform]
            what = f"expected numbers above {least:g} for {self.transform!r}: correct it, or leave the transform out"
            self._refuse_first(values, values <= least, what, source)
        return _FORWARD[self.transform](values)

    def _refuse_first(self, values: np.ndarray, wrong: np.ndarray, expected: str, source: str) -> None:
        rows = np.flatnonzero(wrong & ~np.isnan(values))
        if len(rows):
            where = f"{source}: target {self.name!r} is {values[rows[0]]:g} in data row {rows[0] + 1}"
            raise TableError(f"{where}, {expected}")

    def _class_numbers(self, array: pa.ChunkedArray, source: str) -> np.ndarray:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        text, keys = as_text(array), self._keys
        if all(isinstance(label, bool) for label in self.classes):
            text, keys = pc.utf8_lower(text), tuple(key.lower() for key in keys)
        index = pc.index_in(text, value_set=pa.array(keys, text.type), skip_nulls=True)
        unknown = np.flatnonzero(index.is_null().to_numpy() & ~text.is_null().to_numpy())
        if len(unknown):
            raise TableError(
                f"{source}: target {self.name!r} is {array[int(unknown[0])].as_py()!r} in data row {unknown[0] + 1}, "
                f"expected one of its {len(self.classes)} classes"
            )
        found: np.ndarray = pc.fill_null(index.cast(pa.int64()), NO_CLASS).to_numpy()
        return found

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        """Classes as they are spelled as text, 1 and 1.0 alike."""
        return tuple(
            str(int(label)) if isinstance(label, float) and label.is_integer() else str(label) for label in self.classes
        )

    def decode(self, outputs: np.ndarray, *, probabilities: bool = False) -> dict[str, np.ndarray]:
        """Columns for people from a head's outputs.

        Args:
            outputs: [N, outputs] (or [N] where that is 1): logits of classes, standardized values, logarithms of
                expected counts.
            probabilities: Whether to give those of all classes.

        Returns:
            ``{name: labels or values [N]}``; for classes with ``"{name}:probability"``: of the predicted class, or of
            the positive class, the last of :attr:`classes`, of a binary target. All probabilities are called
            ``"{name}:probability:{class}"``.

        Raises:
            TableError: for outputs of another width.
        """
        outputs = np.asarray(outputs, dtype=np.float64)
        if outputs.ndim == 1:
            outputs = outputs[:, None]
        if outputs.ndim != 2 or outputs.shape[1] != self.outputs:
            raise TableError(f"target {self.name!r} has outputs {list(outputs.shape)}, expected [N, {self.outputs}]")
        if self.kind == "regression":
            with np.errstate(over="ignore"):
                return {self.name: _BACKWARD[self.transform](outputs[:, 0] * self.scale + self.mean)}
        if self.kind == "count":
            with np.errstate(over="ignore"):
                return {self.name: np.exp(outputs[:, 0])}
        chance = self._probabilities(outputs)
        best = chance.argmax(axis=1)
        shown = chance[:, 1] if self.kind == "binary" else np.take_along_axis(chance, best[:, None], axis=1)[:, 0]
        columns = {self.name: self._labels[best], f"{self.name}:probability": shown}
        if probabilities:
            columns |= {f"{self.name}:probability:{key}": chance[:, place] for place, key in enumerate(self._keys)}
        return columns

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        if self.kind == "binary":
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return found

    @cached_property
    def _labels(self) -> np.ndarray:
        kinds = {type(label) for label in self.classes}
        if kinds in ({bool}, {int}) or kinds <= {int, float}:  # 0.5 and 1 are numbers of one type in any file
            return np.array(self.classes)
        labels = np.empty(len(self.classes), dtype=object)
        labels[:] = self.classes
        return labels

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads; floats keep every bit."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Target:
        """The target that :meth:`to_json` described."""
        known = {**values, "classes": tuple(values["classes"])}
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})

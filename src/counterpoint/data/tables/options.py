"""What somebody may say about a table: its targets, what they are, which columns to use, how to split."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from counterpoint.data.tables.errors import TableError, nearest
from counterpoint.data.tables.target import TargetKind, Transform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SplitKind = Literal["auto", "random", "stratified", "grouped", "time"]


@dataclass(frozen=True)
class TableOptions:
    """Everything that may be said about a table. Hashable.

    Attributes:
        targets: Columns to predict.
        tasks: What targets are where it is not to be inferred: ``"price:regression:log"``, ``"visits:count"``,
            ``"cut:multiclass"``, ``"sick:binary"``.
        features: The only columns to use; by default all that are not named elsewhere here.
        drop: Columns not to use.
        split: How rows are split; ``"auto"`` is ``"grouped"`` with ``group_by``, ``"time"`` with ``time_by``, else
            ``"stratified"`` if a target has classes or is a count (by whether it is above zero), else ``"random"``.
        group_by: Rows with the same value in this column stay together. It is no feature.
        time_by: The oldest rows by this column train, the newest test. It is no feature.
        validation: Share of the rows to choose with.
        test: Share of the rows to test with.
        seed: Of the split.

    Raises:
        TableError: for what contradicts itself.

    Example:
        >>> TableOptions(("price", "cut"), tasks=("price:regression:log",)).overrides
        {'price': ('regression', 'log')}
    """

    targets: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    split: SplitKind = "auto"
    group_by: str | None = None
    time_by: str | None = None
    validation: float = 0.15
    test: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("targets", "tasks", "features", "drop"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise TableError(f"{name} is {given!r}, expected a list or tuple of names")
            object.__setattr__(self, name, tuple(given))  # hashable
        if not self.targets:
            raise TableError("no target is given, expected at least two columns to predict: --targets price,cut")
        for what, names in (("target", self.targets), ("feature", self.features), ("column to drop", self.drop)):
            twice = _first_twice(names)
            if twice is not None:
                raise TableError(f"{what} {twice!r} is given twice, expected each name once")
        self._refuse_two_roles()
        self._refuse_split()
        _ = self.overrides

    def _refuse_two_roles(self) -> None:
        roles: dict[str, str] = dict.fromkeys(self.targets, "a target")
        others = [(self.features, "a feature"), (self.drop, "a column to drop")]
        others += [((name,), role) for name, role in ((self.group_by, "what rows are grouped by"),) if name]
        others += [((name,), role) for name, role in ((self.time_by, "the time of a row"),) if name]
        for names, role in others:
            for name in names:
                if name in roles:
                    raise TableError(f"column {name!r} is given as {roles[name]} and as {role}, expected one of them")
                roles[name] = role

    def _refuse_split(self) -> None:
        if self.split not in get_args(SplitKind):
            raise TableError(f"split is {self.split!r}, expected one of {', '.join(get_args(SplitKind))}")
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not (math.isfinite(share) and 0 < share < 1):
                raise TableError(f"{name} is {share}, expected a share of the rows between 0 and 1 such as 0.15")
        if self.validation + self.test >= 1:
            left = f"{self.validation} for validation and {self.test} for test"
            raise TableError(f"{left} leave no rows for training, expected shares that sum to less than 1")
        if self.seed < 0:
            raise TableError(f"seed is {self.seed}, expected 0 or more")
        needs = {"grouped": ("group_by", "--group-by"), "time": ("time_by", "--time-by")}
        if self.group_by and self.time_by:
            raise TableError("rows are to be split by group and by time, expected one: leave out group_by or time_by")
        for kind, (name, option) in needs.items():
            if self.split == kind and getattr(self, name) is None:
                raise TableError(f"split is {kind!r} but no column is given for it: say which with {option}")
            if getattr(self, name) is not None and self.split not in {"auto", kind}:
                raise TableError(f"{option} needs the split {kind!r}, but split is {self.split!r}: leave one out")

    @property
    def overrides(self) -> dict[str, tuple[TargetKind, Transform]]:
        """What was said of each target in :attr:`tasks`."""
        found: dict[str, tuple[TargetKind, Transform]] = {}
        for text in self.tasks:
            name, kind, transform = self._parsed(text)
            if name in found:
                raise TableError(f"task {name!r} is given twice, expected each target once")
            found[name] = (kind, transform)
        return found

    def _parsed(self, text: str) -> tuple[str, TargetKind, Transform]:
        # A column's name may have a colon in it: the longest target that fits is meant.
        fitting = [name for name in self.targets if text.startswith(f"{name}:")]
        if not fitting:
            name, colon, _ = text.partition(":")
            if not colon:
                raise TableError(f"task {text!r} says no kind, expected name:kind such as {name}:regression")
            raise TableError(f"task {text!r} is of {name!r}, which is no target: {nearest(name, self.targets)}")
        name = max(fitting, key=len)
        kind, _, transform = text[len(name) + 1 :].partition(":")
        if kind not in get_args(TargetKind):
            raise TableError(f"task {text!r} has the kind {kind!r}, expected one of {', '.join(get_args(TargetKind))}")
        transform = transform or "none"
        if transform not in get_args(Transform):
            expected = ", ".join(get_args(Transform))
            raise TableError(f"task {text!r} has the transform {transform!r}, expected one of {expected}")
        if transform != "none" and kind != "regression":
            raise TableError(
                f"task {text!r} transforms a {kind} target, expected a regression: leave {transform!r} out"
            )
        return name, kind, transform  # type: ignore[return-value]

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TableOptions:
        """The options that :meth:`to_json` described."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})


def _first_twice(names: Sequence[str]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)

"""From a table's columns to a network's inputs: scikit-learn's ColumnTransformer, kept as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.data.tables.columns import UnusableColumnError, plain
from counterpoint.data.tables.errors import TableError, named
from counterpoint.data.tables.features import Feature, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa
    from sklearn.compose import ColumnTransformer

# Rows at a time: the float64 intermediates of a block stay in the cache and reuse the memory of the last one.
_BLOCK = 8_192
_NEVER_VARIED = 1e300


@dataclass(frozen=True)
class Preprocessing:
    """Inputs of a network made from the columns of a table, with statistics of training rows only.

    Numbers, truth values and parts of times: missing ones are replaced by the median, all are standardized. Categories
    are one-hot where there are up to 16, codes for an embedding otherwise. Missing values of a column that lacks some
    in training are an input of their own. All of it is a ColumnTransformer; only its numbers are stored, as JSON, and
    it is built again from them: what is loaded transforms bit for bit as what was fitted.

    Attributes:
        features: The columns and how each becomes numbers.
        medians: Of each numeric input (numbers, truth values, parts of times), in order.
        means: Of each numeric input, after imputation.
        scales: Standard deviation of each; 1e300 where nothing varies, which makes them 0 in any row.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"x": [1.0, 3.0], "size": ["S", "L"]})
        >>> fitted = Preprocessing.fit(table, {"x": "numeric", "size": "category"})
        >>> fitted.feature_names, fitted.transform(table).tolist()
        (('x', 'size = L', 'size = S'), [[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    """

    features: tuple[Feature, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, rows: pd.DataFrame | pa.Table, kinds: Mapping[str, Kind]) -> Preprocessing:
        """Learns from training rows.

        Args:
            rows: Training rows, N >= 1.
            kinds: The kind of each column to use, in the order of the inputs.

        Raises:
            TableError: for a missing column, or values that are not of its kind.
        """
        columns = _columns(rows, tuple(kinds))
        features = tuple(Feature.learned(name, kind, columns[name]) for name, kind in kinds.items())
        empty = cls(features, (), (), ())
        groups = empty._groups
        if not groups["numbers"]:
            return empty
        matrix = np.concatenate([feature.numbers(columns[feature.name]) for feature in features], axis=1)
        chain_ = _numbers().fit(matrix[:, groups["numbers"]])
        imputer, scaler = chain_["impute"], chain_["scale"]
        # Nothing was learned of an input that never varied: in other rows, where it may, it stays 0 as well.
        scales = np.where((scaler.scale_ == 1) & (scaler.var_ < 0.5), _NEVER_VARIED, scaler.scale_)
        return cls(features, *(tuple(map(float, x)) for x in (imputer.statistics_, scaler.mean_, scales)))

    @property
    def columns(self) -> dict[str, Kind]:
        """The columns it needs, with their kinds."""
        return {feature.name: feature.kind for feature in self.features}

    @property
    def inputs(self) -> int:
        """Dense inputs: numbers, indicators of missing values, one-hot categories."""
        return len(self.feature_names) - len(self.cardinalities)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Codes, 0 included, of each of the last columns of the inputs."""
        return tuple(feature.codes for feature in self.features if feature.coded)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each input."""
        numeric = [feature for feature in self.features if feature.kind != "category"]
        one_hot = [feature for feature in self.features if feature.kind == "category" and not feature.coded]
        return tuple(
            chain(
                chain.from_iterable(feature.names for feature in numeric),
                (f"{feature.name}: missing" for feature in numeric if feature.missing),
                (f"{f.name} = {category}" for f in one_hot for category in (*f.categories, *["missing"] * f.missing)),
                (feature.name for feature in self.features if feature.coded),
            )
        )

    def transform(self, rows: pd.DataFrame | pa.Table, *, source: str = "the table", first_row: int = 0) -> np.ndarray:
        """Inputs, float32 [N, inputs + codes]: dense ones first, category codes last.

        Args:
            rows: Rows with at least the columns it needs; others are ignored.
            source: Where they come from, for errors.
            first_row: The number of the first row there, from 0, for errors.

        Raises:
            TableError: for missing columns (all are named) and values of another kind (column and row are named).
        """
        columns = _columns(rows, tuple(self.columns), source)
        count = len(rows)
        inputs = np.empty((count, len(self.feature_names)), dtype=np.float32)
        limit = np.finfo(np.float32).max
        for start in range(0, count, _BLOCK):
            where = {"source": source, "first_row": first_row + start}
            parts = [f.numbers(columns[f.name].slice(start, _BLOCK), **where) for f in self.features]  # type: ignore[arg-type]
            block = self._transformer.transform(np.concatenate(parts, axis=1))
            inputs[start : start + _BLOCK] = np.clip(block, -limit, limit)
        return inputs

    def unknown(self, rows: pd.DataFrame | pa.Table) -> dict[str, int]:
        """How many values of each category column were not among the training rows (or too rare); zeros left out."""
        wanted = [feature for feature in self.features if feature.kind == "category"]
        columns = _columns(rows, tuple(feature.name for feature in wanted))
        counts = {feature.name: feature.unknown(columns[feature.name]) for feature in wanted}
        return {name: count for name, count in counts.items() if count}

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads; floats keep every bit."""
        numbers = {"medians": list(self.medians), "means": list(self.means), "scales": list(self.scales)}
        return {"features": [feature.to_json() for feature in self.features], **numbers}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that :meth:`to_json` described."""
        numbers = (tuple(map(float, values[name])) for name in ("medians", "means", "scales"))
        return cls(tuple(Feature.from_json(feature) for feature in values["features"]), *numbers)

    @cached_property
    def _groups(self) -> dict[str, list[int]]:
        """Places of the transformers' columns among the features' numbers."""
        groups: dict[str, list[int]] = {"numbers": [], "missing": [], "categories": [], "codes": []}
        place = 0
        for feature in self.features:
            places = range(place, place + len(feature.names))
            place += len(feature.names)
            if feature.kind != "category":
                groups["numbers"] += places
                groups["missing"] += [places[0]] * feature.missing
            else:
                groups["codes" if feature.coded else "categories"] += places
        return groups

    @cached_property
    def _transformer(self) -> ColumnTransformer:
        """Built from the numbers by public means: an imputer that has seen the medians alone has those medians."""
        from sklearn.compose import ColumnTransformer  # noqa: PLC0415
        from sklearn.impute import MissingIndicator  # noqa: PLC0415
        from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

        groups = self._groups
        codes = [list(range(f.codes)) for f in self.features if f.kind == "category" and not f.coded]
        parts = {
            "numbers": _numbers(),
            "missing": MissingIndicator(features="all"),
            "categories": OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False),
            "codes": "passthrough",
        }
        used = [(name, part, groups[name]) for name, part in parts.items() if groups[name]]
        transformer = ColumnTransformer(used, sparse_threshold=0.0)
        row = np.zeros((1, sum(len(feature.names) for feature in self.features)))
        row[0, groups["numbers"]] = self.medians
        transformer.fit(row)
        if groups["numbers"]:
            scaler = transformer.named_transformers_["numbers"]["scale"]
            scaler.mean_, scaler.scale_ = np.array(self.means), np.array(self.scales)
        return transformer


def _numbers() -> Any:
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.pipeline import Pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", StandardScaler())])


def _columns(
    rows: pd.DataFrame | pa.Table, names: tuple[str, ...], source: str = "the table"
) -> dict[str, pa.ChunkedArray]:
    import pyarrow as pa  # noqa: PLC0415

    present = [str(name) for name in (rows.column_names if isinstance(rows, pa.Table) else rows.columns)]
    missing = [name for name in names if name not in present]
    if missing:
        few = "column" if len(missing) == 1 else f"{len(missing)} columns"
        raise TableError(f"{source} lacks the {few} {named(missing, limit=20)}, which the network was trained on")
    if isinstance(rows, pa.Table):  # a table of ours is plain
        return {name: rows[name] for name in names}
    twice = next((name for name in names if present.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"{source} has several columns called {twice!r}, expected one: rename or drop the others")
    return {name: _readable(name, rows.iloc[:, present.index(name)], source) for name in names}


def _readable(name: str, values: pd.Series[Any], source: str) -> pa.ChunkedArray:
    try:
        return plain(name, values, source=source)
    except UnusableColumnError as error:
        raise TableError(f"{source}: column {name!r} {error}, expected values as in training: correct it") from None

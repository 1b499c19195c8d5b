"""A servable model: one preprocessing, one or several networks, and the tasks that each of them serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoint.serving.errors import BundleError
from counterpoint.serving.routes import check_inputs, check_routes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from torch import Tensor

    from counterpoint.data.tables import Preprocessing, Target
    from counterpoint.serving.served import ServedNetwork

Inputs = Any  # a DataFrame, the path of a table, or for networks of one's own classes an array or a tensor


@dataclass(frozen=True, eq=False)
class Bundle:
    """What predicts all tasks of a study.

    Args:
        targets: The tasks: how each one's head outputs become labels or values.
        networks: The networks; every task is served by exactly one of them.
        preprocessing: From a table's rows to the networks' input; ``None`` if inputs are arrays or tensors.
        about: Facts for people: the study's command, versions, metrics.

    Raises:
        BundleError: if a task is served by no network or by two, a network serves a task that it was not trained on,
            or takes another input than the preprocessing makes.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.data.tables import Preprocessing, Target
        >>> from counterpoint.models import MultiTaskModel, TableNetwork
        >>> from counterpoint.serving import ServedNetwork
        >>> frame = pd.DataFrame({"carat": [0.2, 0.3, 0.9], "depth": [61.0, 62.0, 60.5]})
        >>> preprocessing = Preprocessing.fit(frame, {"carat": "numeric", "depth": "numeric"})
        >>> network = TableNetwork("mlp", preprocessing.inputs, preprocessing.cardinalities, hidden=(8,))
        >>> model = MultiTaskModel(network.encoder(["price"]), {"price": network.head("price", 1)})
        >>> bundle = Bundle((Target("price", "regression"),), (ServedNetwork.of(model, network),), preprocessing)
        >>> bundle.predict(frame).shape, bundle.routes
        ((3, 1), {'price': 0})
    """

    targets: tuple[Target, ...]
    networks: tuple[ServedNetwork, ...]
    preprocessing: Preprocessing | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_routes([target.name for target in self.targets], self.networks)
        if self.preprocessing is not None:
            check_inputs(self.preprocessing, self.networks)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it predicts."""
        return tuple(target.name for target in self.targets)

    @property
    def routes(self) -> dict[str, int]:
        """Which network serves a task."""
        serving = {task: index for index, network in enumerate(self.networks) for task in network.serves}
        return {task: serving[task] for task in self.tasks}

    def predict(
        self, data: Inputs, tasks: Sequence[str] | None = None, *, probabilities: bool = False, batch_size: int = 4096
    ) -> pd.DataFrame:
        """Labels and values for rows that nobody has labelled.

        Args:
            data: A DataFrame or the path of a table (CSV, .csv.gz or Parquet) with the columns that the study used as
                features, others are ignored; or an array or tensor [N, ...] for networks of one's own classes.
            tasks: The tasks wanted, all by default; only their networks are loaded and run.
            probabilities: Whether to give the probabilities of all classes, not only of one.
            batch_size: Rows at a time.

        Returns:
            One row per row of ``data``, with its index. Per task a column of its name with labels or values; for
            classes ``"{task}:probability"``, of the predicted class of several, of the positive one of two; with
            ``probabilities=True`` also ``"{task}:probability:{class}"``.

        Raises:
            ValueError: for an unknown task, missing columns (all are named), or values that are not of a column's kind.
        """
        import pandas as pd  # noqa: PLC0415  (an extra)

        if isinstance(data, str | Path):
            from counterpoint.serving.files import predict_pieces  # noqa: PLC0415  (which knows this module)

            pieces = predict_pieces(self, Path(data), tasks, probabilities=probabilities)
            return pd.concat([predictions for predictions, _ in pieces])
        self.wanted(tasks)
        index = data.index if isinstance(data, pd.DataFrame) else range(len(data))
        return self.predict_inputs(self.inputs(data), index, tasks, probabilities=probabilities, batch_size=batch_size)

    def predict_inputs(
        self,
        inputs: Tensor | np.ndarray,
        index: Iterable[Any],
        tasks: Sequence[str] | None = None,
        *,
        probabilities: bool = False,
        batch_size: int = 4096,
    ) -> pd.DataFrame:
        """As :meth:`predict`, for rows that :meth:`inputs` has prepared, with an index for the result."""
        import pandas as pd  # noqa: PLC0415  (an extra)

        outputs = self.run(inputs, tasks, batch_size=batch_size)
        columns: dict[str, np.ndarray] = {}
        for target in self.wanted(tasks):
            # One row more: pandas finds out a column's type from its values, of which there may be none.
            one_more = np.concatenate([outputs[target.name], np.zeros((1, target.outputs), np.float32)])
            columns |= target.decode(one_more, probabilities=probabilities)
        rows = index if isinstance(index, pd.Index) else pd.Index(index)  # of several levels it loses their names
        return pd.DataFrame(columns).iloc[:-1].set_axis(rows, axis=0)

    def outputs(
        self, data: Inputs, tasks: Sequence[str] | None = None, *, batch_size: int = 4096
    ) -> dict[str, np.ndarray]:
        """What the heads put out, [N, outputs] by task: logits, standardized values, or logarithms of counts.

        Args:
            data: As for :meth:`predict`.
            tasks: The tasks wanted, all by default.
            batch_size: Rows at a time.

        Raises:
            ValueError: as :meth:`predict`.
        """
        self.wanted(tasks)
        return self.run(self.inputs(data), tasks, batch_size=batch_size)

    def run(
        self, inputs: Tensor | np.ndarray, tasks: Sequence[str] | None = None, *, batch_size: int = 4096
    ) -> dict[str, np.ndarray]:
        """As :meth:`outputs`, for rows that :meth:`inputs` has prepared."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}, expected a positive integer")
        wanted = {target.name: target for target in self.wanted(tasks)}
        rows = torch.as_tensor(inputs)
        found = {name: np.empty((len(rows), target.outputs), np.float32) for name, target in wanted.items()}
        for index in sorted({self.routes[name] for name in wanted}):
            model = self.networks[index].model
            for start in range(0, len(rows), batch_size):
                with torch.inference_mode():
                    outputs = model(rows[start : start + batch_size])
                for task, output in zip(model.tasks, outputs, strict=True):
                    if task in wanted:
                        found[task][start : start + batch_size] = output.numpy()
        return found

    def inputs(self, data: Inputs) -> Tensor:
        """What the networks take for these rows: float32 [N, D] of a table, tensors as they are.

        Raises:
            ValueError: as :meth:`predict`.
        """
        if self.preprocessing is None:
            if not isinstance(data, np.ndarray | torch.Tensor):
                raise BundleError(
                    f"{type(data).__name__} given, expected an array or a tensor: no table was trained on"
                )
            rows = torch.as_tensor(data).cpu()
            return rows.float() if rows.is_floating_point() else rows  # as the networks: an array is easily double
        import pandas as pd  # noqa: PLC0415  (an extra)

        if isinstance(data, str | Path):
            from counterpoint.serving.files import input_pieces  # noqa: PLC0415  (which knows this module)

            pieces = [inputs for inputs, _ in input_pieces(self.preprocessing, Path(data))]
            return torch.from_numpy(np.concatenate(pieces))
        if not isinstance(data, pd.DataFrame):
            raise BundleError(f"{type(data).__name__} given, expected a DataFrame or the path of a table")
        return torch.from_numpy(self.preprocessing.transform(data))

    def describe(self) -> str:
        """In words, one line a task and one a network."""
        kinds = [f"{target.name} ({target.kind}): network {self.routes[target.name]}" for target in self.targets]
        networks = []
        for index, network in enumerate(self.networks):
            line = f"network {index} serves {', '.join(network.serves)}: {network.network.describe()}"
            helpers = [task for task in network.tasks if task not in network.serves]
            networks.append(f"{line}; trained with {', '.join(helpers)} too" if helpers else line)
        return "\n".join([*kinds, *networks])

    def export(
        self,
        folder: str | Path,
        format: str = "onnx",  # noqa: A002  (as torch and others call it)
        tasks: Sequence[str] | None = None,
        example: Tensor | None = None,
    ) -> list[Path]:
        """Writes one program a network, to run without Counterpoint; see :func:`~.export.export_bundle`."""
        from counterpoint.serving.export import export_bundle  # noqa: PLC0415

        return export_bundle(self, folder, format, tasks, example)

    def wanted(self, tasks: Sequence[str] | None = None) -> tuple[Target, ...]:
        """The tasks of these names, all by default.

        Raises:
            ValueError: for an unknown task.
        """
        if tasks is None:
            return self.targets
        if isinstance(tasks, str):
            raise ValueError(  # noqa: TRY004  (an option, not an argument's type)
                f"tasks is the text {tasks!r}, expected a list of names among {', '.join(self.tasks)}"
            )
        if unknown := [task for task in tasks if task not in self.tasks]:
            raise ValueError(f"unknown task {unknown[0]!r}, expected names among {', '.join(self.tasks)}")
        by_name = {target.name: target for target in self.targets}
        return tuple(by_name[task] for task in dict.fromkeys(tasks))

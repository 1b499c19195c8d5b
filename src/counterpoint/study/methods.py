"""The ways to serve all tasks that a study compares. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.grouping.result import Network
from counterpoint.study.plan import label_of
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNIFORM, TUNED = "uniform", "tuned"


@dataclass(frozen=True)
class Method:
    """One way to serve all tasks: which networks, and how each of them is trained.

    Attributes:
        key: Tells methods apart: ``"single"``, the name of a weighting, ``"tuned"``, ``"groups-2"``.
        label: The name for people.
        networks: The networks; every task is served by one of them.
        weighting: How the tasks of a network are balanced.
        scales: What each loss is multiplied by, by task; empty for 1.
        predicted: Mean predicted affinity of the served tasks; ``None`` where nothing was predicted.
        proven: Whether no grouping of that size has a higher predicted affinity.

    Example:
        >>> Method.of_all("mgda", ("price", "cut")).label, Method.alone(("price", "cut")).shares
        ('MGDA-UB', False)
    """

    key: str
    label: str
    networks: tuple[Network, ...]
    weighting: str = UNIFORM
    scales: tuple[tuple[str, float], ...] = ()
    predicted: float | None = None
    proven: bool = False

    @classmethod
    def alone(cls, tasks: Iterable[str]) -> Method:
        """A network for every task."""
        return cls(BASELINE, label_of(BASELINE), tuple(Network((task,), (task,)) for task in tasks))

    @classmethod
    def of_all(cls, weighting: str, tasks: Sequence[str]) -> Method:
        """One network for all tasks, balanced by a weighting."""
        return cls(weighting, label_of(weighting), (Network(tuple(tasks), tuple(tasks)),), weighting)

    @classmethod
    def tuned(cls, scales: dict[str, float]) -> Method:
        """One network for all tasks, trained on the sum of losses times these scales."""
        network = Network(tuple(scales), tuple(scales))
        return cls(TUNED, "Tuned loss scales", (network,), UNIFORM, tuple(scales.items()))

    @property
    def shares(self) -> bool:
        """Whether any network has more than one task."""
        return any(len(network.tasks) > 1 for network in self.networks)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "key": self.key,
            "label": self.label,
            "networks": [{"tasks": list(network.tasks), "serves": list(network.serves)} for network in self.networks],
            "weighting": self.weighting,
            "scales": dict(self.scales),
            "predicted": self.predicted,
            "proven": self.proven,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Method:
        """What :meth:`to_json` made."""
        networks = tuple(Network(tuple(each["tasks"]), tuple(each["serves"])) for each in values["networks"])
        return cls(**{**values, "networks": networks, "scales": tuple(values["scales"].items())})

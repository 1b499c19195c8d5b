"""What grouping returns: networks, the tasks they serve, and the certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from counterpoint.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

Status = Literal["optimal", "feasible"]


@dataclass(frozen=True)
class Network:
    """One network to train.

    Attributes:
        tasks: The tasks it contains, in the order of the affinity.
        serves: Those whose predictions are taken from it. The others are helpers.

    Example:
        >>> print(Network(("edges", "depth", "labels"), ("edges", "depth")))
        edges, depth (helped by labels)
    """

    tasks: tuple[str, ...]
    serves: tuple[str, ...]

    def __str__(self) -> str:
        helpers = tuple(task for task in self.tasks if task not in self.serves)
        return ", ".join(self.serves) + (f" (helped by {', '.join(helpers)})" if helpers else "")


@dataclass(frozen=True)
class Grouping:
    """Networks that serve the tasks, and a proof of how good they are.

    Attributes:
        networks: The chosen networks, ordered by the first task they serve.
        score: Mean over served tasks of the score that their network gives them, in units of the affinity.
        bound: No grouping has an objective above this. The objective is the score, less ``cost`` for every network.
        status: "optimal" if ``gap`` is at most 1e-9 of the largest affinity in size, else "feasible".
        seconds: Time taken.
        scores: {served task: score}, in the order of the affinity.
        cost: What a network costs, 0 if no ``cost`` was given.

    Example:
        >>> from counterpoint import group_tasks
        >>> grouping = group_tasks([[0.0, 0.4], [0.2, 0.0]], 1, tasks=["edges", "depth"])
        >>> grouping.scores["depth"], grouping.of("edges").tasks, grouping.gap
        (0.4, ('edges', 'depth'), 0.0)
    """

    networks: tuple[Network, ...]
    score: float
    bound: float
    status: Status
    seconds: float
    scores: Mapping[str, float]
    cost: float = 0.0

    @property
    def objective(self) -> float:
        """What was maximized: ``score - cost * len(networks)``."""
        return self.score - self.cost * len(self.networks)

    @property
    def gap(self) -> float:
        """``bound - objective``, at least 0: by how much another grouping could be better."""
        return self.bound - self.objective

    @property
    def tasks(self) -> tuple[str, ...]:
        """The served tasks, in the order of the affinity."""
        return tuple(self.scores)

    def of(self, task: str) -> Network:
        """The network that serves the task.

        Raises:
            ValueError: if no network serves it; the nearest task is named.
        """
        for network in self.networks:
            if task in network.serves:
                return network
        raise ValueError(
            f"task {task!r} is not served, expected one of {list(self.scores)}{did_you_mean(task, self.scores)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain lists, dictionaries and numbers."""
        return {
            "networks": [{"tasks": list(network.tasks), "serves": list(network.serves)} for network in self.networks],
            "scores": dict(self.scores),
            "score": self.score,
            "cost": self.cost,
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "status": self.status,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        proof = "optimal" if self.status == "optimal" else f"at most {self.gap:.4g} below the optimum"
        head = f"{len(self.networks)} network{'s' * (len(self.networks) != 1)}, mean score {self.score:.6g} ({proof})"
        lines = (f"  {number}: {network}" for number, network in enumerate(self.networks, start=1))
        return "\n".join((head, *lines))


@dataclass(frozen=True)
class Progress:
    """How far the search has come.

    Attributes:
        seconds: Time since the start.
        objective: Of the best grouping so far, in units of the affinity; never falls.
        bound: No grouping has a higher objective; never rises. Infinite until the first bound is known.
        stage: "start", "columns" (sets are generated), "pricing" (it is proven that none is missing), "integer"
            (the best choice among the remaining sets), or "done".
        rounds: Linear programs solved so far.
        exact_rounds: Searches through all sets so far.
    """

    seconds: float
    objective: float
    bound: float
    stage: Literal["start", "columns", "pricing", "integer", "done"]
    rounds: int = 0
    exact_rounds: int = 0

    @property
    def gap(self) -> float:
        """``bound - objective``."""
        return self.bound - self.objective

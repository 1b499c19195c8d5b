"""Whether the parts of a bundle fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.serving.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.data.tables import Preprocessing
    from counterpoint.serving.served import ServedNetwork


def check_routes(tasks: Sequence[str], networks: Sequence[ServedNetwork]) -> None:
    """Every task is served by exactly one network, which was trained on it.

    Raises:
        BundleError: if not.
    """
    if len(set(tasks)) < len(tasks):
        raise BundleError(f"two tasks have the same name: {', '.join(tasks)}")
    served: dict[str, int] = {}
    for index, network in enumerate(networks):
        for task in network.serves:
            if task in served:
                raise BundleError(f"task {task!r} is served by network {served[task]} and by network {index}")
            if task not in network.tasks:
                raise BundleError(f"network {index} serves task {task!r}, which it was not trained on")
            served[task] = index
    if lost := [task for task in tasks if task not in served]:
        raise BundleError(f"task {lost[0]!r} is served by no network")
    if foreign := [task for task in served if task not in tasks]:
        raise BundleError(f"network {served[foreign[0]]} serves {foreign[0]!r}, which is no task of the bundle")


def check_inputs(preprocessing: Preprocessing, networks: Sequence[ServedNetwork]) -> None:
    """Every network takes what the preprocessing makes.

    Raises:
        BundleError: if not.
    """
    made = (preprocessing.inputs, tuple(preprocessing.cardinalities))
    for index, served in enumerate(networks):
        taken = (getattr(served.network, "inputs", None), getattr(served.network, "cardinalities", ()))
        if taken != made:
            raise BundleError(
                f"network {index} takes {taken[0]} columns and categories {list(taken[1])}, the preprocessing makes "
                f"{made[0]} and {list(made[1])}"
            )

"""What a TrajectoryCallback adds to the library's own training: by its own account, and by the clock on the wall."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from counterpoint.training import Curvature, TrajectoryCallback, fit
from measuring import interleaved, round_by_round, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from counterpoint.study.source import Source

WITHOUT = "without"
DEFAULT, ALL_LOOKS, WITH_CURVATURE = "default", "budget=None", "default, with curvature"
CALLBACKS: dict[str, dict[str, Any] | None] = {
    WITHOUT: None,
    DEFAULT: {},
    ALL_LOOKS: {"budget": None},
    WITH_CURVATURE: {"curvature": Curvature(), "curvature_budget": 1.0},
}
LOOKS = {"losses": "probes", "gradients": "gradient_probes", "curvature": "curvature_probes"}


def shares(source: Source, seeds: int, epochs: int | None) -> list[dict[str, Any]]:
    """A row for each way to look; every seed's trainings take turns."""
    callbacks: dict[str, list[TrajectoryCallback]] = {name: [] for name in CALLBACKS}
    settings = replace(source.fit, epochs=epochs or source.fit.epochs, progress_bar=False)
    splits = source.splits(source.tasks)

    def train(seed: int, callback: TrajectoryCallback | None) -> float:
        module = source.build(source.tasks, "uniform", seed)
        with tempfile.TemporaryDirectory() as folder:
            own = [] if callback is None else [callback]
            return fit(module, splits, replace(settings, seed=seed), folder, callbacks=own).seconds

    def timer(name: str, options: Mapping[str, Any] | None) -> Callable[[], float]:
        seeds_of_rounds = count()

        def once() -> float:
            callback = None
            if options is not None:
                callback = TrajectoryCallback(splits["train"], splits["test"], **options)
                callbacks[name].append(callback)
            return train(next(seeds_of_rounds), callback)

        return once

    train(0, None)  # what the first training loads is not timed
    timers = {name: timer(name, options) for name, options in CALLBACKS.items()}
    seconds = interleaved(timers, dict.fromkeys(timers, seeds))
    return [
        {
            "what": name,
            "seconds": _ranged(seconds[name]),
            "outside": _ranged([ratio - 1.0 for ratio in round_by_round(seconds[name], seconds[WITHOUT])]),
            **_own_account(callbacks[name]),
        }
        for name in CALLBACKS
    ]


def _own_account(callbacks: list[TrajectoryCallback]) -> dict[str, Any]:
    if not callbacks:
        return {}
    looks = {name: [getattr(callback, attribute) for callback in callbacks] for name, attribute in LOOKS.items()}
    training = [callback.training_seconds for callback in callbacks]
    return {
        "training seconds": _ranged(training),
        "share": _ranged([callback.share for callback in callbacks]),
        "curvature_share": _ranged([callback.curvature_share for callback in callbacks]),
        "taken": {name: [one.taken for one in several] for name, several in looks.items()},
        "thinned": {name: [one.thinned for one in several] for name, several in looks.items()},
        "ms a look": {
            name: _ranged([1e3 * one.spent / one.taken for one in several if one.taken])
            for name, several in looks.items()
            if any(one.taken for one in several)
        },
        "share by kind": {
            name: _ranged([one.spent / whole for one, whole in zip(several, training, strict=True)])
            for name, several in looks.items()
        },
        "warnings": sorted({warning for callback in callbacks for warning in callback.warnings}),
    }


def _ranged(values: list[float]) -> dict[str, Any]:
    return spread(values) | {"min": min(values), "max": max(values), "values": values}

"""One training, from a model to its test results at the best checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from counterpoint.data import Rows
from counterpoint.training.given_rows import check_labels, identity_of, may_lack_labels
from counterpoint.training.history import History
from counterpoint.training.loading import Loaded, loader
from counterpoint.training.module import SCORE, MultiTaskModule
from counterpoint.training.resume import Resume
from counterpoint.training.settings import FitSettings, Precision
from counterpoint.training.trainer import global_rank, quiet, trainer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from counterpoint.data.split import Passes

__all__ = ["FitResult", "FitSettings", "Precision", "fit"]


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a training left.

    Attributes:
        test: Loss and metric by task on the test rows, at the checkpoint with the best validation score:
            ``{task: {"loss": ..., "metric": ...}}``, and the task's other metrics by their names.
        validation: The same on the validation rows.
        history: See :class:`History`.
        checkpoint: The best checkpoint.
        seconds: Wall time of training and validation, without what an interruption undid.
        epochs: Passes over the training rows.
        best_epoch: The epoch of the best checkpoint, counted from 0.
    """

    test: dict[str, dict[str, float]]
    validation: dict[str, dict[str, float]]
    history: pd.DataFrame
    checkpoint: Path
    seconds: float
    epochs: int
    best_epoch: int


def fit(
    module: MultiTaskModule,
    splits: Mapping[str, Rows | Any],
    settings: FitSettings,
    folder: str | Path,
    on_epoch: Callable[[float], None] | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
) -> FitResult:
    """Trains, validates after each epoch, goes back to the best epoch's weights, and tests.

    Writes Lightning's logs (CSV and TensorBoard) and the best checkpoint into ``folder``; in long trainings also a
    checkpoint to resume from, which is removed at the end.

    Several processes, started by ``torchrun``, train on shares of each batch, as one would on the whole; each evaluates
    all rows and returns the same result. They have to see the same folder, and the first one writes.

    Args:
        module: What to train.
        splits: ``"train"``, ``"validation"`` and ``"test"`` rows: each a :class:`Split`, other
            :class:`~counterpoint.data.Rows`, or a loader of batches ``(inputs, {task: targets})`` with a length, such
            as a DataLoader. In several processes a loader has to yield the same batches in each.
        settings: How.
        folder: Where logs and checkpoints go.
        on_epoch: Called with the share that is done after each epoch.
        callbacks: More of Lightning's callbacks, for example an :class:`AffinityCallback`.
        resume: Whether to go on from the last checkpoint in ``folder``, if there is a whole one of this very training;
            the end is that of an uninterrupted training. Give it a module as it was before training.

    Raises:
        ValueError: for rows that are missing, none or of another form, or without labels; for several processes that
            were not started.

    Example:
        >>> import tempfile, torch
        >>> from counterpoint import MultiTaskModel, Task
        >>> from counterpoint.data import Split
        >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        >>> splits = dict.fromkeys(("train", "validation", "test"), Split(x, {"a": (x[:, 0] > 0).long()}))
        >>> model = MultiTaskModel(torch.nn.Linear(2, 4), {"a": torch.nn.Linear(4, 2)})
        >>> module = MultiTaskModule(model, [Task.classification("a", 2)], lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = fit(module, splits, FitSettings(epochs=5, batch_size=16, progress_bar=False), folder)
        >>> result.test["a"]["metric"] > 0.8
        True
    """
    import pandas as pd  # noqa: PLC0415  (a second to load; only needed here)

    folder = Path(folder)
    loaders = _loaders(splits, settings)
    check_labels(module.tasks, splits)
    module.shares_batches = settings.ranks > 1
    history = History(settings.record_every, on_epoch)
    best = ModelCheckpoint(
        folder / "checkpoints", filename="best", monitor=SCORE, mode="max", enable_version_counter=False
    )
    about = {
        "folder": str(folder.resolve()),
        "callbacks": _remembering(callbacks),
    }  # what Lightning restores alone there
    about |= _about(module, splits, loaders, settings)
    last = Resume(folder / "checkpoints" / "last.ckpt", about, settings.checkpoint_seconds)
    goes_on = resume and last.look()
    if goes_on and not isinstance(loaders["train"], Loaded):
        loaders["train"].start_at(last.epochs)
    own: list[Callback] = [history, best, last]
    if settings.patience is not None:
        own.append(EarlyStopping(SCORE, mode="max", patience=settings.patience, check_finite=False))
    with quiet():
        trainer = trainer_for(
            settings,
            folder,
            [*own, *callbacks],
            partial=settings.ranks > 1 and may_lack_labels(module.tasks, splits["train"]),
        )
        try:
            trainer.fit(
                module,
                loaders["train"],
                loaders["validation"],
                ckpt_path=str(last.path) if goes_on else None,
                weights_only=True,
            )
        except SystemExit:
            if trainer.interrupted:  # Lightning turns Ctrl-C into an exit without a word
                raise KeyboardInterrupt from None
            raise
        seconds, epochs = last.training_seconds, trainer.current_epoch
        checkpoint = Path(best.best_model_path)
        trainer.test(module, loaders["test"], ckpt_path=str(checkpoint), verbose=False, weights_only=True)
        tested = dict(module.results["test"])
        trainer.validate(module, loaders["validation"], verbose=False)  # the same weights
    if trainer.is_global_zero:
        last.done()
    validated, rows = dict(module.results["validation"]), pd.DataFrame(history.rows)
    best_epoch = int(torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"])
    return FitResult(tested, validated, rows, checkpoint, seconds, epochs, best_epoch)


def _loaders(splits: Mapping[str, Rows | Any], settings: FitSettings) -> dict[str, Passes | Loaded]:
    names = {"train": "training", "validation": "validation", "test": "test"}
    if missing := [name for name in names if name not in splits]:
        raise ValueError(f"splits are {sorted(splits)}, expected {list(names)}: {missing[0]!r} is missing")
    rank = global_rank(settings)
    # Evaluation keeps no gradients, so larger batches fit and save overhead.
    size = 4 * settings.batch_size
    return {
        "train": loader(
            splits["train"],
            names["train"],
            settings.batch_size,
            shuffle_seed=settings.seed,
            rank=rank,
            ranks=settings.ranks,
        ),
        **{name: loader(splits[name], names[name], size) for name in ("validation", "test")},
    }


def _about(
    module: MultiTaskModule,
    splits: Mapping[str, Rows | Any],
    loaders: Mapping[str, Passes | Loaded],
    settings: FitSettings,
) -> dict[str, Any]:
    """What must be the same for a training to be the one that was interrupted."""
    same = ("epochs", "batch_size", "seed", "precision", "record_every", "patience", "devices", "nodes")
    return {
        "settings": {name: getattr(settings, name) for name in same},
        "optimization": asdict(module.optimization),
        "level": module.level,
        "tasks": list(module.tasks),
        "parameters": {name: list(own.shape) for name, own in module.named_parameters()},
        "model": repr(module.model),
        "batches": {name: len(batches) for name, batches in loaders.items()},
        "rows": {name: identity_of(splits[name]) for name in loaders if isinstance(splits[name], Rows)},
    }


def _remembering(callbacks: Sequence[Callback]) -> list[str]:
    """Callbacks that go on from what they had: one that was not there would have missed a part."""
    return sorted(own.state_key for own in callbacks if type(own).state_dict is not Callback.state_dict)

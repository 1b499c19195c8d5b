"""One training, from a model to its test results at the best checkpoint."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from counterpoint.training.history import History
from counterpoint.training.module import SCORE, MultiTaskModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from counterpoint.data import Split

Precision = Literal["32", "bf16"]


@dataclass(frozen=True)
class FitSettings:
    """How to train.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows a step.
        seed: Chooses the order of the rows.
        precision: ``"32"``, or ``"bf16"`` for bf16 autocast with fp32 parameters.
        record_every: Steps between two rows of the history.
        progress_bar: Whether Lightning draws its progress bar.

    Raises:
        ValueError: for a number below 1 or an unknown precision.

    Example:
        >>> FitSettings(epochs=2).batch_size
        256
    """

    epochs: int = 6
    batch_size: int = 256
    seed: int = 0
    precision: Precision = "32"
    record_every: int = 5
    progress_bar: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "record_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.precision not in {"32", "bf16"}:
            raise ValueError(f"precision is {self.precision!r}, expected '32' or 'bf16'")


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a training left.

    Attributes:
        test: Loss and metric by task on the test rows, at the checkpoint with the best validation score.
        validation: The same on the validation rows.
        history: See :class:`History`.
        checkpoint: The best checkpoint.
        seconds: Wall time of training and validation.
    """

    test: dict[str, dict[str, float]]
    validation: dict[str, dict[str, float]]
    history: pd.DataFrame
    checkpoint: Path
    seconds: float


def fit(
    module: MultiTaskModule,
    splits: Mapping[str, Split],
    settings: FitSettings,
    folder: str | Path,
    on_epoch: Callable[[float], None] | None = None,
    *,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Trains, validates after each epoch, goes back to the best epoch's weights, and tests.

    Writes Lightning's logs (CSV and TensorBoard) and the best checkpoint into ``folder``.

    Args:
        module: What to train.
        splits: ``"train"``, ``"validation"`` and ``"test"`` rows.
        settings: How.
        folder: Where logs and checkpoints go.
        on_epoch: Called with the share that is done after each epoch.
        callbacks: More of Lightning's callbacks, for example an :class:`AffinityCallback`.

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
    history = History(settings.record_every, on_epoch)
    best = ModelCheckpoint(
        folder / "checkpoints", filename="best", monitor=SCORE, mode="max", enable_version_counter=False
    )
    all_callbacks = [history, best, *callbacks, *([_ProgressBar()] if settings.progress_bar else [])]
    with _quiet():
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
            devices=1,
            logger=[CSVLogger(folder, "csv", ""), TensorBoardLogger(folder, "tensorboard", "")],
            callbacks=all_callbacks,
            log_every_n_steps=settings.record_every,
            enable_progress_bar=settings.progress_bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        train = splits["train"].batches(settings.batch_size, shuffle_seed=settings.seed)
        # Evaluation keeps no gradients, so larger batches fit and save overhead.
        validation = splits["validation"].batches(4 * settings.batch_size)
        test = splits["test"].batches(4 * settings.batch_size)
        started = time.perf_counter()
        try:
            trainer.fit(module, train, validation)
        except SystemExit:
            if trainer.interrupted:  # Lightning turns Ctrl-C into an exit without a word
                raise KeyboardInterrupt from None
            raise
        seconds = time.perf_counter() - started
        checkpoint = Path(best.best_model_path)
        trainer.test(module, test, ckpt_path=str(checkpoint), verbose=False, weights_only=True)
        tested = dict(module.results["test"])
        trainer.validate(module, validation, verbose=False)  # the same weights
    return FitResult(tested, dict(module.results["validation"]), pd.DataFrame(history.rows), checkpoint, seconds)


class _ProgressBar(RichProgressBar):
    """Lightning's progress bar without the version of a log folder that has none."""

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning advertises and advises on standard error; people read our progress there."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*(Checkpoint|logs) directory .* exists.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")  # within Lightning 2.6 on torch 2.13
        warnings.filterwarnings("ignore", message=".*number of training batches .* is smaller than the logging.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

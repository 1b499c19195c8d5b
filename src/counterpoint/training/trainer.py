"""Lightning's Trainer as our trainings need it."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from typing import TYPE_CHECKING

import lightning
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import DDPStrategy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lightning.pytorch.loggers import Logger

    from counterpoint.training.settings import FitSettings


def trainer_for(
    settings: FitSettings, folder: Path, callbacks: Sequence[Callback], *, partial: bool
) -> lightning.Trainer:
    """A trainer.

    Args:
        settings: How to train.
        folder: Where logs go.
        callbacks: Lightning's callbacks.
        partial: Whether labels may be missing, so that a step may leave parameters out.
    """
    loggers: list[Logger] = []
    if settings.logs:
        loggers = [CSVLogger(folder, "csv", ""), TensorBoardLogger(folder, "tensorboard", "")]
    return lightning.Trainer(
        max_epochs=settings.epochs,
        precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=DDPStrategy(find_unused_parameters=partial) if settings.ranks > 1 else "auto",
        use_distributed_sampler=False,  # each process takes its share of every batch
        profiler=_NoProfiler(),
        logger=loggers or False,
        callbacks=[*callbacks, *([_ProgressBar()] if settings.progress_bar else [])],
        log_every_n_steps=settings.record_every,
        enable_progress_bar=settings.progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def global_rank(settings: FitSettings) -> int:
    """Which of the processes this is.

    Raises:
        ValueError: unless as many were started as the settings say.
    """
    if settings.ranks == 1:
        return 0
    if dist.is_available() and dist.is_initialized():
        rank, started = dist.get_rank(), dist.get_world_size()
    else:
        rank, started = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if started != settings.ranks:
        raise ValueError(
            f"devices={settings.devices} on nodes={settings.nodes}: {started} process(es) were started, expected "
            f"{settings.ranks}: start the program with torchrun --nnodes {settings.nodes} --nproc-per-node "
            f"{settings.devices}"
        )
    return rank


class _NoProfiler(Profiler):
    """Measures nothing, in no time: Lightning's own makes some 40 context managers a step."""

    def __init__(self) -> None:
        super().__init__()
        self._nothing = contextlib.nullcontext()

    def start(self, action_name: str) -> None:
        """Nothing."""

    def stop(self, action_name: str) -> None:
        """Nothing."""

    def summary(self) -> str:
        """Nothing to tell."""
        return ""

    def profile(self, action_name: str) -> contextlib.AbstractContextManager[str]:  # type: ignore[override]  # noqa: ARG002
        """One context for all actions."""
        return self._nothing  # type: ignore[return-value]


class _ProgressBar(RichProgressBar):
    """Lightning's progress bar without the version of a log folder that has none."""

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
        warnings.filterwarnings("ignore", message=".*`training_step` returned `None`.*")  # a batch without labels
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

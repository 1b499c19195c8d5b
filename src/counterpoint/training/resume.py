"""Checkpoints from which an interrupted training goes on as if nothing had happened."""

from __future__ import annotations

import os
import pickle
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint

from counterpoint.training.module import MultiTaskModule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import lightning

_FORMAT = 1
_KEY = "counterpoint"


class Resume(Checkpoint):
    """Writes a checkpoint at ends of epochs, at most every so many seconds, whole or not at all.

    With Lightning's own state it keeps what decides about the rest of a training: random numbers of every process, held
    weights, seconds so far. What is left of the training is then bit by bit that of an uninterrupted one.

    Args:
        path: The file.
        about: What tells this training from others: plain values.
        seconds: Least time from one checkpoint to the next.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], seconds: float) -> None:
        self.path, self.about, self.seconds = path, dict(about), seconds
        self.epochs = 0
        self.seconds_before = 0.0
        self._found: dict[str, Any] = {}
        self._started = self._saved = time.perf_counter()
        self._added: dict[str, Any] = {}

    def look(self) -> bool:
        """Whether there is a whole checkpoint of this training."""
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)[_KEY]
            whole = found["format"] == _FORMAT and found["about"] == self.about
            if whole:
                self._found, self.epochs = found, int(found["epochs"])
                self.seconds_before = float(found["seconds"])
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, pickle.UnpicklingError):
            return False  # none there, cut off, or no such file
        return bool(whole)

    def done(self) -> None:
        """The training has ended: nothing is left to resume."""
        self.path.unlink(missing_ok=True)

    @property
    def training_seconds(self) -> float:
        """Time of the training so far, with what came before an interruption."""
        return self.seconds_before + time.perf_counter() - self._started

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Goes on with the random numbers of the interrupted training."""
        self._started = self._saved = time.perf_counter()
        if self._found:
            _set_random_states(self._found["random"][trainer.global_rank])
            if isinstance(pl_module, MultiTaskModule):
                pl_module.load_balance(self._found["balance"])
            self._found = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Writes, unless the training is over."""
        if trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or 0):
            return
        due = time.perf_counter() - self._saved >= self.seconds
        if not trainer.strategy.broadcast(due):
            return
        self._added = {
            "format": _FORMAT,
            "about": self.about,
            "epochs": trainer.current_epoch + 1,
            "seconds": self.training_seconds,
            "random": _of_all_ranks(trainer, _random_states()),
            "balance": pl_module.balance_state() if isinstance(pl_module, MultiTaskModule) else {},
        }
        part = self.path.with_name(self.path.name + ".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self.path)  # noqa: PTH105  (says what it does better than Path.replace)
        self._added, self._saved = {}, time.perf_counter()

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: lightning.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Adds what Lightning does not keep."""
        if self._added:
            checkpoint[_KEY] = self._added


def _random_states() -> dict[str, Any]:
    """States of the generators of this process, as a checkpoint without pickled code holds them."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  (what users' code draws from)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002


def _of_all_ranks(trainer: lightning.Trainer, state: dict[str, Any]) -> list[dict[str, Any]]:
    if trainer.world_size == 1:
        return [state]
    states: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(states, state)
    return states

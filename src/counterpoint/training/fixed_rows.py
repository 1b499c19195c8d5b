"""The rows that are looked at, the same in each look."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection

from counterpoint.data import Rows
from counterpoint.undisturbed import Undisturbed

if TYPE_CHECKING:
    import lightning


def fixed_rows(given: Rows | Any, count: int | None) -> Any:
    """So many rows in random order, the same in every call, as :meth:`Split.drawn` has them; a batch as it is."""
    if not isinstance(given, Rows):
        return given
    order = torch.randperm(len(given), generator=torch.Generator().manual_seed(0))
    return given.rows(order[: len(given) if count is None else count])


def moved(trainer: lightning.Trainer, module: lightning.LightningModule, batch: Any) -> Any:
    """The batch where the module computes, as a training batch would come there.

    Hooks on the way may draw random numbers, the same each time, and may write into their batch, which is a copy.
    """
    with Undisturbed(()):  # random numbers
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  (what hooks use)
        torch.default_generator.manual_seed(0)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(0)
        batch = apply_to_collection(batch, torch.Tensor, torch.clone)
        batch = trainer.precision_plugin.convert_input(batch)
        batch = module._on_before_batch_transfer(batch)  # noqa: SLF001  (as Lightning calls it, with the data module's)
        return trainer.strategy.batch_to_device(batch, module.device)

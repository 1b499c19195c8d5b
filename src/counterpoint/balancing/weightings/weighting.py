"""What a weighting is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Weighting(nn.Module, ABC):
    """Gram matrix of T task gradients in, T weights out.

    Subclass it and write ``forward``. A weighting is a module, so that what it learns travels in ``state_dict``; it
    runs without gradients, inside a backward pass. Where a weighting is expected, a plain callable of one argument (the
    Gram matrix) does as well. The Gram matrix is that of the tasks that took part in the backward pass, in the order of
    the layer's tasks: T varies where labels are missing.

    Attributes:
        needs_gram: ``False`` if the weights do not depend on the Gram matrix; with ``on_nonfinite="propagate"`` it is
            then never copied to the host.

    Example:
        >>> import torch
        >>> class InverseNorm(Weighting):
        ...     def forward(self, gram, losses=None):
        ...         return gram.diagonal().rsqrt()
        >>> InverseNorm()(torch.diag(torch.tensor([4.0, 1.0])))
        tensor([0.5000, 1.0000])
    """

    needs_gram: ClassVar[bool] = True

    @abstractmethod
    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Computes the weights.

        Args:
            gram: [T, T] inner products of the task gradients, fp64 on the CPU.
            losses: [T] values of the losses, where they are known.

        Returns:
            [T] weights of the task gradients in the shared update.
        """

    def __call__(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Checks the shapes and computes the weights, [T, T] -> [T].

        Raises:
            ValueError: if ``gram`` is not square or does not fit ``losses``.
        """
        if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] == 0:
            raise ValueError(f"gram has shape {list(gram.shape)}, expected a square matrix [T, T] with T >= 1")
        if losses is not None and losses.shape != gram.shape[:1]:
            raise ValueError(f"losses have shape {list(losses.shape)}, expected [{gram.shape[0]}], one loss a task")
        weights: Tensor = super().__call__(gram, losses)
        return weights

"""Seeded random projections of gradients to a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


class CountSketch:
    r"""Adds each of N coordinates, with a random sign, to one of d random buckets: one pass, [N] to [d].

    Inner products of sketches are unbiased, E<Sa, Sb> = <a, b>, with standard deviation at most

    .. math:: \sqrt{(\|a\|^2 \|b\|^2 + \langle a, b \rangle^2) / d},

    which is the vectors' norms over :math:`\sqrt{d}` for nearly orthogonal ones (`Charikar et al. 2002
    <https://doi.org/10.1007/3-540-45465-9_59>`_). `Li et al. 2024 <https://arxiv.org/abs/2409.06091>`_ find random
    projections of gradients enough to estimate task affinities. Buckets and signs depend on the seed and on N alone:
    every step and every rank uses the same.

    Args:
        size: d.
        seed: Chooses buckets and signs.

    Raises:
        ValueError: if ``size`` is not a positive integer.

    Example:
        >>> sketch = CountSketch(4096, seed=0)
        >>> a, b = torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0))
        >>> error = abs(float(sketch([a]) @ sketch([b]) - a @ b))
        >>> error < 4 * float(a.norm() * b.norm()) / 4096**0.5
        True
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"sketch={size!r}, expected a positive integer, such as 4096 numbers for each task")
        self.size = size
        self.seed = seed
        self._sizes: tuple[int, ...] = ()
        self._places: list[Tensor] = []

    def __call__(self, vector: Sequence[Tensor | None], like: Sequence[Tensor] | None = None) -> Tensor:
        """Sketch of the tensors' concatenation, [d], fp64 on the CPU.

        Args:
            vector: The tensors; ``None`` is zero.
            like: Tensors of the same shapes, where some are ``None``.
        """
        buckets: Tensor | None = None
        for part, place in zip(vector, self._placed(vector if like is None else like), strict=True):
            if part is None:
                continue
            flat = part.detach().reshape(-1).to(torch.promote_types(part.dtype, torch.float32))
            if buckets is None:
                buckets = flat.new_zeros(2 * self.size)
            buckets.index_add_(0, place.to(flat.device), flat.to(buckets))
        if buckets is None:
            return torch.zeros(self.size, dtype=torch.float64)
        plus, minus = buckets.to("cpu", torch.float64).view(2, self.size)
        difference: Tensor = plus - minus
        return difference

    def _placed(self, like: Sequence[Tensor | None]) -> list[Tensor]:
        """For each coordinate a bucket among 2d: those of the second half are the first half's with a minus."""
        sizes = tuple(0 if tensor is None else tensor.numel() for tensor in like)
        if sizes != self._sizes:
            generator = torch.Generator().manual_seed(self.seed)
            places = [torch.randint(2 * self.size, (n,), generator=generator, dtype=torch.int32) for n in sizes]
            self._places = [
                place if tensor is None else place.to(tensor.device) for place, tensor in zip(places, like, strict=True)
            ]
            self._sizes = sizes
        return self._places

"""Seeded random projections of long gradients to a few thousand numbers, in next to no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

# A prime, so that nothing regular in a gradient (channels, rows of an image) falls into few buckets.
SIZE = 4093
# Coordinates folded at once: 4 MiB of fp32, which stay in a core's cache. Their signs are all that is kept.
_ROWS = 256


class SignSketch:
    r"""Gives each of N coordinates a random sign and adds it to one of d buckets: [N] to [d], linearly.

    Inner products of sketches are unbiased, E<Sa, Sb> = <a, b>, with a standard deviation of about

    .. math:: \sqrt{(\|a\|^2 \|b\|^2 + \langle a, b \rangle^2) / d}

    (a count sketch, `Charikar et al. 2002 <https://doi.org/10.1007/3-540-45465-9_59>`_). Being linear, S hardly changes
    the norm of any combination of T vectors, however small: by a factor within about 1 ± sqrt(T / d) for all of them
    together (an oblivious subspace embedding, `Woodruff 2014 <https://arxiv.org/abs/1411.4357>`_, Section 2). That is
    what a min-norm point needs. Up to d coordinates the sketch is the vector itself.

    Buckets follow one another and each stretch of coordinates starts at another one, so that no table of buckets is
    needed and signs can be used again every million coordinates: two with the same sign never meet in a bucket. For a
    gradient that is the same everywhere deviations are larger: 1.5 times with 20 million coordinates, 1.7 with 120.

    Args:
        size: d.
        seed: Chooses signs and starts; they depend on nothing else, so that every rank has the same.

    Example:
        >>> sketch = SignSketch()
        >>> a, b = torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0))
        >>> error = abs(float(sketch([a]) @ sketch([b]) - a @ b))
        >>> error < 4 * float(a.norm() * b.norm()) / sketch.size**0.5
        True
    """

    def __init__(self, size: int = SIZE, seed: int = 0) -> None:
        self.size = size
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self._starts: list[int] = torch.randperm(size, generator=generator).tolist()
        self._signs: Tensor | None = None

    def __call__(self, vectors: Sequence[Tensor | None], sizes: Sequence[int] | None = None) -> Tensor:
        """The sketch of one vector given in parts, [d], in at least fp32, on the device of the first part.

        Args:
            vectors: [n] each; ``None`` is zero. At least one is given.
            sizes: The n of all parts, where some are ``None``.
        """
        sizes = [0 if vector is None else vector.numel() for vector in vectors] if sizes is None else sizes
        first = next(vector for vector in vectors if vector is not None)
        dtype = torch.promote_types(first.dtype, torch.float32)
        buckets = torch.zeros(self.size, dtype=dtype, device=first.device)
        short = sum(sizes) <= self.size
        step = _ROWS * self.size
        start = place = 0
        for vector, size in zip(vectors, sizes, strict=True):
            if vector is not None and short:
                buckets[start : start + size] = vector
            elif vector is not None:
                for number, part in enumerate(torch.split(vector, step), place):
                    folded = self._folded(part, dtype).to(buckets)
                    buckets += folded.roll(self._starts[number % self.size])
            start += size
            place += -(-size // step)
        return buckets

    def _folded(self, part: Tensor, dtype: torch.dtype) -> Tensor:
        """Sums of signed coordinates, [d], bucket after bucket."""
        signs = self._signs_on(part.device, dtype)
        rows, rest = divmod(part.numel(), self.size)
        folded = (part[: rows * self.size].view(rows, self.size) * signs[:rows]).sum(0)
        if rest:
            folded[:rest] += part[rows * self.size :] * signs[rows, :rest]
        return folded

    def _signs_on(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """[rows, d] of +1 and -1."""
        if self._signs is None:
            generator = torch.Generator().manual_seed(self.seed)
            bits = torch.randint(2, (_ROWS, self.size), generator=generator, dtype=torch.int8)
            self._signs = bits.to(device, dtype).mul_(2).sub_(1)
        if self._signs.device != device or self._signs.dtype != dtype:
            self._signs = self._signs.to(device, dtype)
        return self._signs

    def __getstate__(self) -> dict[str, object]:
        """Without the signs, which the seed gives."""
        return self.__dict__ | {"_signs": None}

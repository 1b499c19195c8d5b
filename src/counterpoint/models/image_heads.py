"""Heads for images: of a few numbers, or of maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterpoint.models.convolution import Norm, convolved, enlarged


class LinearHead(nn.Module):
    """A linear layer: features [B, channels], or means of maps [B, channels, H, W] over the image, to [B, outputs].

    Args:
        channels: What the encoder's features have.
        outputs: How many numbers.

    Example:
        >>> LinearHead(8, 1)(torch.zeros(2, 8, 5, 5)).shape
        torch.Size([2, 1])
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Features to outputs."""
        return torch.as_tensor(self.linear(features.mean((2, 3)) if features.ndim == 4 else features))


class MapHead(nn.Module):
    """What heads of maps share: their outputs get the size of the targets.

    Args:
        size: Height and width of the targets; ``None`` where ``factor`` says.
        factor: How many times those of the map they are: the encoder's ``stride``.

    Raises:
        ValueError: if a size or the factor is not positive.
    """

    def __init__(self, size: tuple[int, int] | None = None, factor: int = 1) -> None:
        super().__init__()
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size is {size}, expected height and width")
        if factor < 1:
            raise ValueError(f"factor is {factor}, expected at least 1")
        self.size = None if size is None else (size[0], size[1])
        self.factor = factor

    def at_target_size(self, x: Tensor) -> Tensor:
        """Maps [B, C, h, w] at the size of the targets."""
        return enlarged(x, self.size or (x.shape[2] * self.factor, x.shape[3] * self.factor))

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        return f"size={self.size}" if self.size else f"factor={self.factor}"


class ConvHead(MapHead):
    """A 3 x 3 convolution, a ReLU and a 1 x 1 convolution: maps [B, channels, h, w] to [B, outputs, H, W].

    Args:
        channels: What the encoder's map has.
        outputs: Channels of the output: classes, or numbers a pixel.
        hidden: Channels between the convolutions.
        size: Height and width of the targets; ``None`` where ``factor`` says.
        factor: How many times those of the map they are: the encoder's ``stride``.

    Example:
        >>> ConvHead(8, 7, hidden=16, factor=4)(torch.zeros(2, 8, 5, 6)).shape
        torch.Size([2, 7, 20, 24])
    """

    def __init__(
        self, channels: int, outputs: int, *, hidden: int = 64, size: tuple[int, int] | None = None, factor: int = 1
    ) -> None:
        super().__init__(size, factor)
        self.hidden = convolved(channels, hidden, norm="none")
        self.predict = nn.Conv2d(hidden, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """A map to outputs."""
        return self.at_target_size(self.predict(self.hidden(features)))


class ASPPHead(MapHead):
    """Looks at surroundings of several sizes at once: maps [B, channels, h, w] to [B, outputs, H, W].

    Atrous spatial pyramid pooling (`Chen et al. 2017 <https://arxiv.org/abs/1706.05587>`_, Section 3.3): a convolution
    for each rate of dilation, and the mean over the image; all joined by a 1 x 1 convolution. Lighter than theirs:
    fewer rates and channels.

    Args:
        channels: What the encoder's map has.
        outputs: Channels of the output: classes, or numbers a pixel.
        hidden: Channels of each branch, and of what joins them.
        rates: Dilation of each branch's 3 x 3 convolution; 1 is a 1 x 1 convolution as there.
        norm: Normalization of the branches; the mean over the image, one number a channel, is normalized by ``"batch"``
            only, which takes batches of at least 2.
        size: Height and width of the targets; ``None`` where ``factor`` says.
        factor: How many times those of the map they are: the encoder's ``stride``.

    Raises:
        ValueError: if there is no rate.

    Example:
        >>> ASPPHead(8, 7, hidden=16, rates=(1, 2, 4), factor=8)(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 7, 40, 48])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        hidden: int = 64,
        rates: tuple[int, ...] = (1, 6, 12),
        norm: Norm = "group",
        size: tuple[int, int] | None = None,
        factor: int = 1,
    ) -> None:
        super().__init__(size, factor)
        if not rates or min(rates) < 1:
            raise ValueError(f"rates are {rates}, expected at least one dilation of at least 1")
        self.branches = nn.ModuleList(
            convolved(channels, hidden, 1 if rate == 1 else 3, norm=norm, dilation=rate) for rate in rates
        )
        self.whole = convolved(channels, hidden, 1, norm="batch" if norm == "batch" else "none")
        self.project = convolved((len(rates) + 1) * hidden, hidden, 1, norm=norm)
        self.predict = nn.Conv2d(hidden, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """A map to outputs."""
        whole = self.whole(features.mean((2, 3), keepdim=True)).expand(-1, -1, *features.shape[2:])
        joined = torch.cat([*(branch(features) for branch in self.branches), whole], dim=1)
        return self.at_target_size(self.predict(self.project(joined)))


class ScalesHead(MapHead):
    """Predicts from maps of several scales: a tuple of [B, channels[i], h_i, w_i] to [B, outputs, H, W].

    Scales come fine to coarse. As in feature pyramids (`Lin et al. 2017 <https://arxiv.org/abs/1612.03144>`_, Section
    3): a 1 x 1 convolution for each scale, coarse ones enlarged to the finest, all added up; then a 3 x 3 convolution,
    a ReLU and a 1 x 1 convolution.

    Args:
        channels: Those of each scale: the encoder's ``channels``.
        outputs: Channels of the output: classes, or numbers a pixel.
        hidden: Channels of the sum.
        size: Height and width of the targets; ``None`` where ``factor`` says.
        factor: How many times those of the finest scale they are: the encoder's ``stride[0]``.

    Raises:
        ValueError: if there are no scales.

    Example:
        >>> scales = torch.zeros(2, 8, 6, 8), torch.zeros(2, 16, 3, 4)
        >>> ScalesHead((8, 16), 3, hidden=4, factor=4)(scales).shape
        torch.Size([2, 3, 24, 32])
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        outputs: int,
        *,
        hidden: int = 64,
        size: tuple[int, int] | None = None,
        factor: int = 1,
    ) -> None:
        super().__init__(size, factor)
        if not channels:
            raise ValueError("channels is empty, expected those of each scale, fine to coarse")
        self.lateral = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in channels)
        self.hidden = convolved(hidden, hidden, norm="none")
        self.predict = nn.Conv2d(hidden, outputs, 1)

    def forward(self, scales: tuple[Tensor, ...]) -> Tensor:
        """The maps to outputs."""
        rows, columns = scales[0].shape[2:]
        joined = self.lateral[0](scales[0])
        for lateral, scale in zip(self.lateral[1:], scales[1:], strict=True):
            joined = joined + enlarged(lateral(scale), (rows, columns))
        return self.at_target_size(self.predict(self.hidden(joined)))

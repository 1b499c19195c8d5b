"""Balancing as a layer: one feature in, one copy a task out; backward combines the tasks' gradients into one."""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, cast, get_args, overload

import torch
from torch import Tensor, nn

from counterpoint.balancing.combine import OnNonfinite, combine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.balancing.step_record import StepRecord
    from counterpoint.balancing.weightings.weighting import Weighting


class FanOut(nn.Module):
    r"""Hands every task the same features; backward combines the tasks' gradients into one shared update.

    Put it between encoder and heads and call ``sum(losses).backward()``. Backward receives every task's gradient
    :math:`g_t` with respect to the features (over the whole batch), computes their Gram matrix, asks the weighting
    for weights :math:`w`, and sends :math:`\sum_t w_t g_t` down to the encoder, once. Heads receive their own
    gradients, unscaled. ``FanOut(MGDA(), tasks)`` is MGDA-UB (`Sener & Koltun, NeurIPS 2018
    <https://arxiv.org/abs/1810.04650>`_, Section 3.3, Algorithm 2) in one backward pass.

    - A task whose features were not used in this backward pass (no labels in the batch) is left out of the Gram
      matrix and has weight 0. That is not the same as a gradient that is exactly zero, which every weighting sees and
      treats as its own documentation says. Sum the losses: a ``backward()`` for each loss sees one task at a time.
    - In eval mode, under ``torch.no_grad()`` and for features that do not require gradients, the features themselves
      are handed on. In training the copies share memory with the features and PyTorch refuses to modify them in place;
      in evaluation nobody refuses, so heads should not start with an in-place operation.
    - Each backward pass has its own weights: under gradient accumulation every micro-batch is balanced by itself.

    Args:
        weighting: A :class:`Weighting`, or any callable from a Gram matrix [T, T] (fp64, CPU) to T weights.
        tasks: Names of the tasks.
        on_nonfinite: What NaN or infinity in a task's gradient does: ``"raise"`` raises
            :class:`NonFiniteGradientError`; ``"skip"`` leaves the task out of this step's shared update and counts it
            in ``skipped`` (its head has received its own gradient already); ``"propagate"`` lets the shared gradient
            become non-finite (all of it NaN, if the weighting looks at the Gram matrix), which a GradScaler looks for.

    Attributes:
        last: :class:`StepRecord` of the last backward pass, ``None`` before the first. If the layer was used several
            times in a forward pass, the use that backward reached last, usually the first one.
        skipped: How often each task was skipped.

    Raises:
        ValueError: for no tasks, a name given twice, or another ``on_nonfinite``.
        TypeError: if the weighting is not callable or the tasks are not names.

    Example:
        >>> from counterpoint import FanOut, MGDA
        >>> _ = torch.manual_seed(0)
        >>> encoder, fan = nn.Linear(4, 3), FanOut(MGDA(), tasks=["a", "b"])
        >>> heads = {"a": nn.Linear(3, 1), "b": nn.Linear(3, 1)}
        >>> z = fan(encoder(torch.randn(8, 4)))
        >>> sum(heads[task](z[task]).square().mean() for task in z).backward()
        >>> round(float(fan.last.weights.sum()), 6)
        1.0
    """

    def __init__(
        self,
        weighting: Weighting | Callable[[Tensor], Tensor],
        tasks: Sequence[str],
        *,
        on_nonfinite: OnNonfinite = "raise",
    ) -> None:
        super().__init__()
        if not callable(weighting):
            raise TypeError(
                f"weighting={weighting!r} is not callable, expected a Weighting such as MGDA(); "
                "get_weighting(name) makes one from its name"
            )
        if on_nonfinite not in get_args(OnNonfinite):
            raise ValueError(f"on_nonfinite={on_nonfinite!r} is unknown, expected {', '.join(get_args(OnNonfinite))}")
        self.weighting = weighting
        self.tasks = _checked_names(tasks)
        self.on_nonfinite = on_nonfinite
        self.last: StepRecord | None = None
        self.skipped: Counter[str] = Counter()
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        self._warned = False

    @overload
    def forward(self, features: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]: ...
    @overload
    def forward(
        self, features: Sequence[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, tuple[Tensor, ...]]: ...
    def forward(
        self, features: Tensor | Sequence[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor] | dict[str, tuple[Tensor, ...]]:
        """Fans the features out.

        Args:
            features: A tensor [B, ...], or several (scales, experts), whose Gram matrices are added.
            tasks: The tasks that need features this time; all by default.

        Returns:
            The features under each task's name; tuples if several tensors were given.

        Raises:
            ValueError: for an unknown task, or features of another layout than in earlier calls.
            TypeError: if a feature is not a tensor of real numbers.
        """
        names = self.tasks if tasks is None else self._known(tasks)
        if self.training and torch.is_grad_enabled():
            fan = self._fan_uncompiled if torch.compiler.is_compiling() else self._fan
            return cast("dict[str, Tensor]", fan(features, names))
        handed_on = features if isinstance(features, Tensor) else _checked_tensors(features)
        return cast("dict[str, Tensor]", dict.fromkeys(names, handed_on))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _fan_uncompiled(
        self, features: Tensor | Sequence[Tensor], names: tuple[str, ...]
    ) -> dict[str, Tensor] | dict[str, tuple[Tensor, ...]]:
        """Compiled models break their graph here: the weighting runs on the host. Evaluation needs no break."""
        return self._fan(features, names)

    def _fan(
        self, features: Tensor | Sequence[Tensor], names: tuple[str, ...]
    ) -> dict[str, Tensor] | dict[str, tuple[Tensor, ...]]:
        several = not isinstance(features, Tensor)
        tensors = _checked_tensors(features) if several else (cast("Tensor", features),)
        self._check_layout(tensors)
        live = [position for position, tensor in enumerate(tensors) if tensor.requires_grad]
        if live:
            copies = _Fan.apply(self, names, *(tensors[position] for position in live))  # type: ignore[no-untyped-call]
        else:
            copies = ()
            self._warn_frozen()
        if live and not several:
            return dict(zip(names, copies, strict=True))
        fanned: dict[str, tuple[Tensor, ...]] = {}
        for index, name in enumerate(names):
            own = list(tensors)
            for offset, position in enumerate(live):
                own[position] = copies[index * len(live) + offset]
            fanned[name] = tuple(own)
        return fanned if several else {name: own[0] for name, own in fanned.items()}

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        weighting = "" if isinstance(self.weighting, nn.Module) else f"weighting={self.weighting!r}, "
        return f"{weighting}tasks={list(self.tasks)}, on_nonfinite={self.on_nonfinite!r}"

    def _known(self, tasks: Sequence[str]) -> tuple[str, ...]:
        names = _checked_names(tasks)
        for name in names:
            if name not in self.tasks:
                near = difflib.get_close_matches(name, self.tasks, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"unknown task {name!r}, expected names among {list(self.tasks)}{hint}")
        return names

    def _check_layout(self, tensors: tuple[Tensor, ...]) -> None:
        for tensor in tensors:
            if tensor.is_complex():
                raise TypeError(
                    f"features are {tensor.dtype}, expected real numbers: hand on torch.view_as_real of them"
                )
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in tensors)
        before, self._shapes = self._shapes, shapes
        if before is None or before == shapes:
            return
        # Batch size, image size and sequence length may change from call to call, the layout may not.
        agrees = len(before) == len(shapes) and all(
            len(old) == len(new) and (not old or any(o == n for o, n in zip(old, new, strict=True)))
            for old, new in zip(before, shapes, strict=True)
        )
        if not agrees:
            self._shapes = before
            raise ValueError(
                f"features have shape {_shown(shapes)}, expected {_shown(before)} as in earlier calls of this FanOut; "
                "use one FanOut for each place where the network forks"
            )

    def _warn_frozen(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                "FanOut got features without grad in train mode, expected features that require grad: there is nothing "
                "to balance and they are handed on; call .eval() on the FanOut if the encoder is meant to be frozen",
                stacklevel=6,  # whoever called the layer, past nn.Module
            )


class _Fan(torch.autograd.Function):
    """T copies of n feature tensors forward; one balanced gradient for each feature tensor backward."""

    @staticmethod
    def forward(ctx: Any, fan: FanOut, names: tuple[str, ...], *features: Tensor) -> tuple[Tensor, ...]:
        ctx.fan, ctx.names = fan, names
        # An unused copy must come back as None: a gradient of zeros would drag the min-norm point to zero.
        ctx.set_materialize_grads(False)
        return tuple(feature.view_as(feature) for _ in names for feature in features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        fan, names = ctx.fan, ctx.names
        width = len(gradients) // len(names)
        by_name = {name: gradients[task * width : (task + 1) * width] for task, name in enumerate(names)}
        # In the layer's order, whatever the order of the call: weights may depend on a task's position.
        rows = {name: by_name[name] for name in fan.tasks if name in by_name}
        combined, record = combine(rows, fan.weighting, fan.tasks, fan.on_nonfinite)
        fan.last = record
        fan.skipped.update(record.skipped)
        if torch.is_grad_enabled():  # create_graph=True: whoever differentiates the result again must hear of it
            inputs = [gradient for gradient in gradients if gradient is not None]
            combined = [None if c is None else _Once.apply(c, *inputs) for c in combined]  # type: ignore[no-untyped-call]
        return None, None, *combined


class _Once(torch.autograd.Function):
    """Identity on its first argument that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, combined: Tensor, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return combined.view_as(combined)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG004
        raise RuntimeError(
            "double backward through FanOut is not defined, expected first derivatives only: its weights are constants "
            "of the step; for second derivatives put the FanOut in eval mode, which hands the features on"
        )


def _checked_names(tasks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tasks, str):
        raise TypeError(f"tasks={tasks!r} is one string, expected a sequence of names such as [{tasks!r}]")
    names = tuple(tasks)
    if not names:
        raise ValueError("tasks is empty, expected at least one task name")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"tasks holds {name!r}, expected names (str)")
        if names.count(name) > 1:
            raise ValueError(f"task {name!r} is given {names.count(name)} times, expected each name once")
    return names


def _checked_tensors(features: object) -> tuple[Tensor, ...]:
    tensors = tuple(features) if isinstance(features, (list, tuple)) else (features,)
    if not tensors:
        raise ValueError("features is empty, expected a tensor or a sequence of tensors")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"features hold a {type(tensor).__name__}, expected a tensor or a list or tuple of tensors")
    return cast("tuple[Tensor, ...]", tensors)


def _shown(shapes: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join(f"[{', '.join(('B', *map(str, shape)))}]" for shape in shapes)

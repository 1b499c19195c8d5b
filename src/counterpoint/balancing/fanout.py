"""Balancing as a layer: one feature in, one copy a task out; backward combines the tasks' gradients into one."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

import torch
from torch import Tensor, nn

from counterpoint.balancing.anchors import Anchors
from counterpoint.balancing.combine import Balance, OnNonfinite, StepContext, combine, on_host
from counterpoint.balancing.compiled import CompiledFanOut, CompiledLossSum, register
from counterpoint.balancing.fan_node import FanOutFunction, LossSum, Use, branch, positions
from counterpoint.balancing.first_steps import FirstSteps
from counterpoint.balancing.layout import (
    HeadGradients,
    Shapes,
    by_task,
    checked_layout,
    checked_scaler,
    checked_tensors,
)
from counterpoint.balancing.losses import checked_losses
from counterpoint.balancing.notice import notice
from counterpoint.balancing.ranks import Group, Ranks
from counterpoint.balancing.reduce import Reduce, Reduction
from counterpoint.balancing.reuse import Reuse
from counterpoint.balancing.running_pass import RunningPass, running
from counterpoint.balancing.single_task import of_single_task
from counterpoint.balancing.weigh import accept
from counterpoint.balancing.weighted_heads import WeightedHeads
from counterpoint.balancing.weightings.uniform import Uniform
from counterpoint.balancing.weightings.weighting import Length, Weighting
from counterpoint.names import checked_names, known, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from counterpoint.balancing.step_record import StepRecord

    Features = Tensor | Sequence[Tensor]
    Fanned = dict[str, Tensor] | dict[str, tuple[Tensor, ...]]


class FanOut(nn.Module):
    r"""Hands every task the same features; backward combines the tasks' gradients into one shared update.

    Put it between encoder and heads and call ``sum(losses).backward()``. Backward receives every task's gradient
    :math:`g_t` with respect to the features (over the whole batch), computes their Gram matrix, asks the weighting
    for weights :math:`w`, and sends :math:`\sum_t w_t g_t` down to the encoder, once. Heads receive their own
    gradients, unscaled. ``FanOut(MGDA(), tasks)`` is MGDA-UB (`Sener & Koltun, NeurIPS 2018
    <https://arxiv.org/abs/1810.04650>`_, Section 3.3, Algorithm 2) in one backward pass.

    - A task whose features were not used in this backward pass (no labels in the batch) is left out of the Gram
      matrix and has weight 0. So is one without a loss in ``fan.sum(losses)`` whose gradient is exactly zero: compiled
      models and reentrant checkpoints fill in zeros. A zero gradient of a task that has a loss is another thing, which
      every weighting sees and treats as its own documentation says.
    - Sum the losses: a ``backward()`` for each loss sees one task at a time. What else would be trained as something
      else without a word is looked for in the first steps and said in a warning (docs/checks.md).
    - In eval mode the features themselves are handed on, and nobody refuses to modify them in place, so heads should
      not start with an in-place operation. In training each task has a tensor of its own, which shares memory with the
      features; PyTorch refuses to modify it in place.
    - The layer may be used several times in a forward pass: each use has its own Gram matrix and weights. Weightings
      that learn (:attr:`Weighting.learns`) are asked once in a backward pass and all uses have the same weights.
    - In a compiled model (``torch.compile``, compiled autograd) balancing is one operator of the graph. Weighted heads,
      ``on_nonfinite="skip"`` with heads, ``reduce`` and process groups break the graph there and train alike.
    - Each backward pass has its own weights: under gradient accumulation every micro-batch is balanced by itself.
    - Weightings that look at the values of the losses (GradNorm, uncertainty weighting, ...) need
      ``fan.sum(losses).backward()``. It also tells the layer what the sum was multiplied by.

    Args:
        weighting: A :class:`Weighting`, or any callable from a Gram matrix [T, T] (fp64, CPU) to T weights.
        tasks: Names of the tasks.
        heads: ``"own"`` leaves head gradients unscaled; ``"weighted"`` multiplies them by the task's weight, as if the
            weighted sum of the losses had been differentiated. A task that took no part keeps its own.
        head_modules: The head of each task, for ``"weighted"`` and ``on_nonfinite="skip"``. :class:`MultiTaskModel`
            gives it. The parameters inside these modules are what is weighted, while the modules compute; a gradient
            that comes to them by another way (``head.forward``, a part of a head, a reentrant checkpoint) raises.
        process_group: The ranks that train together (``"world"`` for all): Gram matrices are summed over them, and all
            use the weights of the joined batch. Averaging the gradients stays with DDP. Every rank has to go backward
            through the layer in every step: use ``fan.sum(losses)``, which does so without any labels, too.
        grad_scaler: A GradScaler, for weightings whose update does not grow with the loss, such as :class:`DiBS`: the
            loss scale is multiplied back. Non-finite gradients then propagate, for the scaler to skip the step.
        every: New weights every n-th backward pass through the layer; in between the last ones are used.
        on_nonfinite: What NaN or infinity in a task's gradient with respect to the features does, or in its loss, where
            ``fan.sum`` knows it (a mean over no labels is NaN and its gradient zero): ``"raise"`` raises
            :class:`NonFiniteGradientError`; ``"skip"`` leaves the task out of this step's shared update and counts it
            in ``skipped``, and keeps its head out of it, too, where ``head_modules`` are given or it is the loss that
            is not finite; ``"propagate"`` lets the shared gradient become non-finite (all of it NaN, if the weighting
            looks at the Gram matrix), which a GradScaler looks for.
        reduce: Where T gradients of the features' size take too much memory until the last has arrived
            (docs/dense-features.md). ``"bfloat16"`` keeps them in 16 bits. ``"stream"`` keeps none: each is sketched to
            4093 numbers for the Gram matrix, added to one sum with the weight its task had in the backward pass before,
            and dropped; the memory is that of the plain sum for any T. The first pass weighs all alike. That is another
            algorithm than MGDA-UB: weights are those of the last batch, inner products are estimates
            (:class:`~counterpoint.balancing.sign_sketch.SignSketch`).
        length: ``"sum"`` scales each update to the norm that the plain sum of the present tasks' gradients has, so that
            one learning rate serves every weighting; the Gram matrix tells it at no cost. The direction is the
            weighting's. An update that is zero but for rounding stays as it is. Default: as the weighting says, whose
            own lengths differ by orders of magnitude. It undoes a weighting's indifference to a loss's unit as far as
            the length goes.

    Attributes:
        last: :class:`StepRecord` of the last backward pass, ``None`` before the first. If the layer was used several
            times in a forward pass, the use that backward reached last, usually the first one.
        skipped: How often each task was skipped.

    Raises:
        ValueError: for no tasks, a name given twice, another option than those above, or a weighting that makes no
            sense for features or with ``reduce``, or whose answer on a known matrix is not one number a task.
        TypeError: if the weighting is not callable, the tasks are not names, or they are a set, which has no order.

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
        heads: HeadGradients = "own",
        head_modules: Mapping[str, nn.Module] | None = None,
        process_group: Group | Literal["world"] | None = None,
        grad_scaler: torch.amp.GradScaler | None = None,
        every: int = 1,
        on_nonfinite: OnNonfinite = "raise",
        reduce: Reduce | None = None,
        length: Length | None = None,
    ) -> None:
        super().__init__()
        one_of("on_nonfinite", on_nonfinite, get_args(OnNonfinite))
        one_of("heads", heads, get_args(HeadGradients))
        if length is not None:
            one_of("length", length, get_args(Length))
        checked_scaler(grad_scaler)
        self.tasks = checked_names(tasks)
        self.ranks = Ranks(process_group)
        weighting = accept(weighting, "features", heads=heads, every=every, ranks=self.ranks, tasks=self.tasks)
        self._reuse = Reuse(every)
        if isinstance(weighting, Weighting):
            weighting.bind(self.tasks)
        self.weighting = weighting
        self.on_nonfinite = on_nonfinite
        self._reduction = Reduction(reduce)
        self.heads = heads
        self.grad_scaler = grad_scaler
        self.length = length
        self.handle = register(self)
        self.last: StepRecord | None = None
        self.skipped: Counter[str] = Counter()
        self._pass = RunningPass()
        self._anchors = Anchors()
        self._shapes: Shapes | None = None
        # Whoever asks for the plain sum gets it, however the loop is wired.
        self._checks = FirstSteps(() if isinstance(weighting, Uniform) else self.tasks)
        self._weighted: WeightedHeads | None = None
        self._reduction.accept(self.balance())
        if head_modules is not None:
            self.attach(head_modules)

    @overload
    def forward(self, features: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]: ...
    @overload
    def forward(
        self, features: Sequence[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, tuple[Tensor, ...]]: ...
    def forward(self, features: Features, tasks: Sequence[str] | None = None) -> Fanned:
        """Fans the features out.

        Args:
            features: A tensor [B, ...], or several (scales, experts), whose Gram matrices are added.
            tasks: The tasks that need features this time; all by default, none where there are no labels.

        Returns:
            The features under each task's name; tuples if several tensors were given.

        Raises:
            ValueError: for an unknown task, features of another layout than in earlier calls, or ``heads="weighted"``
                without heads.
            TypeError: if a feature is not a tensor of real numbers.
        """
        names = self.tasks if tasks is None else ()  # none is allowed: a rank without labels goes backward, too
        if tasks is not None and len(tasks):
            names = tuple(known(name, self.tasks) for name in checked_names(tasks))
        if self.training and torch.is_grad_enabled():
            fan = self._fan if not torch.compiler.is_compiling() else self._fan_compiled
            return cast("dict[str, Tensor]", fan(features, names))
        handed_on = features if isinstance(features, Tensor) else checked_tensors(features)
        if not self.training:
            return cast("dict[str, Tensor]", dict.fromkeys(names, handed_on))
        return cast("dict[str, Tensor]", _views(handed_on, names))

    def sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The plain sum of the losses, which tells the layer their values when backward runs.

        Args:
            losses: The scalar loss of each task that has one for this batch. None at all is allowed: then backward
                through the sum leaves parameters as they are, and a process group does not wait in vain.

        Raises:
            ValueError: for an unknown task, or a loss that is not a scalar or does not require gradients.
            TypeError: if the losses are not a mapping, or one is not a tensor.

        Example:
            >>> from counterpoint import FanOut, GradNorm
            >>> encoder, fan = nn.Linear(4, 3), FanOut(GradNorm(), tasks=["a", "b"])
            >>> z = fan(encoder(torch.ones(8, 4)))
            >>> fan.sum({task: own.square().mean() for task, own in z.items()}).backward()
            >>> fan.last.weights
            tensor([1., 1.], dtype=torch.float64)
        """
        values = checked_losses(losses, self.tasks)
        if torch.compiler.is_compiling() and values:
            at = positions(self, tuple(values))
            return cast("Tensor", CompiledLossSum.apply(self.handle, at, *values.values()))  # type: ignore[no-untyped-call]
        if torch.is_grad_enabled():
            self._checks.look_at(values, self, self._pass.first_copies)
        anchors = self._anchors.take()
        if not values and not anchors:
            return torch.zeros((), requires_grad=True)
        return cast("Tensor", LossSum.apply(self, tuple(values), *values.values(), *anchors))  # type: ignore[no-untyped-call]

    def attach(self, heads: Mapping[str, nn.Module]) -> None:
        """Makes the heads known whose gradients ``heads="weighted"`` multiplies by the weights.

        Raises:
            ValueError: unless there is one module for each task.
        """
        if self._weighted is not None:
            if self._weighted.heads == dict(heads):
                return
            raise ValueError("heads are attached already, expected one FanOut for each set of heads")
        weighted = self.heads == "weighted"
        if weighted or self.on_nonfinite == "skip":
            self._weighted = WeightedHeads(heads, self.tasks, weighted=weighted)

    def balance(self) -> Balance:
        """How this layer combines gradients."""
        if of_single_task() is not None:
            return Balance(Uniform(), self.tasks, "propagate")
        scaled = self.grad_scaler is not None and self.grad_scaler.is_enabled()
        weighting = self.weighting
        length = self.length or getattr(weighting, "length", None)
        return Balance(weighting, self.tasks, self.on_nonfinite, self.ranks, self._reuse, length, scaled, self._checks)

    def combine(
        self, node: object, use: Use, gradients: Sequence[Tensor | None]
    ) -> tuple[list[Tensor | None], StepRecord]:
        """What the layer's node in the autograd graph calls when all gradients have arrived; not for users.

        Args:
            node: The node, ``None`` in compiled code.
            use: What it stands for.
            gradients: Of the copies, task by task.
        """
        if (through := of_single_task()) is not None:
            if through == "refused" and not isinstance(self.weighting, Uniform):
                raise ValueError(
                    "the losses went through a FanOut in train mode, which balances gradients itself, expected one "
                    "that hands features on: call its .eval(), or fan.sum(losses).backward() instead of "
                    "backward(losses, ...)"
                )
            return self._combined(use, gradients, self.balance(), StepContext())
        self._anchors.reached(node)
        if self._weighted is not None and use.stand_ins is not None:
            self._weighted.end(use.stand_ins)
        scale = None if self.grad_scaler is None else self.grad_scaler.get_scale  # 1 if the scaler is off
        context, running_pass = self._pass.known(scale)
        self._reuse.begin(running_pass, once=getattr(self.weighting, "learns", False))
        balance = self.balance()
        try:
            combined, record = self._combined(use, gradients, balance, context)
        except BaseException:
            self._pass.clear()  # the callback that does it otherwise will not run
            raise
        self.last = record
        self.skipped.update(record.skipped)
        self._checks.arrived(running_pass, (*record.present, *record.skipped))
        self._checks.came_to(use, record.present)
        if balance.ranks.active:  # DDP waits for every parameter, on a rank without labels too
            combined = [
                torch.zeros(shape, dtype=dtype, device=device) if own is None else own
                for own, (shape, dtype, device) in zip(combined, use.layout, strict=True)
            ]
        return combined, record

    def _combined(
        self, use: Use, gradients: Sequence[Tensor | None], balance: Balance, context: StepContext
    ) -> tuple[list[Tensor | None], StepRecord]:
        if use.arrivals is not None:
            combined, record = use.arrivals.close(balance, context)
        else:
            by_name = {
                name: tuple(gradients[task * use.width : (task + 1) * use.width]) for task, name in enumerate(use.names)
            }
            # In the layer's order, whatever the order of the call: weights may depend on a task's position.
            rows = {name: by_name[name] for name in self.tasks if name in by_name}
            combined, record = combine(rows, balance, context)
        return combined or [None] * use.width, record

    def set_context(self, context: StepContext, *, withhold: bool = True) -> StepContext:
        """What a sum of losses calls when backward comes to it; not for users.

        Raises:
            ValueError: for two sums in one backward pass that were multiplied by different numbers.
        """
        if of_single_task() is not None:
            return context
        if context.losses and withhold and self.on_nonfinite == "skip" and not self.ranks.active:
            broken = tuple(task for task, loss in on_host(context.losses)[1].items() if not math.isfinite(loss))
            context = replace(context, withheld=broken)
        self._pass.tell(context, self._ended)
        return context

    def _ended(self) -> None:
        """A backward pass that told losses has ended."""
        context = self._pass.clear()
        if context.losses is not None:
            frozen = "frozen" in self._pass.said  # which has been said
            self._checks.ended(() if frozen else context.losses, context.withheld, training=self.training)

    def _fan_compiled(self, features: Features, names: tuple[str, ...]) -> Fanned:
        """In compiled code: operators where they serve, a break of the graph where a step needs more than gradients."""
        needs_host = self.ranks.group is not None or self._weighted is not None or self._reduction.kind is not None
        several = not isinstance(features, Tensor)
        tensors = checked_tensors(features) if several else (cast("Tensor", features),)
        live = [position for position, tensor in enumerate(tensors) if tensor.requires_grad]
        if needs_host or self.heads == "weighted" or not live or not names:
            return cast("Fanned", self._fan_uncompiled(features, names))
        given = [tensors[position] for position in live]
        copies = CompiledFanOut.apply(self.handle, positions(self, names), len(live), *given)  # type: ignore[no-untyped-call]
        fanned = by_task(names, tensors, live, copies)
        return fanned if several else {name: own[0] for name, own in fanned.items()}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _fan_uncompiled(self, features: Features, names: tuple[str, ...]) -> Fanned:
        """Breaks the graph."""
        return self._fan(features, names)

    def _fan(self, features: Features, names: tuple[str, ...]) -> Fanned:
        if running() == -1:  # a checkpoint may call this inside backward
            self._ended()  # a backward pass that raised did not come to it
        several = not isinstance(features, Tensor)
        tensors = checked_tensors(features) if several else (cast("Tensor", features),)
        if (shapes := checked_layout(tensors, self._shapes)) != self._shapes:
            self._shapes = shapes
        live = [position for position, tensor in enumerate(tensors) if tensor.requires_grad]
        if not live:
            self._warn_frozen()
            return cast("Fanned", _views(tensors if several else tensors[0], names))
        fanned = by_task(names, tensors, live, self._copies([tensors[position] for position in live], names))
        return fanned if several else {name: own[0] for name, own in fanned.items()}

    def _copies(self, features: list[Tensor], names: tuple[str, ...]) -> list[Tensor]:
        """Copies of features that require gradients, task by task."""
        self._check_heads()
        use = Use(names, len(features), arrivals=self._reduction.arrivals(features))
        use.stand_ins = None if self._weighted is None else self._weighted.open(names)
        tokens = () if use.stand_ins is None else use.stand_ins.tokens
        *copies, anchor = FanOutFunction.apply(self, use, *features, *tokens)  # type: ignore[no-untyped-call]
        if use.arrivals is not None:
            copies = branch(self, use, copies)
        if self._weighted is not None and use.stand_ins is not None:
            self._weighted.grant(use.stand_ins, copies)
        if self.ranks.active:  # known now at the latest, and nobody waits for anybody yet
            accept(self.weighting, "features", heads=self.heads, every=self._reuse.every, ranks=self.ranks)
            self._reduction.accept(self.balance())
            self.ranks.compare(self.tasks)
            self._anchors.add(copies, anchor)
        if copies:
            self._pass.first_copies[:] = [weakref.ref(copies[0])]
        return list(copies)

    def _check_heads(self) -> None:
        """Says what cannot be done without the heads."""
        if self._weighted is not None or (self.heads == "own" and self.on_nonfinite != "skip"):
            return
        if self.heads == "weighted":
            raise ValueError(
                "heads='weighted' and no heads given, expected FanOut(..., head_modules={task: module}), "
                "fan.attach(heads), or the FanOut inside a MultiTaskModel"
            )
        if "heads" not in self._pass.said:
            self._pass.said.add("heads")
            notice(
                "on_nonfinite='skip' without the heads: a task is left out of the shared update, but where its loss is "
                "finite and its gradient is not, its own head has received that gradient by then; give "
                "head_modules={task: module} to keep heads out of it, too"
            )

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._keeps_weights:
            from counterpoint.balancing.weightings.memory import wired  # noqa: PLC0415  (most layers keep nothing)

            destination[f"{prefix}kept_weights"] = wired(self._reuse.state())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        key = f"{prefix}kept_weights"
        if self._keeps_weights and key in state_dict:
            from counterpoint.balancing.weightings.memory import read_or_warn  # noqa: PLC0415

            if kept := read_or_warn(state_dict[key], self):
                self._reuse.load(kept)
        super()._load_from_state_dict({k: own for k, own in state_dict.items() if k != key}, prefix, *rest)

    @property
    def _keeps_weights(self) -> bool:
        """Whether weights go from one backward pass to the next."""
        return self._reuse.every > 1 or self._reduction.kind == "stream"

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        weighting = "" if isinstance(self.weighting, nn.Module) else f"weighting={self.weighting!r}, "
        more = ", heads='weighted'" if self.heads == "weighted" else ""
        more += f", process_group={self.ranks.group!r}" if self.ranks.group is not None else ""
        more += f", every={self._reuse.every}" if self._reuse.every > 1 else ""
        more += f", reduce={self._reduction.kind!r}" if self._reduction.kind is not None else ""
        return f"{weighting}tasks={list(self.tasks)}, on_nonfinite={self.on_nonfinite!r}{more}"

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to a backward pass that has not run."""
        return self.__dict__ | {"_anchors": Anchors()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has a handle of its own."""
        super().__setstate__({"length": None} | state)  # type: ignore[no-untyped-call]
        self.handle = register(self)

    def _warn_frozen(self) -> None:
        if "frozen" not in self._pass.said:
            self._pass.said.add("frozen")
            notice(
                "FanOut got features without grad in train mode, expected features that require grad: there is nothing "
                "to balance and they are handed on; call .eval() on the FanOut if the encoder is meant to be frozen"
            )


def _views(features: Tensor | tuple[Tensor, ...], names: Sequence[str]) -> dict[str, Any]:
    """Features without gradients: each task's a tensor of its own, as with gradients.

    A reentrant checkpoint computes without gradients first, and would take one object for one output.
    """
    if isinstance(features, Tensor):
        return {name: features.view_as(features) for name in names}
    return {name: tuple(own.view_as(own) for own in features) for name in names}

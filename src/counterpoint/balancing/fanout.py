"""Balancing as a layer: one feature in, one copy a task out; backward combines the tasks' gradients into one."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

import torch
from torch import Tensor, nn

from counterpoint.balancing.anchors import Anchors
from counterpoint.balancing.combine import Balance, OnNonfinite, Told
from counterpoint.balancing.fan_node import Fan, Tell, branch
from counterpoint.balancing.layout import (
    HeadGradients,
    Shapes,
    by_task,
    checked_layout,
    checked_scaler,
    checked_tensors,
    policy,
)
from counterpoint.balancing.losses import checked_losses
from counterpoint.balancing.ranks import Group, Ranks
from counterpoint.balancing.reduce import Reduce, Reduction
from counterpoint.balancing.reuse import Reuse
from counterpoint.balancing.weigh import accept
from counterpoint.balancing.weighted_heads import Loan, WeightedHeads
from counterpoint.balancing.weightings.weighting import Weighting
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
      matrix and has weight 0. That is not the same as a gradient that is exactly zero, which every weighting sees and
      treats as its own documentation says. Sum the losses: a ``backward()`` for each loss sees one task at a time.
    - In eval mode, under ``torch.no_grad()`` and for features that do not require gradients, the features themselves
      are handed on. In training the copies share memory with the features and PyTorch refuses to modify them in place;
      in evaluation nobody refuses, so heads should not start with an in-place operation.
    - Each backward pass has its own weights: under gradient accumulation every micro-batch is balanced by itself.
    - Weightings that look at the values of the losses (GradNorm, uncertainty weighting, ...) need
      ``fan.sum(losses).backward()``. It also tells the layer what the sum was multiplied by.

    Args:
        weighting: A :class:`Weighting`, or any callable from a Gram matrix [T, T] (fp64, CPU) to T weights.
        tasks: Names of the tasks.
        heads: ``"own"`` leaves head gradients unscaled; ``"weighted"`` multiplies them by the task's weight, as if the
            weighted sum of the losses had been differentiated. A task that took no part keeps its own.
        head_modules: For ``"weighted"``: the head of each task. :class:`MultiTaskModel` gives it. The parameters inside
            these modules are what is weighted, while the modules compute.
        process_group: The ranks that train together (``"world"`` for all): Gram matrices are summed over them, and all
            use the weights of the joined batch. Averaging the gradients stays with DDP. Every rank has to go backward
            through the layer in every step: use ``fan.sum(losses)``, which does so without any labels, too.
        grad_scaler: A GradScaler, for weightings whose update does not grow with the loss, such as :class:`DiBS`: the
            loss scale is multiplied back. Non-finite gradients then propagate, for the scaler to skip the step.
        every: New weights every n-th backward pass through the layer; in between the last ones are used.
        on_nonfinite: What NaN or infinity in a task's gradient does: ``"raise"`` raises
            :class:`NonFiniteGradientError`; ``"skip"`` leaves the task out of this step's shared update and counts it
            in ``skipped`` (its head has received its own gradient already); ``"propagate"`` lets the shared gradient
            become non-finite (all of it NaN, if the weighting looks at the Gram matrix), which a GradScaler looks for.
            It is the features' gradients that are looked at.
        reduce: Where T gradients of the features' size take too much memory until the last has arrived
            (docs/dense-features.md). ``"bfloat16"`` keeps them in 16 bits. ``"stream"`` keeps none: each is sketched to
            4093 numbers for the Gram matrix, added to one sum with the weight its task had in the backward pass before,
            and dropped; the memory is that of the plain sum for any T. The first pass weighs all alike. That is another
            algorithm than MGDA-UB: weights are those of the last batch, inner products are estimates
            (:class:`~counterpoint.balancing.sign_sketch.SignSketch`).

    Attributes:
        last: :class:`StepRecord` of the last backward pass, ``None`` before the first. If the layer was used several
            times in a forward pass, the use that backward reached last, usually the first one.
        skipped: How often each task was skipped.

    Raises:
        ValueError: for no tasks, a name given twice, another option than those above, or a weighting that makes no
            sense for features or with ``reduce``.
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
        heads: HeadGradients = "own",
        head_modules: Mapping[str, nn.Module] | None = None,
        process_group: Group | Literal["world"] | None = None,
        grad_scaler: torch.amp.GradScaler | None = None,
        every: int = 1,
        on_nonfinite: OnNonfinite = "raise",
        reduce: Reduce | None = None,
    ) -> None:
        super().__init__()
        one_of("on_nonfinite", on_nonfinite, get_args(OnNonfinite))
        one_of("heads", heads, get_args(HeadGradients))
        checked_scaler(grad_scaler)
        self.tasks = checked_names(tasks)
        self.ranks = Ranks(process_group)
        accept(weighting, "features", heads=heads, every=every, ranks=self.ranks)
        self._reuse = Reuse(every)
        if isinstance(weighting, Weighting):
            weighting.bind(self.tasks)
        self.weighting = weighting
        self.on_nonfinite = on_nonfinite
        self._reduction = Reduction(reduce)
        self.heads = heads
        self.grad_scaler = grad_scaler
        self.last: StepRecord | None = None
        self.skipped: Counter[str] = Counter()
        self._heard = Told()
        self._anchors = Anchors()
        self._shapes: Shapes | None = None
        self._warned = False
        self._weighted: WeightedHeads | None = None
        self._reduction.accept(self._balance)
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
            fan = self._fan_uncompiled if torch.compiler.is_compiling() else self._fan
            return cast("dict[str, Tensor]", fan(features, names))
        handed_on = features if isinstance(features, Tensor) else checked_tensors(features)
        return cast("dict[str, Tensor]", dict.fromkeys(names, handed_on))

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
        anchors = self._anchors.take()
        if not values and not anchors:
            return torch.zeros((), requires_grad=True)
        return cast("Tensor", Tell.apply(self, tuple(values), *values.values(), *anchors))  # type: ignore[no-untyped-call]

    def attach(self, heads: Mapping[str, nn.Module]) -> None:
        """Makes the heads known whose gradients ``heads="weighted"`` multiplies by the weights.

        Raises:
            ValueError: unless there is one module for each task.
        """
        if self._weighted is not None:
            if self._weighted.heads == dict(heads):
                return
            raise ValueError("heads are attached already, expected one FanOut for each set of heads")
        if self.heads == "weighted":
            self._weighted = WeightedHeads(heads, self.tasks)

    @property
    def _balance(self) -> Balance:
        """How this layer combines gradients."""
        on_nonfinite = policy(self.on_nonfinite, self.grad_scaler)
        return Balance(self.weighting, self.tasks, on_nonfinite, self.ranks, self._reuse)

    def _told(self) -> Told:
        """What is known of this backward pass."""
        if self._heard.losses is None and self.grad_scaler is not None:
            return Told(scale=self.grad_scaler.get_scale())  # 1 if the scaler is off
        return self._heard

    def _hear(self, told: Told) -> None:
        """Takes note of the losses for the backward pass that is running."""
        self._heard = told

    def _forget(self) -> None:
        """Ends :meth:`_hear`."""
        self._heard = Told()

    def _reached(self, node: object, loan: Loan | None) -> None:
        """Lets go of what belongs to a use of the layer that backward has come to."""
        self._anchors.reached(node)
        if self._weighted is not None and loan is not None:
            self._weighted.end(loan)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _fan_uncompiled(self, features: Features, names: tuple[str, ...]) -> Fanned:
        """Compiled models break their graph here: the weighting runs on the host. Evaluation needs no break."""
        return self._fan(features, names)

    def _fan(self, features: Features, names: tuple[str, ...]) -> Fanned:
        if torch._C._current_graph_task_id() == -1:  # noqa: SLF001  (a checkpoint may call this inside backward)
            self._forget()  # a backward pass that raised did not come to it
        several = not isinstance(features, Tensor)
        tensors = checked_tensors(features) if several else (cast("Tensor", features),)
        self._shapes = checked_layout(tensors, self._shapes)
        live = [position for position, tensor in enumerate(tensors) if tensor.requires_grad]
        if live:
            if self.heads == "weighted" and self._weighted is None:
                raise ValueError(
                    "heads='weighted' and no heads given, expected FanOut(..., head_modules={task: module}), "
                    "fan.attach(heads), or the FanOut inside a MultiTaskModel"
                )
            loan = None if self._weighted is None else self._weighted.open(names)
            given = [tensors[position] for position in live]
            tokens = loan.tokens if loan is not None else ()
            arrivals = self._reduction.arrivals(given)
            *copies, anchor = Fan.apply(self, names, loan, arrivals, *given, *tokens)  # type: ignore[no-untyped-call]
            if arrivals is not None:
                copies = branch(self, arrivals, names, copies)
            if self._weighted is not None and loan is not None:
                self._weighted.grant(loan, copies)
            if self.ranks.active:  # known now at the latest, and nobody waits for anybody yet
                accept(self.weighting, "features", heads=self.heads, every=self._reuse.every, ranks=self.ranks)
                self._reduction.accept(self._balance)
                self.ranks.meet()
                self._anchors.add(copies, anchor)
        else:
            copies = []
            self._warn_frozen()
        fanned = by_task(names, tensors, live, copies)
        return fanned if several else {name: own[0] for name, own in fanned.items()}

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
        return self.__dict__ | {"_anchors": Anchors(), "_heard": Told()}

    def _warn_frozen(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                "FanOut got features without grad in train mode, expected features that require grad: there is nothing "
                "to balance and they are handed on; call .eval() on the FanOut if the encoder is meant to be frozen",
                stacklevel=6,  # whoever called the layer, past nn.Module
            )

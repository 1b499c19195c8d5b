"""TorchJD's scalarizers as weightings: the weight of a task is the derivative of the scalarized loss in its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.torchjd_options import per_task_length, shown, takes_size
from counterpoint.balancing.weightings.torchjd_state import bound_tasks, pack, unpack
from counterpoint.balancing.weightings.weighting import Weighting, needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ScalarizerMethod(Weighting):
    r"""A scalarizer S of TorchJD; the weights are :math:`\partial S / \partial L_t` at the losses of the step.

    With :math:`g_t` the gradient of :math:`L_t`, the update :math:`\sum_t w_t g_t` is the gradient of S. What S learns
    (UW, IMTL-L) are parameters of this module: give them to the optimizer. In training mode, each step adds their
    gradients to ``.grad`` as a backward pass of S would, hooks of DistributedDataParallel included.

    A task that is absent from a batch counts with its last known loss (never seen: with the mean of those present) and
    its own parameter receives no gradient.

    Args:
        name: Name under which :func:`get_weighting` knows it.
        method: Class of TorchJD.
        options: What its constructor takes; ``shape`` may be missing until :meth:`bind`.

    Raises:
        ValueError: for an option out of range.
    """

    needs_gram = False
    needs_losses = True

    def __init__(self, name: str, method: type[nn.Module], options: dict[str, Any]) -> None:
        super().__init__()
        self.name = name
        self.method = method
        self.options = options
        self.tasks: tuple[str, ...] | None = None
        self._size_option = takes_size(method)
        self._size: int | None = options.get(self._size_option or "", per_task_length(options))
        self._known: Tensor | None = None  # [T] last known losses, NaN where there is none
        self._values: Tensor | None = None  # [T] losses of the last step, absent ones filled in
        self.scalarizer: nn.Module | None = None
        probe = self._new(self._size or 1)  # says now what is wrong with the options
        if self._size is not None or self._size_option is None:
            self.scalarizer = probe

    def bind(self, tasks: Sequence[str]) -> None:
        """Hears the names of all tasks and makes one parameter a task.

        Raises:
            ValueError: if the options are for another number of tasks, or other tasks were bound before.
        """
        names = tuple(tasks)
        if self._size is not None and len(names) != self._size:
            raise ValueError(
                f"{self} is for {self._size} tasks, expected as many, got {len(names)}: {', '.join(names)}"
            )
        if self.tasks not in (None, names) and (self._known is not None or any(True for _ in self.parameters())):
            raise ValueError(
                f"{self} was made for the tasks {', '.join(self.tasks or ())}, expected the same tasks again, got "
                f"{', '.join(names)}: make a new weighting"
            )
        self.tasks = names
        if self.scalarizer is None:
            self.scalarizer = self._new(len(names))

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Returns the weights for losses [T]; unbound, the tasks are called 0, 1, ..."""
        if self.tasks is None:
            self.bind([str(position) for position in range(len(gram))])
        tasks = self.tasks or ()
        if len(tasks) != len(gram):
            raise ValueError(f"{self} is for {len(tasks)} tasks, expected as many losses, got {len(gram)}")
        return self.weigh(Step(tasks, tasks, gram, losses))

    def weigh(self, step: Step) -> Tensor:
        """Weights [P] of the tasks that took part; adds to the gradients of what is learned."""
        losses = needed(step.losses, self)
        if self.tasks is None:
            self.bind(step.tasks)
        scalarizer, positions = self._made(), torch.tensor(step.positions)
        learned = [parameter for parameter in scalarizer.parameters() if parameter.requires_grad and self.training]
        device = next((parameter.device for parameter in scalarizer.parameters()), torch.device("cpu"))
        with torch.enable_grad():
            values = self._full(losses, positions).to(device).requires_grad_()
            slopes, *gradients = torch.autograd.grad(scalarizer(values), [values, *learned], allow_unused=True)
        finite = bool(slopes.isfinite().all())  # if not, the engine refuses the weights, and nothing is to be learned
        for parameter, gradient in zip(learned, gradients, strict=True):
            if gradient is not None and finite:
                if len(step.present) < len(step.tasks) and gradient.shape == slopes.shape:
                    took_part = torch.zeros_like(gradient, dtype=torch.bool)
                    took_part[positions.to(device)] = True
                    gradient = torch.where(took_part, gradient, 0.0)  # noqa: PLW2901
                # Through autograd, not by hand, so that DistributedDataParallel hears of it and averages over ranks.
                torch.autograd.backward(parameter, gradient * step.scale)
        return slopes.to(losses)[positions.to(losses.device)]

    def epoch_ended(self) -> None:
        """Lets DWA roll its averages forward."""
        roll = getattr(self.scalarizer, "step", None)
        if roll is not None:
            roll()

    def get_extra_state(self) -> dict[str, Any]:
        """What is remembered and is no parameter, for ``state_dict``."""
        packed = None if self.scalarizer is None else pack(self.scalarizer, buffers=False)
        return {"tasks": self.tasks, "known": self._known, "values": self._values, "scalarizer": packed}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Remembers what ``state_dict`` tells."""
        self.tasks = bound_tasks(self, self.tasks, state["tasks"])
        known, values = state["known"], state["values"]
        self._known, self._values = (None, None) if known is None else (known.cpu(), values.cpu())
        if state["scalarizer"] is not None:
            unpack(self._made(), state["scalarizer"])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Makes the parameters before PyTorch looks for them, where the state knows how many there are."""
        tasks = state_dict.get(f"{prefix}_extra_state", {}).get("tasks")
        if self.scalarizer is None and tasks is not None:
            self.scalarizer = self._new(len(tasks))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __repr__(self) -> str:
        """Name and options, in one line."""
        return shown(self.method.__name__, self.options)

    def _full(self, losses: Tensor, positions: Tensor) -> Tensor:
        """Losses of all tasks [T], fp64, where those of some are known."""
        present = losses.detach().to("cpu", torch.float64)
        known = self._known if self._known is not None else torch.full((len(self.tasks or ()),), torch.nan).double()
        self._known = known.index_copy(0, positions, present)
        self._values = torch.where(self._known.isnan(), present.mean(), self._known)
        return self._values.clone()

    def _made(self) -> nn.Module:
        if self.scalarizer is None:
            raise ValueError(f"{self} does not know its tasks yet, expected a call of bind(tasks) first")
        return self.scalarizer

    def _new(self, size: int) -> nn.Module:
        options = self.options if self._size_option is None else {**self.options, self._size_option: size}
        try:
            return self.method(**options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"weighting {self.name!r}: {error}") from None


class ReevaluatedScalarizer(ScalarizerMethod):
    """A scalarizer that trains its own logits by how a step changed the losses (FAMO).

    The logits are no business of the user's optimizer or of DistributedDataParallel: they do not require gradients.
    A task that is absent from a batch counts as unchanged.
    """

    needs_reevaluation = True

    def reevaluated(self, losses: dict[str, Tensor]) -> None:
        """Hears the losses of the same batch after the optimizer's step; before the first step nothing happens."""
        if self._values is None or self.tasks is None:
            return
        after = self._values.clone()
        for task, loss in losses.items():
            after[self.tasks.index(task)] = loss.detach().to("cpu", torch.float64)
        scalarizer = self._made()
        device = next((parameter.device for parameter in scalarizer.parameters()), torch.device("cpu"))
        scalarizer.requires_grad_()
        try:
            update: Any = scalarizer.update
            update(after.to(device))
        finally:
            scalarizer.requires_grad_(requires_grad=False)

    def _new(self, size: int) -> nn.Module:
        return super()._new(size).requires_grad_(requires_grad=False)

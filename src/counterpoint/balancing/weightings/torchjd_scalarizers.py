"""TorchJD's scalarizers as weightings: the weight of a task is the derivative of the scalarized loss in its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.memory import adam_with, bound_tasks, moments_of, names_as_tensor, names_of
from counterpoint.balancing.weightings.neglect import Neglect
from counterpoint.balancing.weightings.torchjd_options import cut_to, per_task_length, shown, takes_size
from counterpoint.balancing.weightings.weighting import Weighting, needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ScalarizerMethod(Weighting):
    r"""A scalarizer S of TorchJD; the weights are :math:`\partial S / \partial L_t` at the losses of the step.

    With :math:`g_t` the gradient of :math:`L_t`, the update :math:`\sum_t w_t g_t` is the gradient of S. What S learns
    (UW, IMTL-L) are parameters of this module: give them to the optimizer. In training mode, each step adds their
    gradients to ``.grad`` as a backward pass of S would, hooks of DistributedDataParallel included. Parameters that no
    optimizer moves are said once.

    A task that is absent from a batch does not influence the others' weights: S is that of the tasks that took part,
    options with one value a task cut to theirs (GeometricMean, STCH, PBI, COSMOS), or is a sum over tasks anyway (UW,
    IMTL-L). Its own parameter receives no gradient.

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
        self.learns = self._size_option is not None  # one number a task
        self._neglect = Neglect()
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
        if self.tasks not in (None, names) and self._holds_tasks():
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
        scalarizer, positions = self._among(step.positions), torch.tensor(step.positions)
        learned = [parameter for parameter in scalarizer.parameters() if parameter.requires_grad and self.training]
        if self.training:
            self._neglect.step(self, learned)
        device = next((parameter.device for parameter in scalarizer.parameters()), torch.device("cpu"))
        with torch.enable_grad():
            values = self._full(losses.detach().to("cpu", torch.float64), positions).to(device).requires_grad_()
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
        if len(positions) < len(step.tasks):
            slopes = self._of_present(slopes, positions.to(device))
        return slopes.to(losses)

    def remembered(self) -> dict[str, Tensor]:
        """The names of the tasks, where a parameter belongs to each."""
        return {} if self.tasks is None or not self.learns else {"tasks": names_as_tensor(self.tasks)}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what was remembered.

        Raises:
            ValueError: if it tells of other tasks.
        """
        names = bound_tasks(self, self.tasks, names_of(told.get("tasks")))
        if names is not None:
            self.bind(names)

    def __repr__(self) -> str:
        """Name and options, in one line."""
        return shown(self.method.__name__, self.options)

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        return {} if state["tasks"] is None else {"tasks": names_as_tensor(state["tasks"])}

    def _holds_tasks(self) -> bool:
        """Whether something here belongs to the tasks that are bound."""
        return any(True for _ in self.parameters())

    def _among(self, positions: tuple[int, ...]) -> nn.Module:
        """The scalarizer for the tasks at these positions: that of all tasks, where it holds something for each."""
        if not self.learns and len(positions) < len(self.tasks or ()):
            return self.method(**cut_to(self.options, positions))
        return self._made()

    def _full(self, present: Tensor, positions: Tensor) -> Tensor:
        """Losses for :meth:`_among`; those of absent tasks make no difference to a sum over tasks."""
        if not self.learns:
            return present
        return present.new_full((len(self.tasks or ()),), float(present.mean())).index_copy(0, positions, present)

    def _of_present(self, slopes: Tensor, positions: Tensor) -> Tensor:
        """Weights [P] where some tasks are absent, of all slopes."""
        return slopes[positions] if self.learns else slopes

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


class RememberingScalarizer(ScalarizerMethod):
    """A scalarizer that looks back at losses.

    An absent task's loss is its last known one; before the first it is the mean of those present.
    """

    def __init__(self, name: str, method: type[nn.Module], options: dict[str, Any]) -> None:
        super().__init__(name, method, options)
        self.learns = True
        self._known: Tensor | None = None  # [T] last known losses, NaN where there is none

    def remembered(self) -> dict[str, Tensor]:
        """Names of the tasks and last known losses, NaN where there is none."""
        return {**super().remembered(), "known": self._or_nan(self._known)} if self.tasks is not None else {}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what was remembered.

        Raises:
            ValueError: if it tells of other tasks.
        """
        super().remember(told)
        self._known = _unless_nan(told.get("known"))

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        known = {} if state["known"] is None else {"known": state["known"]}
        return {**super()._of_0_1(state), **known}

    def _holds_tasks(self) -> bool:
        return self._known is not None or super()._holds_tasks()

    def _or_nan(self, numbers: Tensor | None) -> Tensor:
        return torch.full((len(self.tasks or ()),), torch.nan, dtype=torch.float64) if numbers is None else numbers

    def _full(self, present: Tensor, positions: Tensor) -> Tensor:
        self._known = self._or_nan(self._known).index_copy(0, positions, present)
        return torch.where(self._known.isnan(), present.mean(), self._known)


class EpochScalarizer(RememberingScalarizer):
    """A scalarizer that looks at the epochs before (DWA).

    Where tasks are absent the others' weights are what they are among themselves, their mean being 1. In the averages
    of an epoch an absent task counts with its last known loss. An epoch that nobody ends is said once.
    """

    needs_epoch_ended = True

    def epoch_ended(self) -> None:
        """Rolls the averages forward."""
        self._neglect.heard()
        roll: Any = self._made().step
        roll()

    def remembered(self) -> dict[str, Tensor]:
        """The above, the sum of this epoch's losses, how many batches it had, averages [2, T] of those before."""
        if self.tasks is None:
            return {}
        own: Any = self._made()
        before = [self._or_nan(None), self._or_nan(None), *own._previous_averages][-2:]  # noqa: SLF001
        return {
            **super().remembered(),
            "sum": self._or_nan(own._loss_sum),  # noqa: SLF001
            "batches": torch.tensor(float(own._n_batches)),  # noqa: SLF001
            "averages": torch.stack(before),
        }

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what was remembered.

        Raises:
            ValueError: if it tells of other tasks.
        """
        super().remember(told)
        own: Any = self._made()
        own._loss_sum = _unless_nan(told.get("sum"))  # noqa: SLF001
        own._n_batches = float(told.get("batches", 0.0))  # noqa: SLF001  (not whole, where states were averaged)
        before = map(_unless_nan, told.get("averages", torch.zeros(0, 1)))
        own._previous_averages = [average for average in before if average is not None]  # noqa: SLF001

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        if state["tasks"] is None or state["scalarizer"] is None:
            return {}
        own, empty = state["scalarizer"][""], torch.full((len(state["tasks"]),), torch.nan, dtype=torch.float64)
        total, before = own["_loss_sum"], [empty, empty, *own["_previous_averages"]][-2:]
        return {
            **super()._of_0_1(state),
            "sum": empty if total is None else total,
            "batches": torch.tensor(float(own["_n_batches"])),
            "averages": torch.stack([average.cpu() for average in before]),
        }

    def _of_present(self, slopes: Tensor, positions: Tensor) -> Tensor:
        own = slopes[positions]
        return own * (len(own) / own.sum())


class ReevaluatedScalarizer(RememberingScalarizer):
    """A scalarizer that trains its own logits by how a step changed the losses (FAMO).

    The logits are no business of the user's optimizer or of DistributedDataParallel: they do not require gradients.
    Where tasks are absent the others' weights are what they are among themselves, their sum being 1. A task that is
    absent from a batch keeps its logit, and its loss counts as changed like the others' on average: as unchanged, which
    an absent loss is not known to be, it would gain weight by being absent. Losses that nobody reports are said once.
    """

    needs_reevaluation = True

    def __init__(self, name: str, method: type[nn.Module], options: dict[str, Any]) -> None:
        super().__init__(name, method, options)
        self._values: Tensor | None = None  # [T] losses of the last step, absent ones filled in

    def reevaluated(self, losses: dict[str, Tensor]) -> None:
        """Hears the losses of the same batch after the optimizer's step; before the first step nothing happens."""
        self._neglect.heard()
        if self._values is None or self.tasks is None:
            return
        own: Any = self._made()
        after = self._values.clone()
        for task, loss in losses.items():
            after[self.tasks.index(task)] = loss.detach().to("cpu", torch.float64)
        absent = torch.tensor([task not in losses for task in self.tasks])
        if bool(absent.any()) and not bool(absent.all()):
            after = torch.where(absent, self._changed_like_others(after, absent), after)
        if own._optimizer is not None and own._optimizer.param_groups[0]["params"][0] is not own._w:  # noqa: SLF001
            self._restart(moments_of(own._optimizer, own._w))  # noqa: SLF001  (a state assigned another parameter)
        before = own._w.detach().clone()  # noqa: SLF001
        own.requires_grad_()
        try:
            own.update(after.to(own._w.device))  # noqa: SLF001
        finally:
            own.requires_grad_(requires_grad=False)
        own._w.copy_(torch.where(absent.to(before.device), before, own._w))  # noqa: SLF001

    def remembered(self) -> dict[str, Tensor]:
        """The above, losses of the last step, Adam's moments."""
        if self.tasks is None:
            return {}
        own: Any = self._made()
        return {
            **super().remembered(),
            "values": self._or_nan(self._values),
            **moments_of(own._optimizer, own._w),  # noqa: SLF001
        }

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what was remembered.

        Raises:
            ValueError: if it tells of other tasks.
        """
        super().remember(told)
        self._values = _unless_nan(told.get("values"))
        if self.scalarizer is not None:
            self._restart(told)

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        values = {} if state["values"] is None else {"values": state["values"]}
        adam = ((state["scalarizer"] or {}).get("") or {}).get("_optimizer")
        moments = {} if adam is None else adam["state"]["state"].get(0, {})
        return {**super()._of_0_1(state), **values, **moments}

    def _restart(self, moments: Mapping[str, Tensor]) -> None:
        """Goes on with an Adam and the losses before the step that it has not heard of."""
        own: Any = self._made()
        own._optimizer = adam_with(moments, own._w, lr=own.lr, weight_decay=own.weight_decay)  # noqa: SLF001
        own._prev_losses = None if self._values is None else self._values.to(own._w.device)  # noqa: SLF001

    def _full(self, present: Tensor, positions: Tensor) -> Tensor:
        self._values = super()._full(present, positions)
        return self._values.clone()

    def _of_present(self, slopes: Tensor, positions: Tensor) -> Tensor:
        return slopes[positions] / slopes[positions].sum()

    def _changed_like_others(self, after: Tensor, absent: Tensor) -> Tensor:
        """Losses [T] that have changed by the factor of those present, their logits' shares taken as weights."""
        assert self._values is not None  # noqa: S101 - a step has been; tells mypy
        own: Any = self._made()
        least: Tensor = own.min_losses.to("cpu", torch.float64)
        shares = torch.softmax(own._w.detach().to("cpu", torch.float64), dim=0)[~absent]  # noqa: SLF001
        factors = ((after - least) / (self._values - least))[~absent].log()
        return least + (self._values - least) * torch.exp((shares * factors).sum() / shares.sum())

    def _new(self, size: int) -> nn.Module:
        return super()._new(size).requires_grad_(requires_grad=False)


def _unless_nan(numbers: Tensor | None) -> Tensor | None:
    """A copy of them in fp64, ``None`` where nothing is known."""
    return None if numbers is None or bool(numbers.isnan().all()) else numbers.to(torch.float64, copy=True)

"""CR-MOGM: another weighting's weights, smoothed over steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.memory import bound_tasks, names_as_tensor, names_of, read_or_warn, wired
from counterpoint.balancing.weightings.torchjd_options import shown
from counterpoint.balancing.weightings.torchjd_state import pack, unpack
from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class CRMOGM(Weighting):
    r"""Exponential moving average of another weighting's weights.

    .. math:: \lambda_k = \alpha \lambda_{k-1} + (1 - \alpha) \hat\lambda_k

    task by task: a task that is absent from a batch keeps its average. The first average is the first weight, or
    ``initial_weights``. Source: `On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond
    <https://proceedings.neurips.cc/paper_files/paper/2022/file/f91bd64a3620aad8e70a27ad9cb3ca57-Paper-Conference.pdf>`_,
    Zhou et al., NeurIPS 2022.

    Difference from TorchJD's ``CRMOGMWeighting``: tasks may be absent, and any weighting may be smoothed, also one that
    needs the losses. What the wrapped weighting sees is untouched.

    Args:
        weighting: A weighting of ours or TorchJD's.
        alpha: Share of the old average, 0 to 1; 0 does not smooth.
        initial_weights: [T] averages before the first step.

    Raises:
        ValueError: for another ``alpha``, or a weighting without weights to smooth (GradDrop, MoDo, ...).

    Example:
        >>> from counterpoint import MGDA
        >>> smooth = CRMOGM(MGDA(), alpha=0.5)
        >>> smooth(torch.diag(torch.tensor([1.0, 1.0]))), smooth(torch.diag(torch.tensor([1.0, 3.0])))
        (tensor([0.5000, 0.5000]), tensor([0.6250, 0.3750]))
    """

    learns = True

    def __init__(
        self,
        weighting: Weighting | Callable[[Tensor], Tensor],
        alpha: float = 0.9,
        initial_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha={alpha}, expected a number from 0 to 1")
        wrapped = weighting if isinstance(weighting, Weighting) else OfCallable(weighting)
        if wrapped.needs_rows or not wrapped.levels:
            raise ValueError(f"crmogm smooths weights, expected a weighting that gives them, got {wrapped}")
        self.weighting = wrapped
        self.alpha = alpha
        self.initial_weights = initial_weights
        self.needs_gram = wrapped.needs_gram
        self.needs_losses = wrapped.needs_losses
        self.levels, self.why_not = wrapped.levels, wrapped.why_not
        self._tasks: tuple[str, ...] | None = None
        self._average: Tensor | None = None  # [T], NaN for a task that was never present

    @property
    def needs_reevaluation(self) -> bool:  # type: ignore[override]
        """Whether the smoothed weighting wants to hear losses after the optimizer's step."""
        return self.weighting.needs_reevaluation

    @property
    def needs_epoch_ended(self) -> bool:  # type: ignore[override]
        """Whether the smoothed weighting wants to hear of ends of epochs."""
        return self.weighting.needs_epoch_ended

    def bind(self, tasks: Sequence[str]) -> None:
        """Hears the names of all tasks.

        Raises:
            ValueError: if other tasks were bound and have left traces, or ``initial_weights`` are not for as many.
        """
        names = tuple(tasks)
        if self.initial_weights is not None and len(self.initial_weights) != len(names):
            raise ValueError(f"initial_weights are {len(self.initial_weights)}, expected {len(names)}, one a task")
        if self._tasks not in (None, names) and self._average is not None:
            raise ValueError(
                f"{self} remembers steps of the tasks {', '.join(self._tasks or ())}, expected the same tasks again, "
                f"got {', '.join(names)}: make a new weighting"
            )
        self.weighting.bind(names)
        self._tasks = names

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Returns the smoothed weights [T]; unbound, the tasks are called 0, 1, ..."""
        if self._tasks is None:
            self.bind([str(position) for position in range(len(gram))])
        tasks = self._tasks or ()
        if len(tasks) != len(gram):
            raise ValueError(f"{self} is for {len(tasks)} tasks, expected a matrix for as many, got {list(gram.shape)}")
        return self.weigh(Step(tasks, tasks, gram, losses))

    def weigh(self, step: Step) -> Tensor:
        """Smoothed weights [P] of the tasks that took part."""
        if self._tasks is None:
            self.bind(step.tasks)
        weights = self.weighting.weigh(step)
        positions = torch.tensor(step.positions, device=weights.device)
        if self._average is None:
            first = self.initial_weights
            self._average = weights.new_full((len(step.tasks),), torch.nan) if first is None else first
        self._average = self._average.to(weights)
        before = self._average[positions]
        smooth = torch.where(before.isnan(), weights, self.alpha * before + (1.0 - self.alpha) * weights)
        if bool(smooth.isfinite().all()):  # the engine refuses the others, and they are not remembered
            self._average = self._average.index_copy(0, positions, smooth)
        return smooth

    def epoch_ended(self) -> None:
        """Tells the smoothed weighting."""
        self.weighting.epoch_ended()

    def reevaluated(self, losses: dict[str, Tensor]) -> None:
        """Tells the smoothed weighting."""
        self.weighting.reevaluated(losses)

    def remembered(self) -> dict[str, Tensor]:
        """The averages, NaN for a task that was never present."""
        if self._tasks is None:
            return {}
        average = self._average if self._average is not None else self.initial_weights
        if average is None:
            average = torch.full((len(self._tasks),), torch.nan, dtype=torch.float64)
        return {"tasks": names_as_tensor(self._tasks), "average": average}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up the averages.

        Raises:
            ValueError: if it tells of other tasks.
        """
        self._tasks = bound_tasks(self, self._tasks, names_of(told.get("tasks")))
        average = told.get("average")
        self._average = None if average is None or bool(average.isnan().all()) else average.clone()

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        if state["tasks"] is None:
            return {}
        average = {} if state["average"] is None else {"average": state["average"]}
        return {"tasks": names_as_tensor(state["tasks"]), **average}

    def __repr__(self) -> str:
        """Name and options, in one line."""
        options: dict[str, Any] = {"weighting": self.weighting, "alpha": self.alpha}
        if self.initial_weights is not None:
            options["initial_weights"] = self.initial_weights
        return shown("CRMOGM", options)


class OfCallable(Weighting):
    """A plain callable, or a weighting of TorchJD, as one of ours.

    Args:
        weighting: Gram matrix [T, T] in, weights [T] out.

    Raises:
        TypeError: if it is not callable.

    Example:
        >>> OfCallable(lambda gram: gram.diagonal())(torch.eye(2))
        tensor([1., 1.])
    """

    def __init__(self, weighting: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        if not callable(weighting):
            raise TypeError(f"weighting={weighting!r} is not callable, expected a weighting or its name")
        self._callable = [weighting]  # in a list: a module's buffers that are None would not travel in state_dict

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns what the callable returns, [T, T] -> [T]."""
        return torch.as_tensor(self._callable[0](gram)).to(gram)

    def remembered(self) -> dict[str, Tensor]:
        """State of a module that has any besides its parameters."""
        given = self._callable[0]
        packed = pack(given) if isinstance(given, nn.Module) else {}
        return {"module": wired(packed)} if any(packed.values()) else {}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up a module's state; there is no way to make one forget."""
        if "module" in told and isinstance(self._callable[0], nn.Module):
            unpack(self._callable[0], read_or_warn(told["module"], self))

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"module": wired(dict(state))} if state else {}

    def __repr__(self) -> str:
        """The callable's."""
        return repr(self._callable[0])

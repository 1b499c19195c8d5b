"""Learned weights that let all tasks train at similar rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint.balancing.weightings.memory import adam_with, bound_tasks, moments_of, names_as_tensor, names_of
from counterpoint.balancing.weightings.weighting import Weighting, needed

if TYPE_CHECKING:
    from counterpoint.balancing.step import Step

# No task is ever switched off: a weight of zero would have no gradient norm to come back with.
_FLOOR = 1e-4


class GradNorm(Weighting):
    r"""Weights that pull every task's gradient norm towards a common one, more for tasks that train slowly.

    .. math:: L_{grad} = \sum_t \Big| w_t \|g_t\| - \overline{w \|g\|}\, r_t^\alpha \Big|, \quad
        r_t = \frac{L_t / L_t(0)}{\overline{L / L(0)}}

    The means run over the tasks of the step. A step uses the present weights, then moves them by Adam on this loss, the
    second term held constant, and rescales them to sum T. A task that took no part keeps its weight but for that
    rescaling. Source: `GradNorm <https://arxiv.org/abs/1711.02257>`_, Chen et al., ICML 2018 (Eq. 1 and 2,
    Algorithm 1). Losses have to be non-negative; a first loss of exactly zero is not taken for the initial one.

    Nothing moves in ``eval()`` mode. Weights, initial losses and Adam's state travel in ``state_dict``.

    Args:
        alpha: Strength of the pull towards equal rates; 1.5 is the paper's for NYUv2, 0.12 for its toy example.
        lr: Learning rate of the weights; 0.025 in the paper.
        initial_losses: L_t(0), by task name or in the order of the tasks; by default the first ones seen. The paper
            suggests log(C) for C classes, which does not depend on the initialization.

    Raises:
        ValueError: for a negative alpha, or a learning rate or initial loss that is not positive.

    Example:
        >>> weighting = GradNorm(lr=0.1, initial_losses=[1.0, 1.0])
        >>> weighting(torch.eye(2), torch.tensor([1.0, 0.5]))  # the first task is slower
        tensor([1., 1.])
        >>> weighting(torch.eye(2), torch.tensor([1.0, 0.5]))
        tensor([1.1000, 0.9000])
    """

    needs_losses = True
    learns = True
    task_weights: nn.Parameter | None
    initial_losses: Tensor | None

    def __init__(
        self,
        alpha: float = 1.5,
        lr: float = 0.025,
        initial_losses: Mapping[str, float] | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha={alpha}, expected a non-negative finite number")
        if not 0 < lr < math.inf:
            raise ValueError(f"lr={lr}, expected a positive finite number")
        given = initial_losses.values() if isinstance(initial_losses, Mapping) else initial_losses
        if given is not None and not all(0 < loss < math.inf for loss in given):
            raise ValueError(f"initial_losses={initial_losses}, expected positive finite numbers")
        self.alpha = alpha
        self.lr = lr
        self.tasks: tuple[str, ...] | None = None
        self._given = initial_losses
        self.register_parameter("task_weights", None)
        self.register_buffer("initial_losses", None)
        # Adam works on a copy in fp64 on the CPU, so that moving or casting the module leaves its state alone.
        self._copy = torch.empty(0)
        self._adam: torch.optim.Adam | None = None

    def bind(self, tasks: Sequence[str]) -> None:
        """Makes one weight a task.

        Raises:
            ValueError: if other tasks are bound already, or ``initial_losses`` do not fit.
        """
        names = tuple(tasks)
        if self.tasks is not None:
            if set(names) != set(self.tasks):
                raise ValueError(f"GradNorm holds weights of {self.tasks}, got {names}: make one for each set of tasks")
            return
        if self.task_weights is None:
            self._make(len(names))
        if self._given is not None and self.initial_losses is not None and bool(self.initial_losses.isnan().all()):
            given = self._given if isinstance(self._given, Mapping) else dict(zip(names, self._given, strict=False))
            if set(given) != set(names) or len(self._given) != len(names):
                raise ValueError(f"initial_losses={self._given} do not fit the tasks {names}, expected one loss a task")
            self.initial_losses.copy_(torch.tensor([given[name] for name in names], dtype=torch.float64))
        self.tasks = names

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Returns this step's weights, [T, T] -> [T], and moves them for the next one."""
        if self.tasks is None:
            self.bind([str(task) for task in range(len(gram))])
        if self.tasks is not None and len(gram) != len(self.tasks):
            raise ValueError(f"GradNorm holds {len(self.tasks)} weights, got a Gram matrix of {len(gram)} tasks")
        return self._weights(gram, losses, list(range(len(gram))))

    def weigh(self, step: Step) -> Tensor:
        """Weights [P] of the tasks that took part."""
        self.bind(step.tasks)
        names = self.tasks or ()
        return self._weights(step.gram, step.losses, [names.index(task) for task in step.present])

    @torch.no_grad()
    def _weights(self, gram: Tensor, losses: Tensor | None, present: list[int]) -> Tensor:
        losses = needed(losses, self)
        assert self.task_weights is not None  # noqa: S101 - bound by now; tells mypy
        weights = self.task_weights.to("cpu", torch.float64, copy=True)
        if self.training and present:
            rates = self._rates(losses.to("cpu", torch.float64), present)
            norms = gram.diagonal().to("cpu", torch.float64).clamp_min(0).sqrt()
            lengths = weights[present] * norms
            slopes = torch.sign(lengths - lengths.mean() * rates**self.alpha) * norms
            if math.isfinite(float((rates * norms).sum())):  # a step whose loss overflowed teaches nothing
                self.task_weights.copy_(self._moved(weights, slopes, present))
        return weights[present].to(gram.device, gram.dtype)

    def _rates(self, losses: Tensor, present: list[int]) -> Tensor:
        """Relative inverse training rates r [P]; remembers first losses."""
        assert self.initial_losses is not None  # noqa: S101
        assert self.tasks is not None  # noqa: S101
        values = losses.tolist()
        if (least := min(values)) < 0:
            task = self.tasks[present[values.index(least)]]
            raise ValueError(f"task {task!r} has loss {least}, GradNorm expects non-negative losses")
        for position, loss in zip(present, values, strict=True):
            if 0 < loss < math.inf and math.isnan(float(self.initial_losses[position])):
                self.initial_losses[position] = loss
        initial = self.initial_losses.to("cpu", torch.float64)[present]
        ratios = torch.where((losses == 0) & initial.isnan(), 1.0, losses / initial)
        mean = ratios.mean()
        return torch.ones_like(ratios) if mean == 0 else ratios / mean

    def _moved(self, weights: Tensor, slopes: Tensor, present: list[int]) -> Tensor:
        adam = self._optimizer(len(weights))
        self._copy.copy_(weights)
        self._copy.grad = torch.zeros_like(weights)
        self._copy.grad[present] = slopes
        adam.step()
        moved = weights.clone()  # Adam's momentum moves those that took no part as well
        moved[present] = self._copy[present]
        moved.clamp_min_(_FLOOR)
        return moved * (len(moved) / moved.sum())

    def _make(self, T: int) -> None:
        self.task_weights = nn.Parameter(torch.ones(T, dtype=torch.float64), requires_grad=False)
        self.initial_losses = torch.full((T,), math.nan, dtype=torch.float64)

    def _optimizer(self, T: int) -> torch.optim.Adam:
        if self._adam is None:
            self._copy = torch.ones(T, dtype=torch.float64)
            self._adam = torch.optim.Adam([self._copy], lr=self.lr)
        return self._adam

    def remembered(self) -> dict[str, Tensor]:
        """Names of the tasks and Adam's moments."""
        if self.tasks is None:
            return {}
        like = torch.zeros(len(self.tasks), dtype=torch.float64)
        return {"tasks": names_as_tensor(self.tasks), **moments_of(self._adam, like)}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up names and moments; the weights themselves are in ``task_weights``.

        Raises:
            ValueError: if it tells of other tasks.
        """
        self.tasks = bound_tasks(self, self.tasks, names_of(told.get("tasks")))
        if self.tasks is not None and self.task_weights is None:
            self._make(len(self.tasks))
        if self.tasks is not None:
            self._copy = torch.ones(len(self.tasks), dtype=torch.float64)
        self._adam = adam_with(told, self._copy, lr=self.lr)

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"tasks": names_as_tensor(state["tasks"]), **state["adam"]} if state["tasks"] else {}

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        return f"alpha={self.alpha}, lr={self.lr}"

"""TorchJD's methods that take a Gram matrix, as weightings."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchjd.aggregation import WeightedAggregator

from counterpoint.balancing.weightings.gram_root import gram_root, without_noise
from counterpoint.balancing.weightings.memory import bound_tasks, read_or_warn, wired
from counterpoint.balancing.weightings.torchjd_options import cut_to, per_task_length, shown, takes_size
from counterpoint.balancing.weightings.torchjd_projector import PivotingProjector
from counterpoint.balancing.weightings.torchjd_state import pack, unpack
from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing.step import Step

# These divide by the smallest eigenvalues, and judge in fp64 what is zero; the gradients were fp32.
_DIVIDE_BY_SMALL_EIGENVALUES = frozenset({"AlignedMTL", "IMTLG"})

# PCD puts the first task first; without it nothing bounds the update, and TorchJD's own answer to a zero gradient of
# the first task is a zero update.
_LED_BY_FIRST_TASK = frozenset({"PCD"})


class TorchJDMethod(Weighting):
    """A method of TorchJD, one for each set of tasks that took part together.

    Options with one value a task are cut to the tasks that took part, and what a method remembers is remembered for
    each set of tasks separately (the ``kept_sets`` sets used last), so that no task ever meets the memory of another.

    Args:
        name: Name under which :func:`get_weighting` knows it.
        method: Class of TorchJD.
        options: What its constructor takes; the number of tasks may be missing.
        needs_gram: ``False`` if the method looks at the number of tasks only.

    Raises:
        ValueError: for an option out of range.
        ImportError: if a package that the method needs is missing; the message says what to install.
    """

    kept_sets = 32

    def __init__(self, name: str, method: type[nn.Module], options: dict[str, Any], *, needs_gram: bool = True) -> None:
        super().__init__()
        self.name = name
        self.method = method
        self.options = options
        self.needs_gram = needs_gram
        self.tasks: tuple[str, ...] | None = None
        self._size_option = takes_size(method)
        self._size: int | None = options.get(self._size_option or "", per_task_length(options))
        self._remembers = self.learns = hasattr(method, "reset")  # torchjd.Stateful
        self._made: OrderedDict[tuple[str, ...], nn.Module] = OrderedDict()
        self._new(None)  # says now what is wrong with the options

    def bind(self, tasks: Sequence[str]) -> None:
        """Hears the names of all tasks.

        Raises:
            ValueError: if the options are for another number of tasks, or other tasks were bound and have left traces.
        """
        names = tuple(tasks)
        if self._size is not None and len(names) != self._size:
            raise ValueError(
                f"{self} is for {self._size} tasks, expected as many, got {len(names)}: {', '.join(names)}"
            )
        if self.tasks not in (None, names) and self._remembers and self._made:
            raise ValueError(
                f"{self} remembers steps of the tasks {', '.join(self.tasks or ())}, expected the same tasks again, "
                f"got {', '.join(names)}: make a new weighting"
            )
        self.tasks = names

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns TorchJD's weights, [T, T] -> [T]."""
        if self._size not in (None, len(gram)):
            raise ValueError(f"{self} is for {self._size} tasks, expected a matrix for as many, got {list(gram.shape)}")
        bound = self.tasks is not None and len(self.tasks) == len(gram)
        tasks = self.tasks if bound and self.tasks is not None else tuple(map(str, range(len(gram))))
        return self._weights(gram, tasks, None)

    def weigh(self, step: Step) -> Tensor:
        """Weights [P] of the tasks that took part; see the class for what happens to absent ones."""
        if self.method.__name__.removesuffix("Weighting") in _LED_BY_FIRST_TASK and step.tasks[0] not in step.present:
            return torch.zeros_like(step.gram[0])
        return self._weights(step.gram, step.present, step.positions)

    def remembered(self) -> dict[str, Tensor]:
        """What the method remembers, for each set of tasks."""
        if not self._remembers:
            return {}
        return {"sets": wired({"tasks": self.tasks, "made": [(names, pack(own)) for names, own in self._made.items()]})}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what was remembered.

        Raises:
            ValueError: if it tells of other tasks.
        """
        self._made.clear()
        if "sets" not in told:
            return
        state = read_or_warn(told["sets"], self)
        self.tasks = bound_tasks(self, self.tasks, state.get("tasks"))
        for names, packed in state.get("made", ()):
            present = tuple(names)
            known = self.tasks is not None and set(present) <= set(self.tasks)
            positions = tuple(map(self.tasks.index, present)) if known and self.tasks is not None else None
            unpack(self._for(present, positions), packed)

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"sets": wired(dict(state))} if self._remembers else {}

    def __repr__(self) -> str:
        """Name and options, in one line."""
        return shown(self.method.__name__.removesuffix("Weighting"), self.options)

    def _weights(self, gram: Tensor, present: tuple[str, ...], positions: Sequence[int] | None) -> Tensor:
        method = self._for(present, positions)
        if not self.needs_gram:
            return torch.as_tensor(method(gram)).to(gram.device, gram.dtype)
        divides = self.method.__name__.removesuffix("Weighting") in _DIVIDE_BY_SMALL_EIGENVALUES
        matrix = without_noise(gram) if divides else gram.to(torch.float64)
        if divides and bool((largest := matrix.diagonal().max()) > 0):
            matrix = matrix / largest  # their weights do not depend on it, and what counts as zero there is absolute
        return torch.as_tensor(self._of(method, matrix)).to(gram.device, gram.dtype)

    def _of(self, method: nn.Module, matrix: Tensor) -> Tensor:
        weights: Tensor = method(matrix)
        return weights

    def _for(self, present: tuple[str, ...], positions: Sequence[int] | None) -> nn.Module:
        """The method for a set of tasks; positions are ``None`` where options must fit as they are."""
        shared = not self._remembers and self._size is None
        key = () if shared else present
        if key not in self._made:
            self._made[key] = self._new(None if shared else positions, len(present))
            if len(self._made) > self.kept_sets:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]

    def _new(self, positions: Sequence[int] | None, size: int = 1) -> nn.Module:
        options = self.options if positions is None or self._size is None else cut_to(self.options, positions)
        if self._size_option is not None and (positions is not None or self._size_option not in options):
            options = {**options, self._size_option: size}
        if "projector" in inspect.signature(self.method).parameters and options.get("projector") is None:
            options = {**options, "projector": PivotingProjector()}  # TorchJD's own takes a program and a task each
        try:
            return self.method(**options)
        except ImportError as error:
            raise ImportError(f"weighting {self.name!r} cannot be used: {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"weighting {self.name!r}: {error}") from None


class RootMethod(TorchJDMethod):
    """An aggregator of TorchJD that is equivariant to rotations (ConFIG, NashMTL), run on a root of the Gram matrix.

    It needs no gradients then, and the weights are those of the global batch when the Gram matrix is.
    """

    def _of(self, method: nn.Module, matrix: Tensor) -> Tensor:
        root = gram_root(matrix)
        if not root.vectors.shape[1]:
            return torch.zeros_like(matrix[0])
        if len(matrix) == 1 and self.method.__name__ == "NashMTL":
            # TorchJD's conic problem has no form for one task. Its answer: weight 1, bounded by max_norm.
            bound = float(self.options.get("max_norm", 1.0))
            return (bound / matrix[0].sqrt()).clamp(max=1.0) if bound > 0 else torch.ones_like(matrix[0])
        if isinstance(method, WeightedAggregator):
            weights: Tensor = method.weighting(root.vectors)
            return weights
        combined: Tensor = method(root.vectors)
        return root.inverse @ combined

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and deepcopy: a solver's problem, made in the first step, cannot be copied."""
        return {**self.__dict__, "_made": None, "told": self.remembered()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Makes the method anew, with the state of the copied one."""
        told = state.pop("told")
        super().__setstate__({**state, "_made": OrderedDict()})  # type: ignore[no-untyped-call]
        self.remember(told)


class TwoBatchMethod(TorchJDMethod):
    """A method that weighs products of the gradients of two independent batches: MoDo, SDMGrad.

    Call it with that matrix, ``J1 @ J2.T``; one backward pass has one batch, so ``FanOut`` and ``backward`` refuse it.
    """

    levels = ()
    why_not = (
        "it weighs the products J1 @ J2.T of the gradients of two independent batches and one backward pass has one: "
        "call the weighting with that matrix, then (weights * losses).sum().backward()"
    )

    def __call__(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns the weights [T] for a matrix J1 @ J2.T [T, T], which need not be symmetric."""
        if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not bool(torch.isfinite(gram).all()):
            raise ValueError(f"the matrix has shape {list(gram.shape)}, expected a square one [T, T] of finite numbers")
        weights: Tensor = nn.Module.__call__(self, gram)
        return weights

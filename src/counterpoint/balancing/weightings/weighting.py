"""What a weighting is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from counterpoint.balancing.checked_gram import check_semidefinite, checked_gram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing.step import Step

Length = Literal["sum"]

_REMEMBERED = "remembered_"
_EXTRA_STATE = "_extra_state"  # where Counterpoint 0.1.0 kept what is remembered


class Weighting(nn.Module, ABC):
    """Gram matrix of T task gradients in, T weights out.

    Subclass it and write ``forward``; that is enough for one that looks at this step alone. It runs without
    gradients, inside a backward pass. Where a weighting is expected, a plain callable of one argument (the Gram matrix)
    does as well. The Gram matrix is that of the tasks that took part in the backward pass, in the order of the layer's
    tasks: T varies where labels are missing.

    One that learns or remembers overrides more: ``bind`` hears the names of all tasks before training, so that
    parameters can be made before an optimizer is; ``weigh`` sees the whole :class:`~counterpoint.balancing.step.Step`,
    hence which tasks took part. A weighting is a module: what it learns travels in ``state_dict``, parameters and
    buffers as ever, and what :meth:`remembered` names under ``remembered_NAME``: tensors only.

    Attributes:
        needs_gram: ``False`` if the weights do not depend on the Gram matrix; with ``on_nonfinite="propagate"`` it is
            then never copied to the host.
        needs_losses: ``True`` if the values of the losses are needed: ``fan.sum(losses).backward()`` and
            ``backward(losses, ...)`` tell them, a plain ``sum(losses).backward()`` does not.
        needs_reevaluation: ``True`` if :meth:`reevaluated` is to be called after each optimizer step.
        needs_epoch_ended: ``True`` if :meth:`epoch_ended` is to be called after each epoch.
        learns: ``True`` if ``weigh()`` moves something that later steps see (learned weights, averages, memory). Where
            a layer is used several times in one backward pass such a weighting is asked once, and the other uses
            get the same weights.
        looked_after: ``True`` where somebody calls :meth:`reevaluated` and :meth:`epoch_ended` and trains its
            parameters, as our Lightning module does: it then never warns that nobody does.
        needs_rows: ``True`` if it needs the gradients themselves, not only their inner products: its
            ``combine_rows(matrix [P, N], step)`` is then called instead of :meth:`weigh` and returns the combined
            gradient [N] and the weights [P], or ``None`` where no weights describe the combination.
        carried: Names of attributes (plain values, arrays) that go from step to step and are not in ``state_dict``,
            such as what a solver starts from. A training that is resumed bit by bit needs them.
        length: See :class:`~counterpoint.FanOut`, whose own option comes first.
        levels: Where it makes sense: ``"features"``, ``"parameters"``.
        why_not: Why it makes no sense at the other level, for the error message.

    Example:
        >>> import torch
        >>> class InverseNorm(Weighting):
        ...     def forward(self, gram, losses=None):
        ...         return gram.diagonal().rsqrt()
        >>> InverseNorm()(torch.diag(torch.tensor([4.0, 1.0])))
        tensor([0.5000, 1.0000])
    """

    needs_gram: bool = True
    needs_losses: bool = False
    needs_reevaluation: ClassVar[bool] = False
    needs_epoch_ended: ClassVar[bool] = False
    learns: bool = False
    looked_after: bool = False
    needs_rows: bool = False
    carried: ClassVar[tuple[str, ...]] = ()
    length: Length | None = None
    levels: tuple[str, ...] = ("features", "parameters")
    why_not: str = ""

    @abstractmethod
    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Computes the weights.

        Args:
            gram: [T, T] inner products of the task gradients, fp64 on the CPU.
            losses: [T] values of the losses, where they are known.

        Returns:
            [T] weights of the task gradients in the shared update.
        """

    def __call__(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Checks what is given and computes the weights, [T, T] -> [T].

        Raises:
            ValueError: if ``gram`` is not square, finite, symmetric and positive semidefinite beyond rounding, or does
                not fit ``losses``; if losses are needed and not given.
        """
        check_semidefinite(checked_gram(gram))
        if losses is None and self.needs_losses:
            raise ValueError(f"{self} needs losses, expected weighting(gram, losses)")
        if losses is not None and losses.shape != gram.shape[:1]:
            raise ValueError(f"losses have shape {list(losses.shape)}, expected [{gram.shape[0]}], one loss a task")
        weights: Tensor = super().__call__(gram, losses)
        return weights

    def weigh(self, step: Step) -> Tensor:
        """Weights [P] of the tasks that took part in a step. The Gram matrix has been checked by then."""
        weights: Tensor = nn.Module.__call__(self, step.gram, step.losses)
        return weights

    def combine_rows(self, matrix: Tensor, step: Step) -> tuple[Tensor, Tensor | None]:
        """Combines the gradients [P, N] themselves: the update [N], and weights [P] if there are any."""
        weights = self.weigh(step)
        return weights.to(matrix) @ matrix, weights

    def bind(self, tasks: Sequence[str]) -> None:
        """Hears the names of all tasks: when a ``FanOut`` is made, and again in every step. Make what is made once."""

    def epoch_ended(self) -> None:
        """Hears that an epoch of training has ended; our Lightning module calls it."""

    def reevaluated(self, losses: dict[str, Tensor]) -> None:
        """Hears the losses of the same batch after the optimizer's step; our Lightning module calls it."""

    def remembered(self) -> dict[str, Tensor]:
        """What later steps depend on and is neither parameter nor buffer, by name, for ``state_dict``.

        Names and shapes stay the same once tasks are bound, as far as they can: states are averaged key by key. Unlike
        buffers these tensors stay on the CPU in the precision that they have, whatever the module is moved or cast to.
        """
        return {}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what :meth:`remembered` gave, CPU tensors, and makes parameters where it knows how many.

        With nothing told, it forgets: a state had its parameters, but no such entry.

        Raises:
            ValueError: if it tells of other tasks.
        """

    def _of_0_1(self, state: Mapping[str, Any]) -> dict[str, Tensor] | None:  # noqa: ARG002
        """A state of Counterpoint 0.1.0 as :meth:`remembered` gives it, ``None`` where there was none."""
        return None

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, tensor in self.remembered().items():
            destination[f"{prefix}{_REMEMBERED}{name}"] = tensor.detach().to("cpu", copy=True)

    def _load_from_state_dict(  # noqa: PLR0917  (PyTorch's)
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        start, extra = f"{prefix}{_REMEMBERED}", f"{prefix}{_EXTRA_STATE}"
        told = {
            key.removeprefix(start): value.detach().cpu() for key, value in state_dict.items() if key.startswith(start)
        }
        old = None
        if type(self).set_extra_state is nn.Module.set_extra_state and isinstance(state_dict.get(extra), Mapping):
            old = self._of_0_1(state_dict[extra])
        # A state that holds nothing of this weighting leaves it alone, as PyTorch leaves parameters.
        if told or old or any(key.startswith(prefix) for key in state_dict):
            self.remember(told or old or {})  # before PyTorch looks for parameters
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        taken = {f"{start}{name}" for name in self.remembered()} | ({extra} if old is not None else set())
        unexpected_keys[:] = [key for key in unexpected_keys if key not in taken]

    def __getattr__(self, name: str) -> Any:
        """What is remembered, by its key in ``state_dict``, as torch.distributed.checkpoint looks for it."""
        if name.startswith(_REMEMBERED):
            told = self.remembered()
            if name.removeprefix(_REMEMBERED) in told:
                return told[name.removeprefix(_REMEMBERED)]
        return super().__getattr__(name)


def needed(losses: Tensor | None, weighting: Weighting) -> Tensor:
    """The losses of a step, for a weighting that cannot do without.

    Raises:
        ValueError: if nobody told them.
    """
    if losses is None:
        raise ValueError(
            f"{one_line(weighting)} needs the losses, expected fan.sum(losses).backward() in place of "
            "sum(losses).backward(), or counterpoint.backward(losses, ...)"
        )
    return losses


def one_line(weighting: object) -> str:
    """Its ``repr`` for an error, which is one line; that of a module with children takes several."""
    return " ".join(repr(weighting).split())

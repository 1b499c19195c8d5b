"""Computes losses anew, with their graphs, and leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from counterpoint.balancing import FanOut
from counterpoint.undisturbed import Undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from counterpoint.trajectory.parameters import Parameters, Vector


def hand_on(module: nn.Module) -> None:
    """A FanOut in eval mode hands features on: gradients are those of the plain loss, and have derivatives."""
    if isinstance(module, FanOut):
        module.training = False


class Evaluation:
    """Within it, closures are evaluated; at its end all is as before.

    Args:
        parameters: What to differentiate with respect to.
        blame: What messages call the closure.
    """

    def __init__(self, parameters: Parameters, blame: str = "loss") -> None:
        self.parameters = parameters
        self.blame = blame
        self._place = Undisturbed(parameters.tensors, models=parameters.modules, blame=blame, prepare=hand_on)
        self._unseen = True

    def __enter__(self) -> Self:
        self._place.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.__exit__(kind, error, trace)

    @property
    def known(self) -> Iterable[Tensor]:
        """Parameters seen so far."""
        return self._place.parameters

    def place(self, values: Vector | None) -> None:
        """Gives the parameters other values, or their own."""
        self._place.place(values)

    def outputs(self, closure: Callable[[], Any], *, rewind: bool, graph: bool = True) -> Tensor:
        """The tensor that the closure returns.

        Args:
            closure: What the user gave.
            rewind: Whether random numbers start again, for every closure of a pass but the first they go on.
            graph: Whether to differentiate the result.

        Raises:
            ValueError: if the closure changes a parameter, steps an optimizer, or goes through a FanOut in train mode.
            TypeError: if it returns no tensor.
        """
        found = self._place.evaluate(closure, graph=graph, rewind=rewind)
        if not isinstance(found, Tensor):
            raise TypeError(f"{self.blame} returns a {type(found).__name__}, expected a tensor")
        if found.is_complex():
            raise ValueError(f"{self.blame} returns complex numbers, expected real ones")
        if self._unseen and graph:
            _check_hands_on(found, self.blame)
            self._unseen = False
        return found

    def loss(self, closure: Callable[[], Any], *, rewind: bool, graph: bool = True) -> Tensor:
        """The scalar that the closure returns.

        Raises:
            ValueError: as for :meth:`outputs`, and if it is no scalar or not finite.
            TypeError: if it is no tensor.
        """
        found = self.outputs(closure, rewind=rewind, graph=graph)
        if found.numel() != 1:
            raise ValueError(f"{self.blame} returns a tensor of shape {list(found.shape)}, expected a scalar")
        if not bool(torch.isfinite(found.detach()).all()):
            raise ValueError(f"{self.blame} is {float(found.detach())}, expected a finite number")
        return found.reshape(())

    def unconnected(self) -> ValueError:
        """What is raised when nothing depends on the parameters."""
        shapes = ", ".join(str(list(tensor.shape)) for tensor in self.parameters.tensors[:3])
        more = ", ..." if len(self.parameters.tensors) > 3 else ""
        return ValueError(
            f"{self.blame} does not depend on any of the parameters ({shapes}{more}), expected one computed from them: "
            "look for .detach(), torch.no_grad(), or parameters of another model"
        )


def _check_hands_on(output: Tensor, blame: str) -> None:
    """A graph made before, or a FanOut whose forward was called past its hooks, would be balanced."""
    seen: set[Any] = set()
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(getattr(node, "fan", None), FanOut) and hasattr(node, "features"):
            raise ValueError(
                f"{blame} went through a FanOut in train mode, expected a closure that computes it anew (measures then "
                "let the FanOut hand features on), or a FanOut in eval mode"
            )
        stack.extend(child for child, _ in node.next_functions)

"""Computes losses anew, with their graphs, and leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from counterpoint.balancing import FanOut
from counterpoint.trajectory.checked_graph import check_graph
from counterpoint.undisturbed import Undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from counterpoint.trajectory.derivatives import Order
    from counterpoint.trajectory.parameters import Parameters, Vector


def hand_on(module: nn.Module) -> None:
    """A FanOut in eval mode hands features on: gradients are those of the plain loss, and have derivatives."""
    if isinstance(module, FanOut):
        module.training = False


class Evaluation:
    """Within it, closures are evaluated; at its end all is as before.

    Args:
        parameters: What to differentiate with respect to.
        order: Of the derivatives that are wanted.
        blame: What messages call the closure.
    """

    def __init__(self, parameters: Parameters, order: Order, blame: str = "loss") -> None:
        self.parameters = parameters
        self.order = order
        self.blame = blame
        self._place = Undisturbed(parameters.tensors, models=parameters.modules, blame=blame, prepare=hand_on)
        self._unchecked = True
        self._recording = torch.inference_mode(mode=False)

    def __enter__(self) -> Self:
        self._place.__enter__()
        self._recording.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recording.__exit__(kind, error, trace)
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
            ValueError: if the closure changes a parameter, steps an optimizer, or cannot be differentiated so often.
            TypeError: if it returns no tensor.
        """
        found = self._place.evaluate(closure, graph=graph, rewind=rewind)
        if not isinstance(found, Tensor):
            raise TypeError(f"{self.blame} returns a {type(found).__name__}, expected a tensor")
        if found.is_complex():
            raise ValueError(f"{self.blame} returns complex numbers, expected real ones")
        if self._unchecked and graph:
            check_graph(found, self.parameters.tensors, self.order, self.blame)
            self._unchecked = False
        return found

    def look_again(self) -> None:
        """The next graph is another one than the last: of another loss."""
        self._unchecked = True

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

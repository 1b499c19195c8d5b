"""First and second derivatives of a loss, with errors that say what to do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from counterpoint.balancing.combine import full_precision
from counterpoint.balancing.graph import check_reachable, expected_of, is_reentrant, nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Parts = list[Tensor | None]

Order = Literal[1, 2]


def gradient(output: Tensor, parameters: Sequence[Tensor], *, order: Order, keep: bool) -> Parts | None:
    """Of a scalar; ``None`` for parameters that it does not depend on, and for all if it depends on none.

    Args:
        output: The scalar.
        parameters: Leaves.
        order: 2, if the gradient is to be differentiated again.
        keep: Whether the graph is needed again.
    """
    if not output.requires_grad:
        return None
    with explained(order), full_precision(parameters[0].device.type):
        found = torch.autograd.grad(
            output, parameters, retain_graph=keep or order > 1, create_graph=order > 1, allow_unused=True
        )
    _check_hidden(output, parameters, found)
    return None if all(part is None for part in found) else dense(found)


def product(gradients: Parts, parameters: Sequence[Tensor], vector: Sequence[Tensor], *, keep: bool) -> Parts | None:
    """The derivative of <gradients, vector>; ``None`` where the gradients do not depend on the parameters."""
    pairs = [(g, v) for g, v in zip(gradients, vector, strict=True) if g is not None and g.requires_grad]
    if not pairs:
        return None
    with explained(2), full_precision(parameters[0].device.type):
        found = torch.autograd.grad(
            [g for g, _ in pairs], parameters, [v.to(g.dtype) for g, v in pairs], retain_graph=keep, allow_unused=True
        )
    return dense(found)


def pullback(outputs: Tensor, parameters: Sequence[Tensor], cotangent: Tensor) -> Parts | None:
    """The gradient of <outputs, cotangent>; the graph stays."""
    if not outputs.requires_grad:
        return None
    with explained(1), full_precision(parameters[0].device.type):
        found = torch.autograd.grad(outputs, parameters, cotangent, retain_graph=True, allow_unused=True)
    _check_hidden(outputs, parameters, found)
    return None if all(part is None for part in found) else dense(found)


def _check_hidden(output: Tensor, parameters: Sequence[Tensor], found: Sequence[Tensor | None]) -> None:
    """Raises ValueError where a checkpoint hides parameters, which would count as if nothing depended on them."""
    if any(part is None for part in found) and any(map(is_reentrant, nodes_of([output]))):
        check_reachable(parameters, found, "the loss")


def dense(parts: Sequence[Tensor | None]) -> Parts:
    """Sparse gradients, which embeddings may have, as ordinary ones."""
    return [part.to_dense() if part is not None and part.is_sparse else part for part in parts]


@contextlib.contextmanager
def explained(order: Order) -> Iterator[None]:
    """Turns what autograd says into one line.

    Raises:
        ValueError: where autograd raises.
    """
    try:
        yield
    except RuntimeError as error:
        # Subclasses are about devices and processes (out of memory on a GPU); on the host that is a plain RuntimeError.
        if type(error) not in {RuntimeError, NotImplementedError} or "allocate memory" in str(error):
            raise
        said = str(error).splitlines()[0].split(" Hint:")[0][:300].rstrip(". ")
        twice = " twice" if order > 1 else ""
        if instead := expected_of(error):
            expected = instead
        elif "inplace operation" in said:
            expected = "expected no in-place operation (x += y, x.relu_(), x[i] = y) on what backward needs"
        elif "second time" in said:
            expected = "expected a graph that backward has not freed: give a closure, or measure before backward()"
        elif order > 1:
            expected = (
                "expected operations that have second derivatives (for attention the math kernel, "
                "torch.nn.attention.sdpa_kernel(SDPBackend.MATH), for compiled modules the original)"
            )
        else:
            expected = "expected operations that autograd differentiates"
        raise ValueError(f"the loss cannot be differentiated{twice}, {expected}; autograd says: {said}") from error

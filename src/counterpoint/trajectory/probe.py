"""A computation over many rows, cut into chunks that fit into memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a chunk's graph may hold unless somebody says.
_MEMORY = 256 * 2**20


class Probe:
    """A loss (or a network's outputs) over rows of data, for measures to evaluate in chunks of rows that fit.

    Measures of a closure hold the graph of all its rows at once; of a probe they hold what fits into ``memory``. How
    much a row takes is measured on a few rows: the bytes that autograd saves for backward, without parameters and
    inputs (for second derivatives of the gradient's graph as well). If all of it fits at once, the graphs are kept from
    one Hessian-vector product to the next; else every product computes them again, chunk by chunk.

    Modules compute in whatever mode they are in. In eval mode results do not depend on the chunks, up to rounding. In
    train mode BatchNorm normalizes every chunk by itself, and dropout draws the same masks in every evaluation, but
    others with other chunks. Give the module itself rather than its DDP wrapper.

    Args:
        function: Called with a chunk of the inputs. For the measures of a loss it returns the mean loss over the rows
            of the chunk, a scalar; for :func:`fisher_trace` the outputs, one a row.
        *inputs: Tensors whose first dimension is rows, or (nested) dicts, lists and tuples of them.
        memory: Bytes that the graph of a chunk may hold; a chunk has never less than one row.
        rows: At most so many rows a chunk, instead of as many as fit.

    Raises:
        ValueError: for inputs of different or no rows, or ``memory`` or ``rows`` below 1.
        TypeError: if ``function`` is not callable, or an input is something else than tensors.

    Example:
        >>> import torch
        >>> from counterpoint import Probe, hessian_trace
        >>> layer, x, y = torch.nn.Linear(3, 1), torch.ones(10, 3), torch.zeros(10, 1)
        >>> probe = Probe(lambda x, y: (layer(x) - y).square().mean(), x, y, rows=4)
        >>> [chunk.rows for chunk in probe.chunks(4)]
        [4, 3, 3]
        >>> abs(hessian_trace(probe, layer, draws=400).value - 8.0) < 1.0
        True
    """

    def __init__(
        self, function: Callable[..., Any], *inputs: Any, memory: int = _MEMORY, rows: int | None = None
    ) -> None:
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}, expected a callable of the inputs")
        if memory < 1:
            raise ValueError(f"memory is {memory}, expected a positive number of bytes")
        if rows is not None and rows < 1:
            raise ValueError(f"rows is {rows}, expected at least one row a chunk")
        self.function = function
        self.inputs = inputs
        self.memory = memory
        self.fixed_rows = rows
        self.rows = _rows(inputs)

    def __call__(self) -> Any:
        """What the function returns for all rows."""
        return self.function(*self.inputs)

    def part(self, start: int, stop: int) -> Probe:
        """The same of the rows from ``start`` to ``stop``."""
        inputs = (_cut(given, start, stop) for given in self.inputs)
        return Probe(self.function, *inputs, memory=self.memory, rows=self.fixed_rows)

    def at_most(self, rows: int) -> Probe:
        """The same in chunks of at most so many rows."""
        return Probe(self.function, *self.inputs, memory=self.memory, rows=rows)

    def chunks(self, most: int) -> list[Probe]:
        """Parts of at most ``most`` rows, as equal as can be: no chunk is left with a row or two."""
        return self.split(-(-self.rows // max(1, most)))

    def split(self, parts: int) -> list[Probe]:
        """As equal parts as can be.

        Raises:
            ValueError: if there are more parts than rows.
        """
        if parts > self.rows:
            raise ValueError(f"{self.rows} rows cannot be split into {parts} parts, expected at most one part a row")
        small, longer = divmod(self.rows, parts)
        ends = [0]
        for index in range(parts):
            ends.append(ends[-1] + small + (index < longer))
        return [self.part(start, stop) for start, stop in itertools.pairwise(ends)]

    def tensors(self) -> list[Tensor]:
        """The inputs one by one."""
        return [leaf for given in self.inputs for leaf in _leaves(given)]


def _leaves(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping):
        for value in given.values():
            yield from _leaves(value)
    elif isinstance(given, (tuple, list)):
        for value in given:
            yield from _leaves(value)
    else:
        raise TypeError(
            f"an input of the probe is a {type(given).__name__}, expected tensors, or dicts, lists or tuples of them: "
            "let the function hold what has no rows"
        )


def _rows(inputs: tuple[Any, ...]) -> int:
    shapes = [tuple(leaf.shape) for given in inputs for leaf in _leaves(given)]
    if not shapes or any(not shape for shape in shapes):
        raise ValueError("the probe has an input without rows, expected tensors whose first dimension is rows")
    counts = {shape[0] for shape in shapes}
    if len(counts) > 1 or counts == {0}:
        raise ValueError(f"the probe's inputs have {sorted(counts)} rows, expected one number of rows, at least 1")
    return int(counts.pop())


def _cut(given: Any, start: int, stop: int) -> Any:
    if isinstance(given, Tensor):
        return given[start:stop]
    if isinstance(given, Mapping):
        return {key: _cut(value, start, stop) for key, value in given.items()}
    cut = [_cut(value, start, stop) for value in given]
    return type(given)(*cut) if hasattr(given, "_fields") else type(given)(cut)

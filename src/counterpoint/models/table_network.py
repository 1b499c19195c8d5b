"""What a network for tables looks like, in plain numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from torch import nn

from counterpoint.models.embedding import CodeEmbedding, embedding_width
from counterpoint.models.mlp import MLPEncoder
from counterpoint.models.mmoe import MMoEEncoder, MMoEHead
from counterpoint.models.ple import PLEEncoder, PLEHead
from counterpoint.names import one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Architecture = Literal["mlp", "mmoe", "ple"]

# Experts of each task's own in "ple".
_OWN = 1

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class TableNetwork:
    """A network for tables: what comes before the FanOut, and a head for each task.

    Rows are [B, inputs + C]: dense columns first, then C columns of category codes, as floating-point numbers. Weights
    are drawn from torch's global generator, so a seed set before :meth:`encoder` or :meth:`head` fixes them.

    Attributes:
        architecture: ``"mlp"``: hidden layers that all tasks share (:class:`MLPEncoder`) and a linear head for each.
            ``"mmoe"``: experts that all tasks share, a gate and a tower for each (:class:`MMoEEncoder`). ``"ple"``: the
            same and an expert of each task's own (:class:`PLEEncoder` of one level).
        inputs: Number of dense columns.
        cardinalities: Number of codes of each code column, with code 0, which stands for rare, unknown and missing.
        hidden: Width of each hidden layer, of which a row passes all. In the mixtures the last one, if there are
            several, is in each task's tower and the others are those of each expert.
        experts: Number of experts that all tasks share, in the mixtures.
        dropout: Share of each hidden layer's outputs that training drops.

    Raises:
        ValueError: for numbers that make no network.

    Example:
        >>> import torch
        >>> from counterpoint import FanOut, MGDA, MultiTaskModel
        >>> network = TableNetwork("mlp", inputs=6, cardinalities=(40,), hidden=(32, 16))
        >>> heads = {"price": network.head("price", outputs=1), "cut": network.head("cut", outputs=5)}
        >>> model = MultiTaskModel(network.encoder(list(heads)), heads, FanOut(MGDA(), list(heads)))
        >>> {task: tuple(output.shape) for task, output in model(torch.zeros(8, 7)).items()}
        {'price': (8, 1), 'cut': (8, 5)}
        >>> network.describe()
        'one embedded category column, two hidden layers of 32 and 16, one linear head a task'
    """

    architecture: Architecture
    inputs: int
    cardinalities: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (256, 256)
    experts: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "cardinalities", _whole("cardinalities", self.cardinalities, least=1))
        object.__setattr__(self, "hidden", _whole("hidden", self.hidden, least=1))
        _whole("inputs", (self.inputs,), least=0)
        _whole("experts", (self.experts,), least=1)
        one_of("architecture", self.architecture, get_args(Architecture))
        if not self.inputs and not self.cardinalities:
            raise ValueError("inputs is 0 and cardinalities is empty, expected at least one column")
        if not self.hidden:
            raise ValueError("hidden is empty, expected the width of at least one layer")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout!r}, expected a number from 0 to below 1")

    def encoder(self, tasks: Sequence[str]) -> nn.Module:
        """What comes before the FanOut.

        Args:
            tasks: The tasks that share it.
        """
        embed = CodeEmbedding(self.inputs, self.cardinalities) if self.cardinalities else None
        if self.architecture == "mmoe":
            return MMoEEncoder(self._width, self._expert, self.experts, dropout=self.dropout, embed=embed)
        if self.architecture == "ple":
            return PLEEncoder(
                self._width, self._expert, len(tasks), shared=self.experts, own=_OWN, dropout=self.dropout, embed=embed
            )
        shared = MLPEncoder(self._width, self.hidden, self.dropout)
        return shared if embed is None else nn.Sequential(embed, shared)

    def head(self, task: str, outputs: int) -> nn.Module:  # noqa: ARG002  (every task gets the same)
        """What comes after it: takes what the encoder returns.

        Args:
            task: Name of the task.
            outputs: Number of its outputs: classes, or 1.
        """
        if self.architecture == "mmoe":
            return MMoEHead(
                self._width, self._expert[-1], self.experts, outputs, hidden=self._tower, dropout=self.dropout
            )
        if self.architecture == "ple":
            return PLEHead(
                self._width,
                self._expert,
                outputs,
                shared=self.experts,
                own=_OWN,
                tower_hidden=self._tower,
                dropout=self.dropout,
            )
        return nn.Linear(self.hidden[-1], outputs)

    @property
    def _width(self) -> int:
        """Columns once codes are embedded."""
        return self.inputs + sum(map(embedding_width, self.cardinalities))

    @property
    def _expert(self) -> tuple[int, ...]:
        return self.hidden[:-1] or self.hidden

    @property
    def _tower(self) -> tuple[int, ...]:
        return self.hidden[1:][-1:]

    def describe(self) -> str:
        """Words for a report."""
        columns = len(self.cardinalities)
        embedded = f"{_counted(columns, 'embedded category column')}, " if columns else ""
        dropped = f", dropout of {self.dropout:g}" if self.dropout else ""
        if self.architecture == "mlp":
            return f"{embedded}{_layers(self.hidden)}{dropped}, one linear head a task"
        experts = _counted(self.experts, "shared expert")
        own = f" and {_counted(_OWN, 'expert')} of each task's own" if self.architecture == "ple" else ""
        tower = f"tower of {self._tower[0]}" if self._tower else "linear head"
        return f"{embedded}{experts}{own}, each with {_layers(self._expert)}{dropped}, one gate and one {tower} a task"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """What :meth:`to_json` was called on.

        Raises:
            ValueError: for anything else.

        Example:
            >>> network = TableNetwork("mlp", inputs=6, cardinalities=(40,))
            >>> TableNetwork.from_json(network.to_json()) == network
            True
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(document, dict) or sorted(document) != sorted(names):
            raise ValueError(f"{str(document)[:80]!r} describes no network for tables, expected the entries {names}")
        return cls(**document)


def _whole(name: str, numbers: object, *, least: int) -> tuple[int, ...]:
    if not isinstance(numbers, (list, tuple)):
        raise ValueError(f"{name} is {numbers!r}, expected whole numbers such as [256, 256]")  # noqa: TRY004
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"{name} holds {number!r}, expected whole numbers of at least {least}")
    return tuple(numbers)


def _layers(widths: Sequence[int]) -> str:
    listed = " and ".join(filter(None, [", ".join(map(str, widths[:-1])), str(widths[-1])]))
    return f"{_counted(len(widths), 'hidden layer')} of {listed}"


def _counted(number: int, noun: str) -> str:
    word = _WORDS[number] if number < len(_WORDS) else str(number)
    return f"{word} {noun}{'' if number == 1 else 's'}"

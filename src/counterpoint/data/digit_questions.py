"""Five questions about a pair of digits: few enough tasks to train every set of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from counterpoint.data.digit_pairs import DigitPairs
from counterpoint.data.split import Split

if TYPE_CHECKING:
    from torch import Tensor

# Number of classes of each question.
QUESTIONS = {"left": 10, "right": 10, "sum": 19, "left-even": 2, "larger": 2}


@dataclass(frozen=True)
class DigitQuestions:
    """Questions about the two digits of :class:`~counterpoint.data.DigitPairs`.

    ``"left"`` and ``"right"`` are the digits, ``"sum"`` is their sum (0 to 18), ``"left-even"`` asks whether the left
    one is even, ``"larger"`` whether the left one is larger than the right one.

    Attributes:
        pairs: The pairs.

    Example:
        >>> splits = DigitQuestions(DigitPairs(train_rows=100, validation_rows=20, test_rows=20)).splits()
        >>> {task: int(labels.max()) < QUESTIONS[task] for task, labels in splits["train"].targets.items()}
        {'left': True, 'right': True, 'sum': True, 'left-even': True, 'larger': True}
    """

    pairs: DigitPairs = field(default_factory=lambda: DigitPairs(4_000, 1_000, 2_000))

    def with_seed(self, seed: int) -> DigitQuestions:
        """The same digits, split and paired by another seed."""
        return replace(self, pairs=self.pairs.with_seed(seed))

    def splits(self) -> dict[str, Split]:
        """The three splits: inputs uint8 [N, 1, 36, 36], targets int64 [N] for each of the five questions."""
        return {
            name: Split(split.inputs, _answers(split.targets["left"], split.targets["right"]))
            for name, split in self.pairs.splits().items()
        }


def _answers(left: Tensor, right: Tensor) -> dict[str, Tensor]:
    return {
        "left": left,
        "right": right,
        "sum": left + right,
        "left-even": (left % 2 == 0).long(),
        "larger": (left > right).long(),
    }

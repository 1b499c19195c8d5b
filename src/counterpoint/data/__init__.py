"""Data sources, as tensors in memory."""

from counterpoint.data.digit_pairs import DigitPairs
from counterpoint.data.digit_questions import DigitQuestions
from counterpoint.data.split import Batches, Rows, Split
from counterpoint.data.yeast import Yeast

__all__ = ["Batches", "DigitPairs", "DigitQuestions", "Rows", "Split", "Yeast"]

"""Data sources, as tensors in memory."""

from counterpoint.data.digit_pairs import DigitPairs
from counterpoint.data.split import Batches, Split

__all__ = ["Batches", "DigitPairs", "Split"]

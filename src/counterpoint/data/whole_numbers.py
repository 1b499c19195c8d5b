"""Whole numbers that users give: rows, sizes, seeds."""

from __future__ import annotations


def checked_numbers(**numbers: tuple[int, int]) -> None:
    """Looks at whole numbers that a user gave.

    Args:
        **numbers: For each name the number and the least it may be.

    Raises:
        ValueError: for a number below its least.

    Example:
        >>> checked_numbers(height=(4, 8))
        Traceback (most recent call last):
        ValueError: height is 4, expected at least 8
    """
    for name, (number, least) in numbers.items():
        if number < least:
            raise ValueError(f"{name} is {number}, expected at least {least}")

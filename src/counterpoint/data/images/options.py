"""What users write for the options of a source."""

from __future__ import annotations


def settle(source: object, *names: str) -> None:
    """Makes tuples of a source's lists, which config files and people write: what it is has to be hashable.

    Args:
        source: A frozen dataclass.
        names: Its fields that hold several names or numbers, or may.

    Raises:
        ValueError: for a single word, which would be taken for its letters.
    """
    for name in names:
        given = getattr(source, name)
        if isinstance(given, str):
            raise ValueError(f"{name} is {given!r}, expected a list")  # noqa: TRY004  (what users give, like every other value)
        if isinstance(given, list):
            object.__setattr__(source, name, tuple(given))


def expect_sides(size: object) -> None:
    """Checks the size of images.

    Args:
        size: Height and width.

    Raises:
        ValueError: for anything but two whole numbers above 0.
    """
    sides = size if isinstance(size, tuple) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"size is {size}, expected height and width in pixels")

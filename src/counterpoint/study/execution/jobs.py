"""What can be done with many jobs, wherever they run."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

KILLED = "a process was killed, perhaps for want of memory"


@dataclass(frozen=True)
class Failure:
    r"""What a job left that did not end well.

    Attributes:
        error: What happened, in one line.
        trace: Where, as Python prints it; empty if its process was killed.

    Example:
        >>> Failure.of(ValueError("two\nlines")).error
        'ValueError: two lines'
    """

    error: str
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What to keep of an exception."""
        text = " ".join(str(error).split())
        name = type(error).__name__
        return cls(f"{name}: {text}" if text else name, "".join(traceback.format_exception(error)))


class Closing:
    """Leaving a ``with`` block closes."""

    def close(self) -> None:
        """Does nothing: there is nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


class Executor(Protocol):
    """A place where jobs run. None of them stops the others."""

    def run(
        self,
        items: Sequence[Item],
        work: Callable[[Item, Callable[[float], None]], Outcome],
        on_progress: Callable[[int, float], None],
        on_done: Callable[[int, Outcome | Failure], None],
    ) -> list[Outcome | Failure]:
        """Does ``work`` for every item and returns the outcomes in the items' order.

        Args:
            items: What to work on; must be picklable.
            work: A module-level function of an item and a callable to report the share that is done.
            on_progress: Called in this process with an item's index and the share of it that is done, 0 when it
                starts. A job whose process was killed is started once more: its share falls back to 0.
            on_done: Called in this process with an item's index and its outcome; what it raises ends everything.
        """

    def close(self) -> None:
        """Lets go of what was started for the jobs; nothing that was there before."""

    def __enter__(self) -> Self:
        """The executor itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Closes."""


def attempt(
    work: Callable[[Item, Callable[[float], None]], Outcome], item: Item, report: Callable[[float], None]
) -> Outcome | Failure:
    """Does the work for one item in this process, and returns a failure where it raises.

    A job that exits fails like any other. Ctrl-C is not the job's and goes through.

    Example:
        >>> attempt(lambda item, report: 1 // item, 0, print).error
        'ZeroDivisionError: integer division or modulo by zero'
    """
    try:
        return work(item, report)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (that is what this is for)
        return Failure.of(error)

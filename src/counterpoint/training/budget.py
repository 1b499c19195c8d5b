"""How much time something beside the training may take."""

from __future__ import annotations

import math


class Budget:
    """Thins out looks whose time would be more than a share of the training's.

    The training's whole time is projected from its steps so far. As long as all looks that are left fit, each is taken;
    else as many as fit, evenly. The first is always taken: what a look costs is not known before. The last one is, if
    it fits into what is left.

    Args:
        share: The share, without what the looks take; ``None`` for no limit.

    Attributes:
        spent: Seconds spent on looks.
        taken: Looks taken.
        thinned: Looks left out.

    Raises:
        ValueError: for a share that is not positive.

    Example:
        >>> budget = Budget(0.1)
        >>> budget.allows(left=3, projected=100.0)  # nothing known yet
        True
        >>> budget.spend(9.0)
        >>> budget.allows(left=2, projected=100.0)  # 6 seconds again would be 12 of 10
        False
    """

    def __init__(self, share: float | None) -> None:
        self.share = checked_share("budget", share)
        self.spent = 0.0
        self.taken = 0
        self.thinned = 0
        self._cost = 0.0
        self._credit = 0.0

    def spend(self, seconds: float) -> None:
        """Takes note of a look. What one costs is what the last ones took, or half the first, which had to warm up."""
        self.spent += seconds
        self.taken += 1
        self._cost = 0.5 * seconds if self.taken == 1 else seconds if self.taken == 2 else 0.5 * (self._cost + seconds)

    def allows(self, *, left: int, projected: float) -> bool:
        """Whether to take a look now.

        Args:
            left: How many looks are left, with this one.
            projected: Seconds that the whole training takes, without looks.
        """
        if self.share is None or self.taken == 0:
            return True
        affordable = (self.share * projected - self.spent) / self._cost if self._cost else math.inf
        if affordable >= left:
            return True
        if left > 1:  # one is kept for the end
            self._credit += max(affordable - 1.0, 0.0) / (left - 1)
            if affordable >= 2.0 and self._credit >= 1.0:
                self._credit -= 1.0
                return True
        self.thinned += 1
        return False

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        amounts = {"spent": self.spent, "cost": self._cost, "credit": self._credit}
        return {**amounts, "taken": self.taken, "thinned": self.thinned}

    def load(self, state: dict[str, float]) -> None:
        """Goes on."""
        self.spent, self._cost, self._credit = (float(state[name]) for name in ("spent", "cost", "credit"))
        self.taken, self.thinned = int(state["taken"]), int(state["thinned"])

    def reset(self) -> None:
        """Starts again: nothing is spent."""
        self.load(Budget(self.share).state())


def checked_share(name: str, share: float | None) -> float | None:
    """A share of the training time.

    Raises:
        ValueError: if it is not positive.
    """
    if share is not None and not 0 < share < math.inf:
        raise ValueError(f"{name} is {share}, expected a positive share of the training time such as 0.1, or None")
    return share

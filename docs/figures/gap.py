"""Two made-up trajectories, compared at the same step and at the same training loss."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from look import BLUE, GREY, ORANGE, save

STEPS = np.linspace(0, 200, 400)


def main() -> None:
    alone, shared = 0.15 + 1.85 * np.exp(-STEPS / 45), 0.15 + 1.85 * np.exp(-STEPS / 95)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    both = (("alone", alone, metric(alone, 0.0), BLUE), ("shared", shared, metric(shared, 0.045), ORANGE))
    for name, losses, values, colour in both:
        left.plot(STEPS, losses, color=colour, lw=2.2, label=name)
        right.plot(losses, values, color=colour, lw=2.2, label=name)
        right.plot(losses[-1], values[-1], "o", color=colour)
    step = 60
    ends = [float(np.interp(step, STEPS, losses)) for _, losses, _, _ in both]
    left.annotate("", (step, ends[0]), (step, ends[1]), arrowprops={"arrowstyle": "<->", "lw": 1.5})
    words = {"arrowprops": {"arrowstyle": "-", "color": GREY}, "va": "center"}
    left.annotate("optimization deficit:\nhigher at the same step", (step, float(np.mean(ends))), (88, 1.45), **words)
    left.axvline(step, color=GREY, lw=0.8, ls=":")
    left.set(xlabel="step", ylabel="training loss")

    loss = 0.62
    ends = [float(np.interp(-loss, -losses, values)) for _, losses, values, _ in both]
    right.annotate("", (loss, ends[0]), (loss, ends[1]), arrowprops={"arrowstyle": "<->", "lw": 1.5})
    right.text(loss - 0.05, min(ends) - 0.09, "generalization gap:\nbetter at the same loss", va="center", ha="left")
    right.axvline(loss, color=GREY, lw=0.8, ls=":")
    right.annotate(
        "end of training", (both[1][1][-1], both[1][2][-1]), (0.75, 0.93), arrowprops={"arrowstyle": "-", "color": GREY}
    )
    right.set(xlabel="training loss (falls to the right)", ylabel="test metric", ylim=(0.35, 0.97))
    right.invert_xaxis()
    left.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xticks=[], yticks=[])
    save(figure, "gap")


def metric(losses: np.ndarray, gain: float) -> np.ndarray:
    """Rises as the loss falls, and more so with a gain."""
    return 0.93 - 0.24 * losses + gain * (1 - np.exp((losses - 2) / 0.4))


if __name__ == "__main__":
    main()

"""What is measured along trajectories besides losses and metrics, and how it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gradients", "curvature"]


@dataclass(frozen=True)
class Factor:
    """A property of a task's loss along a trajectory, thought to go with generalization.

    Attributes:
        key: Its quantity in the results.
        label: Its name in tables and figures.
        meaning: One sentence for people.
        kind: What is needed to measure it.
        ratio: Whether trajectories are compared by the logarithm (base 2) of their ratio rather than by difference.
        shared_only: Whether it exists only where tasks share a network: then its own value is looked at.
    """

    key: str
    label: str
    meaning: str
    kind: Kind
    ratio: bool = False
    shared_only: bool = False


FACTORS = {
    factor.key: factor
    for factor in (
        Factor(
            "cosine",
            "Gradient cosine",
            "Mean cosine of the task's gradient with those of the other tasks; below zero they conflict.",
            "gradients",
            shared_only=True,
        ),
        Factor(
            "negative_share",
            "Conflicting tasks",
            "Share of the other tasks whose gradients point against the task's.",
            "gradients",
            shared_only=True,
        ),
        Factor(
            "magnitude_similarity",
            "Magnitude similarity",
            "Mean similarity of the lengths of the task's gradient and the others', 1 if alike (Yu et al. 2020).",
            "gradients",
            shared_only=True,
        ),
        Factor("gradient_norm", "Gradient norm", "Length of the gradient of the task's loss.", "gradients", ratio=True),
        Factor(
            "coherence",
            "Gradient coherence",
            "Squared length of the mean gradient over the mean squared length, over minibatches.",
            "gradients",
        ),
        Factor(
            "coherence_cosine",
            "Coherence (cosine)",
            "Mean cosine between the gradients of different minibatches.",
            "gradients",
        ),
        Factor(
            "sharpness",
            "Sharpness",
            "Largest eigenvalue of the Hessian of the task's loss in the shared parameters.",
            "curvature",
            ratio=True,
        ),
        Factor("hessian_trace", "Hessian trace", "Sum of the Hessian's eigenvalues.", "curvature", ratio=True),
        Factor(
            "sam_sharpness",
            "SAM sharpness",
            "Rise of the loss after a step of length 0.05 along its gradient.",
            "curvature",
            ratio=True,
        ),
        Factor(
            "fisher_trace",
            "Fisher trace",
            "Trace of the Fisher information, labels drawn from the model.",
            "curvature",
            ratio=True,
        ),
        Factor(
            "empirical_fisher_trace",
            "Empirical Fisher trace",
            "The same with the labels of the data.",
            "curvature",
            ratio=True,
        ),
    )
}

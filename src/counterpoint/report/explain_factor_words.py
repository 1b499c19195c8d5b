"""What is said about factors: their names, and how sharing changed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.explain_sentences import Labelled, by_outcome, higher
from counterpoint.report.explain_units import amount, change, change_parts, ratio
from counterpoint.report.verdict import LEVEL
from counterpoint.report.wording import listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.study.explain.comparison import Place
    from counterpoint.study.explain.factors import Factor

PLACES: dict[Place, str] = {"loss": "at equal training loss", "step": "at equal steps"}
# What exists only among several tasks has nothing to be equal to.
ALONG: dict[Place, str] = {"loss": "along the training loss", "step": "along the steps"}


def factor_sentence(factor: Factor, found: Mapping[Place, Sequence[Labelled]]) -> str:
    r"""What sharing did to a factor, at equal training loss and at equal steps.

    Args:
        factor: The factor.
        found: Labels of methods with their means over tasks, by place.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> found = {"step": [("Uniform", Estimate(1.0, 0.5, 1.5, 0.0, 3))]}  # of base-2 logarithms
        >>> factor_sentence(FACTORS["sharpness"], found).replace("\N{NO-BREAK SPACE}", " ")
        'At equal steps, sharpness with Uniform was 2.0 times as high (95 % interval 1.4 to 2.8).'
    """
    places = ALONG if factor.shared_only else PLACES
    parts = [f"{places[place]}, {_factor(factor, labelled)}" for place, labelled in found.items() if labelled]
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _factor(factor: Factor, labelled: Sequence[Labelled]) -> str:
    name = in_sentence(factor)
    if factor.shared_only:
        return f"{name} averaged " + listing([f"{own_value(e, factor)} with {label}" for label, e in labelled])
    clauses = []
    for label, estimate in labelled:
        if factor.ratio:
            clauses.append(
                (estimate, f"with {label} was {ratio(estimate)}", f"for {label} ({ratio(estimate, nested=True)})")
            )
        else:
            said = f"with {label} was {higher(estimate)} by {amount(estimate)}"
            clauses.append((estimate, said, f"for {label} ({change(estimate)})"))
    return by_outcome(name, clauses)


def own_value(estimate: Estimate, factor: Factor) -> str:
    r"""The mean of a factor that exists among several tasks only, with its interval; a cosine has a sign.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> own_value(Estimate(0.2, 0.1, 0.3, 0.0, 3), FACTORS["cosine"]).replace("\N{NO-BREAK SPACE}", " ")
        '+0.20 (95 % interval +0.10 to +0.30)'
    """
    mean, ends = change_parts(estimate)
    said = f"{mean} ({LEVEL} {ends})"
    return said if factor.key == "cosine" else said.replace("+", "")


def in_sentence(factor: Factor) -> str:
    """A factor's name in the middle of a sentence: names such as SAM, Fisher and Hessian keep their capitals.

    Example:
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> [in_sentence(FACTORS[key]) for key in ("sharpness", "hessian_trace", "negative_share", "sam_sharpness")]
        ['sharpness', 'the Hessian trace', 'the share of conflicting tasks', 'SAM sharpness']
    """
    if factor.key == "negative_share":
        return "the share of conflicting tasks"
    label = factor.label
    kept = label.startswith(("Hessian", "Fisher", "SAM"))
    name = label if kept else label[:1].lower() + label[1:]
    return name if factor.key in {"sharpness", "sam_sharpness", "magnitude_similarity"} else f"the {name}"


def left_out_sentence(factors: Sequence[Factor]) -> str:
    """Which factors were not measured; nothing where all were.

    Example:
        >>> from counterpoint.study.explain.factors import FACTORS
        >>> left_out_sentence([FACTORS["sharpness"], FACTORS["hessian_trace"]])
        'Not measured often enough, so not shown: sharpness and the Hessian trace.'
    """
    return f"Not measured often enough, so not shown: {listing([in_sentence(f) for f in factors])}." if factors else ""

"""What the methods of a recipe are compared with, and how that is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report.methods import UNIFORM, methods_of
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.study.recipes.results import RecipeResults


@dataclass(frozen=True)
class Reference:
    """A method that others are compared with.

    Attributes:
        key: Its key.
        words: What it is, in a sentence.
        short: The same behind "better than".
        trained: Whether there are scores of it.
    """

    key: str
    words: str
    short: str
    trained: bool


def references(results: RecipeResults) -> list[Reference]:
    """The recipe's reference, and the plain sum of losses where that is another one.

    Args:
        results: A finished recipe.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.recipes.results import HISTORY, PICTURES, SCORES, RecipeResults
        >>> empty = RecipeResults(*(pd.DataFrame(columns=columns) for columns in (SCORES, HISTORY, PICTURES)))
        >>> [(reference.words, reference.trained) for reference in references(empty)]
        [('each task alone', False), ('the plain sum of losses', False)]
    """
    labels = {method.key: method.label for method in methods_of(results.scores)}
    keys = dict.fromkeys([str(results.about.get("reference") or BASELINE), UNIFORM])
    plain_sum = "the plain sum of losses" + (f" ({labels[UNIFORM]})" if UNIFORM in labels else "")
    known = {BASELINE: ("each task alone", "alone"), UNIFORM: (plain_sum, "the plain sum")}
    return [Reference(key, *known.get(key, (labels.get(key, key),) * 2), key in labels) for key in keys]

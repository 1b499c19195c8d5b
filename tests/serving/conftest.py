"""A table with a column of every kind, and a bundle of two networks for its four tasks."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoint.data.tables import Preprocessing, Target
from counterpoint.models import MultiTaskModel, TableNetwork
from counterpoint.serving import Bundle, ServedNetwork, write_bundle

TARGETS = (
    Target("price", "regression", transform="log", mean=7.0, scale=0.5),
    Target("cut", "multiclass", classes=("Fair", "Good", "Ideal")),
    Target("sick", "binary", classes=(False, True)),
    Target("visits", "count"),
)
KINDS = {"carat": "numeric", "size": "category", "clinic": "category", "smoker": "boolean", "day": "datetime"}


def table(rows=240, seed=0):
    rng = np.random.default_rng(seed)
    carat = rng.normal(1.0, 0.3, rows)
    carat[::17] = np.nan
    return pd.DataFrame(
        {
            "carat": carat,
            "size": rng.choice(["S", "M", "L"], rows),
            "clinic": [f"clinic {number}" for number in rng.integers(0, 20, rows)],
            "smoker": rng.random(rows) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "unused": "anything",
        },
        index=pd.RangeIndex(1000, 1000 + rows),
    )


@dataclass(frozen=True)
class Written:
    folder: Path
    bundle: Bundle
    models: tuple[MultiTaskModel, ...]

    def edit(self, folder, change):
        """A copy of the written bundle with a changed bundle.json."""
        document = json.loads((self.folder / "bundle.json").read_text(encoding="utf-8"))
        copied = self.copy(folder)
        changed = change(document)
        (copied / "bundle.json").write_text(json.dumps(document if changed is None else changed), encoding="utf-8")
        return copied

    def copy(self, folder):
        folder.mkdir()
        for path in self.folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return folder


def trained(network, tasks):
    widths = {target.name: target.outputs for target in TARGETS}
    model = MultiTaskModel(network.encoder(tasks), {task: network.head(task, widths[task]) for task in tasks})
    with torch.no_grad():  # nobody's first weights
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def bundle_of(architectures):
    """One network a description, the first trained on a task that the second one serves."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        preprocessing = Preprocessing.fit(table(), KINDS)
        networks = [
            TableNetwork(name, preprocessing.inputs, preprocessing.cardinalities, **more)
            for name, more in architectures
        ]
        models = trained(networks[0], ["price", "cut", "sick"]), trained(networks[1], ["visits", "sick"])
    served = ServedNetwork.of(models[0], networks[0], ["price", "cut"]), ServedNetwork.of(models[1], networks[1])
    about = {"command": "counterpoint study table.csv", "interval": [float("nan"), 0.5]}
    return Bundle(TARGETS, served, preprocessing, about), models


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    bundle, models = bundle_of([("mlp", {"hidden": (16, 8), "dropout": 0.5}), ("mlp", {"hidden": (4,)})])
    folder = tmp_path_factory.mktemp("served") / "bundle"
    write_bundle(folder, bundle)
    return Written(folder, bundle, models)


@pytest.fixture(scope="session")
def mixtures():
    return bundle_of([("ple", {"hidden": (8, 4), "experts": 2}), ("mmoe", {"hidden": (6,), "experts": 3})])


@pytest.fixture
def new_rows():
    return table(rows=50, seed=1)

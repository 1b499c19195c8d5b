"""From the chosen method's runs to a bundle that predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load_file

from counterpoint.serving import Bundle, ServedNetwork

if TYPE_CHECKING:
    from counterpoint.data.tables import Preprocessing, Target
    from counterpoint.models import TableNetwork
    from counterpoint.serving import CustomNetwork
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.source import Source
    from counterpoint.study.study_results import StudyResults


def best_seed(results: StudyResults, method: str) -> int:
    """The seed whose networks are best on validation rows: mean over tasks of the metric in its unit.

    Args:
        results: A study.
        method: Key of a method.
    """
    scores = results.scores("validation")
    own = scores[scores["method"] == method]
    signs = np.where(own["direction"] == "maximize", 1.0, -1.0)
    means = (signs * own["value"] / own["unit"]).groupby(own["seed"]).mean()
    return int(means.idxmax())


def bundle_of(
    results: StudyResults,
    source: Source,
    store: RunStore,
    *,
    network: TableNetwork | CustomNetwork,
    targets: tuple[Target, ...],
    preprocessing: Preprocessing | None = None,
) -> Bundle:
    """The networks of the chosen method, of its best seed on validation rows.

    Args:
        results: The study, decided.
        source: What its networks are built from.
        store: Where its runs are.
        network: How encoder and heads are described.
        targets: The tasks.
        preprocessing: From rows to inputs, for a table.
    """
    method = results.method(results.decision.chosen)
    seed = best_seed(results, method.key)
    networks = []
    for own, run in zip(method.networks, results.served[method.key][seed], strict=True):
        model = source.build(own.tasks, method.weighting, seed, dict(method.scales)).model
        model.load_served_state(load_file(store.place(run) / "weights.safetensors"))
        networks.append(ServedNetwork.of(model, network, own.serves))
    return Bundle(targets, tuple(networks), preprocessing, _about(results, seed))


def _about(results: StudyResults, seed: int) -> dict[str, Any]:
    chosen = results.decision.chosen
    test = results.scores("test")
    own = test[test["method"] == chosen]
    metrics = {
        str(task): {
            "metric": str(rows["metric"].iloc[0]),
            "seeds": len(rows),
            "mean": float(rows["value"].mean()),
            "of_this_seed": float(rows.loc[rows["seed"] == seed, "value"].iloc[0]),
        }
        for task, rows in own.groupby("task", sort=False)
    }
    known = ("command", "versions", "started")
    facts = {name: results.about[name] for name in known if name in results.about}
    return {"method": results.method(chosen).label, "seed": seed, "test": metrics, **facts}

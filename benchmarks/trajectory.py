"""Trajectories: what each measure costs, how that compares with other libraries, and a callback's share of a training.

    python benchmarks/trajectory.py [--data digits yeast] [--rounds 10] [--fits 5] [--quick] [--out FILE]

- Measures: on the data source's network after an epoch of training, its shared parameters, 64 rows, one task's loss.
  Times are ratios to one gradient (forward and backward pass) over the same rows, taken in turns. Peak memory is that
  of tensors (see `workers.py`); what ARPACK keeps on the host, some 20 vectors, is not among it.
- Peers: the same quantity, rows and network, in the same run; also on a network of 191 parameters in double precision,
  whose matrices are formed. See `trajectory_peers.py` for what is compared. They are no dependencies; where one is
  missing, the JSON says so. All three work beside the torch pinned here (NNGeometry declares torchvision, but does not
  import it), in a folder of their own:

      python -m pip install --no-deps --target peers nngeometry==0.4 hessian-eigenthings==1.0.0a5 PyHessian==0.1
      PYTHONPATH=peers python benchmarks/trajectory.py --out benchmarks/results/trajectory.json

- Callback: the library's own training of all tasks with and without a TrajectoryCallback, in turns, seed by seed. Its
  share of the time by its own account, and from outside: the time of the whole fit over that without, less 1.
"""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path
from typing import Any

import torch

from counterpoint.study.source import SOURCES
from measuring import print_table, record, target
from trajectory_case import Case, small, trained
from trajectory_measures import costs
from trajectory_peers import OURS, against_peers, installed
from trajectory_share import ALL_LOOKS, DEFAULT, WITH_CURVATURE, shares
from trajectory_timing import middle
from workers import ENVIRONMENT

LIMIT = 0.10  # of the training time, for losses, conflict and coherence together


def show_costs(rows: list[dict[str, Any]]) -> None:
    print_table(
        [rows[0]["case"], "gradients, counted", "times a gradient", "quartiles", "ms", "peak MiB"],
        [
            [
                row["what"],
                f"{row['gradient_evaluations']:.3g}",
                f"{middle(row, 'times a gradient'):.3g}",
                _quartiles(row["times a gradient"]),
                f"{middle(row, 'ms'):.3g}",
                f"{row['peak_mib']:.1f}",
            ]
            for row in rows
        ],
    )


def show_peers(rows: list[dict[str, Any]]) -> None:
    print_table(
        [rows[0]["case"], "who", "ours / its time", "quartiles", "ms", "peak MiB", "value", "off", "error"],
        [
            [
                row["quantity"],
                row["what"],
                f"{middle(row, 'ours over it'):.3g}",
                _quartiles(row["ours over it"]),
                f"{middle(row, 'ms'):.3g}",
                f"{row['peak_mib']:.1f}",
                f"{row['value']:.6g}",
                "" if row["off"] is None else f"{row['off']:+.1e}",
                "" if row["standard_error"] is None else f"{row['standard_error']:.2g}",
            ]
            if row["status"] == "measured"
            else [row["quantity"], row["what"], row["status"], *[""] * 6]
            for row in rows
        ],
    )


def show_shares(rows: list[dict[str, Any]]) -> None:
    def ranged(found: dict[str, Any]) -> str:
        return f"{found['median']:.1%} ({found['min']:.1%} to {found['max']:.1%})"

    def looks(row: dict[str, Any], name: str) -> str:
        taken, thinned = row["taken"][name], row["thinned"][name]
        return f"{sum(taken) / len(taken):.3g} of {(sum(taken) + sum(thinned)) / len(taken):.3g}"

    print_table(
        [rows[0]["data"], "its own account", "from outside", "curvature's", "losses", "gradients", "curvature", "s"],
        [
            [
                row["what"],
                *([ranged(row["share"]), ranged(row["outside"]), ranged(row["curvature_share"])] if own else [""] * 3),
                *([looks(row, name) for name in row["taken"]] if own else [""] * 3),
                f"{middle(row, 'seconds'):.1f}",
            ]
            for row in rows
            for own in ["share" in row]
        ],
    )


def _quartiles(found: dict[str, float]) -> str:
    return f"{found['q25']:.3g} to {found['q75']:.3g}"


def targets(fits: list[dict[str, Any]], peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Curvature has no limit of its own but its budget: its cost is recorded beside the others."""
    found = []
    for row in fits:
        if row["what"] in {DEFAULT, ALL_LOOKS}:
            name = f"{row['data']}: losses, conflict and coherence, share of training, {row['what']}"
            found.append(target(f"{name}, its own account", LIMIT, row["share"]["median"]))
            found.append(target(f"{name}, from outside", LIMIT, row["outside"]["median"]))
        elif row["what"] == WITH_CURVATURE:
            found.append(target(f"{row['data']}: curvature, share of training", 1.0, row["curvature_share"]["median"]))
    for row in peers:
        if row["status"] == "measured" and row["what"].startswith(OURS) and row["exact"] is not None:
            error, name = abs(row["value"] - row["exact"]), f"{row['case']}: {row['quantity']}, {row['what']}"
            if row["standard_error"]:
                found.append(target(f"{name}, error over standard error", 3.0, error / row["standard_error"]))
            else:  # with few products Lanczos stops before it has converged
                limit = 1e-2 if "max_products" in name else 1e-3
                found.append(target(f"{name}, relative error", limit, error / abs(row["exact"])))
    return found


def measured(case: Case, rounds: int, *, dense: bool = False) -> list[dict[str, Any]]:
    """Peers on one network."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(case.x.dtype)  # peers allocate in it
    try:
        rows = against_peers(case, rounds, dense=dense)
    finally:
        torch.set_default_dtype(before)
    show_peers(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["digits", "yeast"], choices=list(SOURCES))
    parser.add_argument("--rounds", type=int, default=10, help="of measures; of peers half as many")
    parser.add_argument("--fits", type=int, default=5, help="seeds of trainings with a callback")
    parser.add_argument("--epochs", type=int, help="of these trainings; by default those of the data source")
    parser.add_argument(
        "--quick", action="store_true", help="one round on yeast, peers on the small network alone: does it run?"
    )
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/trajectory.json")
    options = parser.parse_args()
    if options.quick:
        options.data, options.rounds, options.fits, options.epochs = ["yeast"], 1, 1, 1
    torch.set_num_threads(1)
    os.environ["KINETO_LOG_LEVEL"] = ENVIRONMENT["KINETO_LOG_LEVEL"]  # of the profiler, which counts bytes
    print("peers:", ", ".join(f"{name} {state}" for name, state in installed().items()), "\n")
    peers = measured(small(), max(1, options.rounds // 2), dense=True)
    measures, fits = [], []
    for name in options.data:
        case = trained(name, epochs=1)
        own = costs(case, options.rounds)
        show_costs(own)
        measures += own
        if not options.quick:
            peers += measured(case, max(1, options.rounds // 2))
        gc.unfreeze()
        fitted = [{"data": name, **row} for row in shares(SOURCES[name], options.fits, options.epochs)]
        show_shares(fitted)
        fits += fitted
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    settings["peers"] = installed()
    results = [{"part": "measures", **row} for row in measures]
    results += [{"part": "peers", **row} for row in peers]
    results += [{"part": "callback", **row} for row in fits]
    record(options.out, "trajectory", settings, results, targets(fits, peers))


if __name__ == "__main__":
    main()

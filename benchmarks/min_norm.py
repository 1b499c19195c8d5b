"""Exactness and time of min-norm solvers on easy, badly scaled, rank-deficient and degenerate Gram matrices.

    python benchmarks/min_norm.py [--seeds 7] [--drift 6] [--passes 5] [--threads N] [--quick] [--out FILE]

Every case is, for each seed, a sequence of Gram matrices of slowly drifting gradients (2 % noise a step), as
training produces them; all solvers see the same ones. Of the first matrix only the warm starts take note.

- excess: w'Gw over the least found by any solver here (quadprog, as a rule), relative to it;
- gap: w'Gw - min_t (Gw)_t, relative to w'Gw, a bound on the excess that needs no oracle;

both in extended precision, the worst over seeds and matrices. Where zero lies in the hull the optimum is
rounding error of G; both are then relative to r * 1e9 where r = 8 eps max_t n_t sum_t w_t n_t (n_t the norms)
is fp64's own error, so that a gap of 1e-9 always means: as good as fp64 can tell.

- ms: time of a solve; the median over passes is taken for each matrix, then the median and the worst of
  those. The ratio is ours, cold, over the other's median: below 1 ours is faster.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import quadprog
import torch
from torchjd.aggregation import MGDAWeighting

from counterpoint import MGDA, min_norm_point
from measuring import print_table, record, target
from published_min_norm import published_min_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Solver = Callable[[np.ndarray], np.ndarray]

NOISE = 0.02


@dataclass(frozen=True)
class Case:
    """T gradients of d numbers; norms spread over 10**[-scale, scale]."""

    name: str
    tasks: int
    dimension: int
    scale: float = 0.0
    copies: int = 1
    zeros: int = 0

    def grams(self, seed: int, count: int) -> Iterator[np.ndarray]:
        """Gram matrices [T, T] along a random walk of the gradients."""
        rng = np.random.default_rng(seed)
        gradients = rng.normal(size=(self.tasks // self.copies, self.dimension))
        norms = 10 ** rng.uniform(-self.scale, self.scale, (self.tasks, 1))
        norms[: self.zeros] = 0.0
        for _ in range(count):
            scaled = np.repeat(gradients, self.copies, axis=0) * norms
            yield scaled @ scaled.T
            gradients = gradients + NOISE * rng.normal(size=gradients.shape)


CASES = [
    Case("T=2 scales", 2, 4096, scale=3),
    Case("T=40 d=4096", 40, 4096),
    Case("T=40 d=30", 40, 30),
    Case("T=40 d=30 scales", 40, 30, scale=3),
    Case("T=40 d=10, zero in hull", 40, 10),
    Case("T=40 duplicates", 40, 4096, copies=2),
    Case("T=40 zero gradient", 40, 4096, zeros=1),
    Case("T=100 d=4096", 100, 4096),
    Case("T=100 d=50", 100, 50),  # T = 2d: zero is in the hull with probability 1/2 (Wendel), hardest for active sets
    Case("T=100 d=50 scales", 100, 50, scale=3),
]


def warm_start() -> Solver:
    previous = None

    def solve(gram: np.ndarray) -> np.ndarray:
        nonlocal previous
        previous = min_norm_point(gram, start=previous).weights
        return previous

    return solve


def on_tensors(weighting: Callable[[torch.Tensor], torch.Tensor]) -> Solver:
    return lambda gram: weighting(torch.from_numpy(gram)).numpy()


def by_quadprog(gram: np.ndarray) -> np.ndarray:
    """The oracle, on v_t = w_t n_t so that all quantities have one size; (b'v)^2 makes it definite."""
    norms = np.sqrt(gram.diagonal())
    norms = np.where(norms > 0, norms, norms.max())
    b = norms.min() / norms
    matrix = gram / norms / norms[:, None] + np.outer(b, b) + 1e-13 * np.eye(len(b))
    constraints = np.column_stack([b, np.eye(len(b))])
    v = quadprog.solve_qp(matrix, np.zeros(len(b)), constraints, np.eye(len(b) + 1)[0], meq=1)[0]
    weights = np.maximum(v, 0.0) * b
    return weights / weights.sum()


SOLVERS: dict[str, Callable[[], Solver]] = {
    "ours, cold": lambda: lambda gram: min_norm_point(gram).weights,
    "ours, warm": warm_start,
    "MGDA()": lambda: on_tensors(MGDA()),
    "TorchJD": lambda: on_tensors(MGDAWeighting()),
    "published": lambda: published_min_norm,
    "quadprog": lambda: by_quadprog,
}
OURS = ("ours, cold", "ours, warm", "MGDA()")


def quality(gram: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """w'Gw, w'Gw - min_t (Gw)_t, and the least w'Gw that fp64 resolves to 1e-9, in extended precision."""
    exact, w = gram.astype(np.longdouble), weights.astype(np.longdouble)
    w = w / w.sum()
    slopes, norms = exact @ w, np.sqrt(exact.diagonal())
    floor = 8 * np.finfo(np.float64).eps * norms.max() * (norms @ w) / 1e-9
    return float(w @ slopes), float(w @ slopes - slopes.min()), max(float(floor), np.finfo(np.float64).tiny)


def measure(case: Case, seed: int, drift: int, passes: int) -> dict[str, dict[str, list[float]]]:
    """{solver: {"ms", "excess", "gap"}}, each one number a Gram matrix."""
    grams = list(case.grams(seed, drift + 1))
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in grams] for name in SOLVERS}
    weights: dict[str, list[np.ndarray]] = {name: [gram.diagonal() for gram in grams] for name in SOLVERS}
    order, shuffle = list(SOLVERS), random.Random(seed).shuffle  # noqa: S311 (an order, not a secret)
    for _ in range(passes):
        shuffle(order)
        for name in order:
            solve = SOLVERS[name]()
            for step, gram in enumerate(grams):
                start = time.perf_counter()
                weights[name][step] = solve(gram)
                seconds[name][step].append(time.perf_counter() - start)
    found = {name: [quality(*pair) for pair in zip(grams, weights[name], strict=True)][1:] for name in SOLVERS}
    least = [min(column)[0] for column in zip(*found.values(), strict=True)]
    return {
        name: {
            "ms": [1e3 * median(repeats) for repeats in seconds[name][1:]],
            "excess": [(value - best) / max(best, floor) for (value, _, floor), best in zip(rows, least, strict=True)],
            "gap": [gap / max(value, floor) for value, gap, floor in rows],
        }
        for name, rows in found.items()
    }


def summarize(case: Case, runs: list[dict[str, dict[str, list[float]]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in SOLVERS:
        ms, excess, gap = ([x for run in runs for x in run[name][key]] for key in ("ms", "excess", "gap"))
        rows.append(
            {"case": asdict(case), "solver": name, "excess_max": max(excess), "excess_median": median(excess)}
            | {"gap_max": max(gap), "ms_median": median(ms), "ms_max": max(ms)}
        )
    for row in rows:
        row["ratio_ours_cold"] = rows[0]["ms_median"] / row["ms_median"]
    return rows


def targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def worst(key: str, solvers: tuple[str, ...], **case: float) -> float:
        return max(row[key] for row in results if row["solver"] in solvers and case.items() <= row["case"].items())

    return [
        target("T=40 warm, ms: worst of the cases' medians", 0.5, worst("ms_median", ("ours, warm",), tasks=40)),
        target("T=40 cold, ms: worst of the cases' medians", 1.0, worst("ms_median", ("ours, cold",), tasks=40)),
        target("T=40 MGDA() on tensors, ms: worst of the medians", 0.5, worst("ms_median", ("MGDA()",), tasks=40)),
        target("T=100, ms: worst matrix, cold or warm", 5.0, worst("ms_max", OURS, tasks=100)),
        target("gap, norms alike", 1e-9, worst("gap_max", OURS, scale=0.0)),
        target("gap, norms over six orders", 1e-6, worst("gap_max", OURS, scale=3)),
    ]


def cells(row: dict[str, Any]) -> list[str]:
    exactness = [f"{row[key]:.1e}" for key in ("excess_max", "gap_max")]
    return [
        row["solver"],
        *exactness,
        *(f"{row[key]:.3f}" for key in ("ms_median", "ms_max", "ratio_ours_cold")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=7, help="sequences a case (default %(default)s)")
    parser.add_argument("--drift", type=int, default=6, help="Gram matrices a sequence (default %(default)s)")
    parser.add_argument("--passes", type=int, default=5, help="timings of each matrix (default %(default)s)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's choice)")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 3 matrices, 3 passes: does it run?")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/min_norm.json")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.drift, options.passes = 2, 3, 3
    if options.threads:
        torch.set_num_threads(options.threads)

    results = []
    for case in CASES:
        rows = summarize(case, [measure(case, seed, options.drift, options.passes) for seed in range(options.seeds)])
        results += rows
        header = [case.name, "excess", "gap", "ms median", "ms worst", "ours cold / this"]
        print_table(header, [cells(row) for row in rows])
    settings = {"seeds": options.seeds, "drift": options.drift, "passes": options.passes, "noise": NOISE}
    record(options.out, "min_norm", settings, results, targets(results))


if __name__ == "__main__":
    main()

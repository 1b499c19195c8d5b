"""What DiBS does to a network when a task is done, or its labels are rare, and what two guards change.

    python benchmarks/dibs_done.py [--seeds N] [--quick] [--out benchmarks/results/dibs_done.json]
    python benchmarks/dibs_done.py --into docs/invariance.md    # the stored table into the page

DiBS gives every gradient the length 1, also that of a batch without a single rare label. Compared, at the features and
with own heads, are the plain sum, DiBS, DiBS(recent=100), and a guard that is not part of the library. Both make the
pull of task t c_t in place of 1. **recent**: c_t = min(1, ||g_t|| / root mean square of its recent norms). **rows**:
c_t = 1 - ||sum of its rows' gradients|| / sum of their norms; 0 if all rows pull alike, which a head's bias can follow.

Tox21 is public; its rows' fingerprints are not stored here. `--tox21` names an .npz with x [rows, bits], y [rows, 12]
(NaN: not measured), for instance RDKit's Morgan fingerprints (radius 2, 1024 bits); without it the problem is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from counterpoint import DiBS, FanOut, NonFiniteGradientError, Uniform, Weighting
from invariance_problems import PROBLEMS, accuracy, batches
from measuring import print_table, record, target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from counterpoint.balancing.step import Step

    Losses = dict[str, Tensor]

RESULTS = Path(__file__).parent / "results" / "dibs_done.json"
TOX21 = Path("build/tox21.npz")
MARKS = "<!-- done: written by benchmarks/dibs_done.py -->", "<!-- end -->"
FLOOR = 1e-31  # as in counterpoint.balancing.faint: no direction below


class Rows(Weighting):
    """DiBS whose tasks pull by how much their rows disagree; for one feature tensor [B, ...]."""

    needs_rows = True

    def __init__(self) -> None:
        super().__init__()
        self.batch = 1

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Never called: the layer asks for rows."""
        raise NotImplementedError

    def combine_rows(self, matrix: Tensor, step: Step) -> tuple[Tensor, Tensor | None]:
        """The update [N] and the weights [P]."""
        lengths = step.gram.diagonal().sqrt()
        units = matrix.double() / lengths.clamp(min=FLOOR)[:, None]
        rows = units.view(len(matrix), self.batch, -1)
        agreement = rows.sum(1).norm(dim=1) / rows.norm(dim=2).sum(1).clamp(min=FLOOR)
        pulls = torch.where(lengths > FLOOR, (1 - agreement).clamp(min=0), 0.0)
        return (pulls @ units).to(matrix), pulls / lengths.clamp(min=FLOOR)


METHODS: dict[str, Callable[[], Weighting]] = {
    "plain sum": Uniform,
    "DiBS": DiBS,
    "DiBS, rows": Rows,
    "DiBS(recent=100)": partial(DiBS, recent=100),
}


@dataclass
class Case:
    """A network to train; `test` gives {"metric", "loss"}, the latter of what is rare."""

    encoder: nn.Module
    heads: nn.ModuleDict
    stream: Iterator[tuple[Tensor, Any]]
    losses: Callable[[dict[str, Tensor], Any], Losses]
    test: Callable[[], dict[str, float]]
    steps: int
    rate: float = 1e-3


def yes_or_no(tasks: list[str], sizes: tuple[int, ...], x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor]) -> Case:
    """Yes-or-no tasks, NaN where there is no label; the metric is the mean area under the ROC curve."""
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    encoder, heads = nn.Sequential(*layers), nn.ModuleDict({task: nn.Linear(sizes[-1], 1) for task in tasks})

    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for rows in torch.randperm(len(x[0])).split(128):
                if len(rows) == 128:
                    yield x[0][rows], y[0][rows]

    def losses(own: dict[str, Tensor], labels: Tensor) -> Losses:
        known = {task: ~column.isnan() for task, column in zip(tasks, labels.unbind(1), strict=True)}
        return {
            task: binary_cross_entropy_with_logits(heads[task](own[task][known[task]])[:, 0], column[known[task]])
            for task, column in zip(tasks, labels.unbind(1), strict=True)
            if known[task].any()
        }

    def test() -> dict[str, float]:
        z = encoder(x[1])
        areas, values = [], []
        for task, column in zip(tasks, y[1].unbind(1), strict=True):
            known = ~column.isnan()
            scores = heads[task](z[known])[:, 0].nan_to_num()
            areas.append(roc_auc_score(column[known], scores) if column[known].unique().numel() == 2 else math.nan)
            values.append(float(binary_cross_entropy_with_logits(scores, column[known])))
        return {"metric": float(np.nanmean(areas)), "loss": fmean(values)}

    return Case(encoder, heads, stream(), losses, test, 0)


def rare(quick: bool) -> Case:
    """Two common questions, and one that 1 row in 2,000 answers with yes: the metric is the common tasks'."""
    x, more = torch.randn(4096, 16), torch.randn(20_000, 16)
    y, truth = (torch.stack([own[:, 0] > 0, own[:, 1] > 0, own[:, 2] > 3.3], 1).float() for own in (x, more))
    case = yes_or_no(["a", "b", "rare"], (16, 64, 64), (x, more), (y, truth))

    def test() -> dict[str, float]:
        z = case.encoder(more)
        outputs = torch.cat([head(z) for head in case.heads.values()], 1).nan_to_num()
        right = ((outputs > 0) == (truth > 0.5)).double().mean(0)
        lost = binary_cross_entropy_with_logits(outputs[:, 2], truth[:, 2])
        return {"metric": float(right[:2].mean()), "loss": float(lost)}

    case.test, case.steps = test, 200 if quick else 1500
    return case


def assays(quick: bool) -> Case:
    """Eight assays, each made for a fifth of the rows, positive for 1 row in 130: as in tables of screenings."""
    directions = torch.randn(8, 32) / 32**0.5
    x = torch.randn(16_384, 32), torch.randn(16_384, 32)
    y, truth = ((own @ directions.T + 0.3 * torch.randn(len(own), 8) > 2.5).float() for own in x)
    y[torch.rand(y.shape) > 0.2] = math.nan
    case = yes_or_no([f"assay {k}" for k in range(8)], (32, 128, 64), x, (y, truth))
    case.steps = 100 if quick else 800
    return case


def tox21(quick: bool, path: Path) -> Case:
    """Twelve assays of 8,000 molecules, 3 to 16 % positive."""
    with np.load(path) as file:
        x, y = torch.from_numpy(file["x"]).float(), torch.from_numpy(file["y"]).float()
    order = torch.randperm(len(x))
    held, rest = order[:1600], order[1600:]
    tasks = [f"assay {k}" for k in range(y.shape[1])]
    case = yes_or_no(tasks, (x.shape[1], 128, 64), (x[rest], x[held]), (y[rest], y[held]))
    case.steps = 50 if quick else 300
    return case


def digit_pairs(quick: bool, seed: int) -> Case:
    """The digit pairs of invariance.py, trained in the same way: ordinary tasks."""
    problem = PROBLEMS["digit pairs"]
    train, held = problem.data(seed, quick)
    encoder, heads = problem.encoder(), nn.ModuleDict({task: problem.head() for task in problem.tasks})

    def test() -> dict[str, float]:
        z = encoder(held[0])
        outputs = {task: head(z) for task, head in heads.items()}
        return {
            "metric": fmean(accuracy(outputs[task], held[1][task]) for task in outputs),
            "loss": fmean(float(cross_entropy(outputs[task], held[1][task])) for task in outputs),
        }

    def losses(own: dict[str, Tensor], labels: dict[str, Tensor]) -> Losses:
        return {task: cross_entropy(heads[task](own[task]), labels[task]) for task in heads}

    steps = 8 if quick else problem.epochs * (len(train[0]) // problem.batch)
    return Case(encoder, heads, batches(train, problem.batch, seed), losses, test, steps, problem.adam)


def train(problem: str, method: str, seed: int, quick: bool, path: Path) -> dict[str, Any]:
    """One training."""
    torch.manual_seed(seed)
    make = {
        "rare labels": rare,
        "assays": assays,
        "Tox21": partial(tox21, path=path),
        "digit pairs": partial(digit_pairs, seed=seed),
    }
    case = make[problem](quick)
    weighting = METHODS[method]()
    fan = FanOut(weighting, list(case.heads))
    optimizer = torch.optim.Adam([*case.encoder.parameters(), *case.heads.parameters()], case.rate)
    ended, faintest, start = None, math.inf, time.perf_counter()
    for step in range(case.steps):
        inputs, labels = next(case.stream)
        z = case.encoder(inputs)
        optimizer.zero_grad()
        weighting.batch = len(z)
        try:
            fan.sum(case.losses(fan(z), labels)).backward()
        except NonFiniteGradientError:
            ended = step
            break
        optimizer.step()
        faintest = min(faintest, math.sqrt(max(0.0, float(fan.last.gram.diagonal().nan_to_num(1.0).min()))))
    case.encoder.eval()
    with torch.no_grad():
        found = case.test()
        feature = float(case.encoder(inputs).abs().max())
    return {"problem": problem, "method": method, "ended": ended, "largest_feature": feature, "faintest": faintest} | {
        **found,
        "seconds": time.perf_counter() - start,
    }


def settled(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each problem and method."""
    rows = []
    for problem, method in dict.fromkeys((one["problem"], one["method"]) for one in found):
        mine = [one for one in found if (one["problem"], one["method"]) == (problem, method)]
        spread = {
            name: {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0}
            for name in ("metric", "loss", "largest_feature")
            for values in [[one[name] for one in mine]]
        }
        rows.append(
            {"problem": problem, "method": method}
            | spread
            | {"faintest": min(one["faintest"] for one in mine), "ended": sum(one["ended"] is not None for one in mine)}
        )
    return rows


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ours = [row for row in rows if row["method"] == "DiBS"]
    found = [
        target("trainings with DiBS that ended in numbers that are not finite", 0, sum(row["ended"] for row in ours))
    ]
    for row in ours:
        (plain,) = (one for one in rows if (one["problem"], one["method"]) == (row["problem"], "plain sum"))
        ratio = row["largest_feature"]["mean"] / plain["largest_feature"]["mean"]
        found.append(target(f"{row['problem']}: largest feature of DiBS over the plain sum's", 3.0, ratio))
    return found


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown."""
    lines = ["| problem | method | metric | test loss | largest feature | shortest gradient |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        cells = [f"{row[name]['mean']:.3f} ± {row[name]['std']:.3f}" for name in ("metric", "loss")]
        cells += [f"{row['largest_feature']['mean']:.3g}", f"{row['faintest']:.0e}"]
        lines.append(f"| {row['problem']} | {row['method']} | {' | '.join(cells)} |")
    return lines


def into(page: Path) -> None:
    """The stored table, between its marks."""
    lines = table(json.loads(RESULTS.read_text(encoding="utf-8"))["results"])
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    page.write_text("\n".join([before + MARKS[0], *lines, MARKS[1]]) + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, few steps: does it run?")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each (default %(default)s)")
    parser.add_argument("--tox21", type=Path, default=TOX21, help="fingerprints and labels (default %(default)s)")
    parser.add_argument("--into", type=Path, help="write the stored table into a page")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.into:
        into(options.into)
        return
    problems = ["rare labels", "assays", "Tox21", "digit pairs"]
    if not options.tox21.exists():
        print(f"Tox21 is left out: there is no {options.tox21}; --help says how to make it")
        problems.remove("Tox21")
    seeds = 1 if options.quick else options.seeds
    initializer = partial(torch.set_num_threads, 1)
    with ProcessPoolExecutor(options.processes, get_context("spawn"), initializer=initializer) as pool:
        jobs = [
            pool.submit(train, problem, method, seed, options.quick, options.tox21)
            for problem, method, seed in product(problems, METHODS, range(seeds))
        ]
        rows = settled([job.result() for job in jobs])
    cells = [line.strip("| ").split(" | ") for line in table(rows)]
    print_table(cells[0], cells[2:])
    settings = {"seeds": seeds, "quick": options.quick, "batch": 128, "problems": problems}
    record(options.out, "dibs_done", settings, rows, targets(rows))


if __name__ == "__main__":
    main()

"""Time of a training step on images: the sum of the losses, MGDA-UB, MGDA on parameters, and TorchJD's MGDA.

A part of `vision.py`. A step is zero_grad, forward, backward and an SGD step. All methods train the same network, in
turns: a round times one step of each, in a new order each time, and ratios are formed within rounds. The parameter
level of 40 tasks takes part in fewer rounds, without a step to warm up: its steps take half a minute.

Arithmetic says what to expect, if a backward pass takes twice its forward pass. With an encoder of e multiply-adds and
heads of h, all together, a step is 3e + 3h under MGDA-UB, (1 + 2T)e + 3h under the leanest MGDA on parameters, and
3(T + 1)e + 5h in the published structure, whose MGDA-UB takes 4e + 5h. Heads that cost nothing leave 2.3 and 4 times at
T = 3 (a cut of 57 and 75 %), and 27 and 41 times at T = 40. Results name these ratios, too; what a machine does better
or worse is the rest.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torchjd import aggregation

from counterpoint import MGDA
from counterpoint.models import multiply_adds
from feature_level import by_mgda, fan_out, published_mgda_ub, torchjd_by_hand, torchjd_detached, uniform
from measuring import interleaved, print_table, round_by_round, seconds_of, spread, target
from networks import head_losses
from parameter_level import ours, torchjd
from published_min_norm import published_min_norm
from vision_networks import SETTINGS, build

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from torch import Tensor

    from feature_level import Pass
    from networks import Network

ROUNDS, FEW = 15, 3
ENOUGH = 6.0  # seconds of a method in a setting


def published_mgda(network: Network) -> Pass:
    """The structure of Sener & Koltun's trainer without the upper bound: T passes, then that of the weighted sum.

    Leaner than theirs: heads are left out of the first T backward passes, and the Gram matrix is summed tensor by
    tensor in place of T (T + 1) / 2 products of each; their solver on matrices (see `published_min_norm`).
    """
    shared = list(network.encoder.parameters())

    def run_pass(inputs: Tensor, labels: list[Tensor]) -> None:
        rows = []
        for head, label in zip(network.heads, labels, strict=True):
            (loss,) = head_losses([head], network.encoder(inputs), [label])
            rows.append(torch.autograd.grad(loss, shared))
        gram = torch.zeros(len(rows), len(rows))
        for column in zip(*rows, strict=True):
            jacobian = torch.stack([gradient.flatten() for gradient in column])
            gram += jacobian @ jacobian.T
        del rows
        weights = published_min_norm(gram.double().numpy()).tolist()
        losses = head_losses(network.heads, network.encoder(inputs), labels)
        sum(weight * loss for weight, loss in zip(weights, losses, strict=True)).backward()

    return run_pass


UNIFORM, UB, PUBLISHED_UB, PARAMETERS = (
    "uniform",
    "FanOut(MGDA), MGDA-UB",
    "published MGDA-UB",
    "backward(MGDA, shared=...)",
)
PUBLISHED, MTL, TUNED = "published MGDA", "TorchJD mtl_backward", "TorchJD mtl_backward, tuned"
METHODS: dict[str, Callable[[Network], Pass]] = {
    UNIFORM: uniform,
    UB: partial(fan_out, weighting=MGDA),
    PUBLISHED_UB: published_mgda_ub,
    "TorchJD by hand, loss by loss": partial(torchjd_by_hand, one_by_one=True),
    "TorchJD by hand, detached": partial(torchjd_detached, combine=by_mgda),
    PARAMETERS: partial(ours, weighting=MGDA),
    PUBLISHED: published_mgda,
    MTL: partial(torchjd, aggregator=aggregation.MGDA),
    TUNED: partial(torchjd, aggregator=aggregation.MGDA, tuned=True),
}
PER_TASK = (PARAMETERS, PUBLISHED, MTL, TUNED)  # passes through the encoder
MANY = 10  # tasks: more of them make these slow
# MGDA-UB's time over theirs is to be at most this: a cut of 55 %, 25 times, 35 times.
LIMITS = {
    3: {PARAMETERS: 1 - 0.55},
    40: {PARAMETERS: 1 / 25, PUBLISHED: 1 / 35, MTL: 1 / 35},
}


def timer(network: Network, method: str) -> Callable[[], float]:
    """Seconds of one step, whenever it is called."""
    run_pass, taken = METHODS[method](network), 0

    def step() -> None:
        nonlocal taken
        inputs, labels = network.batches[taken % len(network.batches)]
        taken += 1
        network.optimizer.zero_grad()
        run_pass(inputs, labels)
        network.optimizer.step()

    return partial(seconds_of, step)


def measure(name: str, *, quick: bool) -> list[dict[str, Any]]:
    """One result a method, for one setting."""
    setting = SETTINGS[name]
    if quick:
        height, width = setting.image
        setting = replace(setting, batch=2, image=(height // 2, width // 2), outputs=setting.outputs[:MANY])
    network = build(setting)
    timers = {method: timer(network, method) for method in METHODS}
    slow = PER_TASK if len(setting.outputs) > MANY else ()
    rounds = dict.fromkeys(METHODS, 1 if quick else FEW)
    if not quick:
        for method in METHODS.keys() - set(slow):
            timers[method]()  # warms up
            rounds[method] = min(ROUNDS, max(FEW, int(ENOUGH / timers[method]())))
    seconds = interleaved(timers, rounds)
    expected = by_arithmetic(network)
    return [
        {
            "setting": name,
            "tasks": len(setting.outputs),
            "batch": setting.batch,
            "image": list(setting.image),
            "reduced": setting.reduced,
            "method": method,
            "rounds": len(own),
            "ms": 1e3 * median(own),
            "ratio": spread(round_by_round(own, seconds[UNIFORM])),
            "times MGDA-UB": spread(round_by_round(own, seconds[UB])),
            "times MGDA-UB by multiply-adds": expected.get(method),
        }
        for method, own in seconds.items()
    ]


def by_arithmetic(network: Network) -> dict[str, float]:
    """Multiples of MGDA-UB's multiply-adds, see the top; heads' inputs are the features, which have no cost."""
    inputs, tasks = network.batches[0][0][:1], len(network.heads)
    with torch.no_grad():
        features = network.encoder.eval()(inputs)
    network.encoder.train()
    body = multiply_adds(network.encoder, inputs)
    heads = sum(multiply_adds(head, features) for head in network.heads)
    products = {
        UNIFORM: 3 * body + 3 * heads,
        UB: 3 * body + 3 * heads,
        PUBLISHED_UB: 4 * body + 5 * heads,
        PARAMETERS: (1 + 2 * tasks) * body + 3 * heads,
        PUBLISHED: 3 * (tasks + 1) * body + 5 * heads,
    }
    return {method: own / products[UB] for method, own in products.items()}


def run(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Results and targets of all settings."""
    keep_pages()
    results = []
    for name in SETTINGS:
        rows = measure(name, quick=options.quick)
        results += rows
        show(rows)
    return results, targets(results)


def targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        target(f"{row['setting']}: time of MGDA-UB / {row['method']}", limit, 1 / row["times MGDA-UB"]["median"])
        for row in results
        if (limit := LIMITS.get(row["tasks"], {}).get(row["method"])) is not None
    ]


def show(rows: list[dict[str, Any]]) -> None:
    header = [rows[0]["setting"], "rounds", "ms", f"/ {UNIFORM}", "times MGDA-UB", "quartiles", "by multiply-adds"]
    table = []
    for row in rows:
        times = row["times MGDA-UB"]
        quartiles = f"{times['q25']:.2f} to {times['q75']:.2f}"
        cells = [f"{row['ms']:.1f}", f"{row['ratio']['median']:.3f}", f"{times['median']:.3f}", quartiles]
        expected = row["times MGDA-UB by multiply-adds"]
        table.append([row["method"], str(row["rounds"]), *cells, f"{expected:.2f}" if expected else ""])
    print_table(header, table)


def keep_pages() -> None:
    """Asks glibc's allocator not to hand pages back, for the reason that `workers.py` gives.

    There each method has a process of its own. Here one network serves all, and the slowest methods need gigabytes.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            trim, mmap = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(trim, 2**31 - 1)
            libc.mallopt(mmap, 2**25)

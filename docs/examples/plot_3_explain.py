"""
Did sharing help?
=================

**What you will learn:** why comparing two networks at the end of training mixes two
questions, and how to take them apart with what you log anyway.

A network shared by many tasks ends up better or worse on a task than a network of the
task's own. Two things are behind that. The shared network may *fit* the task more
slowly: its training loss is higher at the same step. That is the **optimization
deficit**. And what it fits may *generalize* differently: its test metric differs at the
same training loss. That is the **generalization gap** (Mueller, Dredze & Andrews 2024).
"""

# %%
# Two kinds of networks on one table
# ----------------------------------
#
# The yeast table asks 14 yes-or-no questions about a gene. One network answers all of
# them. Four others answer one question each, the first four. Both are trained for the
# same number of steps, with four seeds, from the same initial weights of the encoder.
#
# All we need are two numbers now and then: the loss on training rows and the metric on
# test rows. The area under the ROC curve (AUROC) is the metric: 0.5 is guessing, 1 is
# perfect.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits

from counterpoint import (
    FanOut,
    Trajectory,
    Uniform,
    conflict,
    generalization_gap,
    optimization_deficit,
)
from counterpoint.data.yeast import TASKS, Yeast
from counterpoint.estimate import Estimate
from counterpoint.models import MLPEncoder

torch.set_num_threads(1)
splits = Yeast().splits()
rows = {name: splits[name].rows(slice(None)) for name in ("train", "test")}
EXAMINED, SEEDS = TASKS[:4], range(4)


def loss_of(output, y):
    return binary_cross_entropy_with_logits(output[:, 0], y.float())


def look(encoder, heads):
    """Training loss and test AUROC of each examined task that the network has."""
    seen = {}
    with torch.no_grad():
        features = {name: encoder(x) for name, (x, _) in rows.items()}
        for task in heads.keys() & set(EXAMINED):
            loss = loss_of(heads[task](features["train"]), rows["train"][1][task])
            scores = heads[task](features["test"])[:, 0]
            seen[task] = float(loss), roc_auc_score(rows["test"][1][task], scores)
    return seen


def train(tasks, seed):
    """A trajectory of each examined task; in each step, how many pairs conflict."""
    torch.manual_seed(seed)
    encoder = MLPEncoder(103, (64, 32))
    heads = torch.nn.ModuleDict({task: torch.nn.Linear(32, 1) for task in tasks})
    fan = FanOut(Uniform(), tasks)
    optimizer = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], lr=2e-3)
    batches = splits["train"].batches(64, shuffle_seed=seed)
    step, looks, negative = 0, {0: look(encoder, heads)}, []
    for _epoch in range(16):
        for x, y in batches:
            z = fan(encoder(x))
            losses = {task: loss_of(heads[task](z[task]), y[task]) for task in tasks}
            optimizer.zero_grad()
            fan.sum(losses).backward()
            optimizer.step()
            step += 1
            if len(tasks) > 1:
                negative.append(conflict(fan.last.gram).negative_share)
            if step in {2, 5, 10, 15} or step % len(batches) == 0:
                looks[step] = look(encoder, heads)
    paths = {}
    for task in looks[0]:
        losses, metrics = zip(*(seen[task] for seen in looks.values()), strict=True)
        paths[task] = Trajectory(losses, metrics, steps=list(looks))
    return paths, negative


shared = [train(TASKS, seed) for seed in SEEDS]
alone = {task: [train((task,), seed)[0][task] for seed in SEEDS] for task in EXAMINED}
together = {task: [paths[task] for paths, _ in shared] for task in EXAMINED}

# %%
# At the end of training
# ----------------------
#
# The usual comparison: both have made the same number of steps. Which is better?
# Differences are taken seed by seed; in brackets the 95 % interval (Student's t).


def said(found):
    verdict = "better" if found.mean > 0 else "worse"
    verdict = verdict if found.excludes_zero else "no difference found"
    interval = f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return f"{100 * found.mean:+.1f} points of AUROC {interval}: {verdict}"


at_end = {}
for task in EXAMINED:
    ends = zip(alone[task], together[task], strict=True)
    at_end[task] = Estimate.of([ours.values[-1] - own.values[-1] for own, ours in ends])
    print(f"{task}: shared network {said(at_end[task])}")

# %%
# At the same training loss
# -------------------------
#
# Now go along both trajectories and compare them where they have the same *training
# loss*. The grey line on the right is one such place. ``generalization_gap`` does it at
# 25 training losses that all trajectories reach, and takes the mean.

gaps = {task: generalization_gap(alone[task], together[task]) for task in EXAMINED}
for task, gap in gaps.items():
    print(f"{task}: shared network {said(gap.estimate)}")
# sphinx_gallery_start_ignore
task = max(EXAMINED, key=lambda name: abs(at_end[name].mean))
gap = gaps[task]
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.6, 3.8), sharey=True, layout="constrained"
)
looks = (("alone", alone, "#0072B2", "o"), ("shared", together, "#D55E00", "s"))
for name, paths, colour, marker in looks:
    for path in paths[task]:
        left.plot(path.steps, path.values, color=colour, alpha=0.35, linewidth=1)
        right.plot(
            path.losses, path.values, marker, color=colour, alpha=0.35, markersize=3
        )
    mean = np.mean([path.values for path in paths[task]], axis=0)
    left.plot(paths[task][0].steps, mean, color=colour, linewidth=2.2, label=name)
for name, values, colour in (
    ("alone", gap.single, "#0072B2"),
    ("shared", gap.multi, "#D55E00"),
):
    right.plot(gap.losses, values.mean(axis=0), color=colour, linewidth=2.2, label=name)
place = len(gap.losses) // 5
right.axvline(gap.losses[place], color="#888888", linewidth=1)
for values, colour in ((gap.single, "#0072B2"), (gap.multi, "#D55E00")):
    right.plot(
        gap.losses[place], values[:, place].mean(), "D", color=colour, mec="k", zorder=3
    )
right.invert_xaxis()
left.set(xlabel="step", ylabel="test AUROC", title=f"{task}, by step")
right.set(xlabel="training loss (falls to the right)", title=f"{task}, by training loss")
left.legend(frameon=False)
for each in (left, right):
    each.spines[["top", "right"]].set_visible(False)
    each.grid(alpha=0.25)
# sphinx_gallery_end_ignore

# %%
# The deficit
# -----------
#
# What lies between the two comparisons is how fast training losses fall.
# ``optimization_deficit`` compares them at the same steps: positive means that the shared
# network is behind. That may look good at the end: a network of one task's own, trained
# as long, can go on to training losses at which it tests worse. So compare both, too, at
# the step where each tested best.

for task in EXAMINED:
    deficit = optimization_deficit(alone[task], together[task])
    low, high = deficit.interval
    print(f"{task}: deficit {deficit.estimate.mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    pairs = zip(alone[task], together[task], strict=True)
    best = Estimate.of([ours.values.max() - own.values.max() for own, ours in pairs])
    print(f"         each at its best: shared network {said(best)}")

first, last = slice(0, 23), slice(-23, None)  # steps of an epoch
early, late = (np.mean([each[part] for _, each in shared]) for part in (first, last))
print("share of pairs of tasks whose gradients conflict:", end=" ")
print(f"{early:.0%} in the first epoch, {late:.0%} in the last")
# sphinx_gallery_start_ignore
figure, place = plt.subplots(figsize=(6.6, 3), layout="constrained")
for row, task in enumerate(EXAMINED):
    for shift, found, colour, marker, name in (
        (-0.14, at_end[task], "#7A5C00", "D", "at the end of training"),
        (0.14, gaps[task].estimate, "#009E73", "o", "at the same training loss"),
    ):
        ends = [100 * found.low, 100 * found.high]
        place.plot(ends, [row + shift] * 2, color=colour, linewidth=2)
        label = name if row == 0 else None
        place.plot(100 * found.mean, row + shift, marker, color=colour, label=label)
place.axvline(0, color="#888888", linewidth=1)
place.set_yticks(range(len(EXAMINED)), EXAMINED)
place.invert_yaxis()
place.set(xlabel="points of test AUROC", title="shared minus alone")
place.spines[["top", "right"]].set_visible(False)
_ = figure.legend(frameon=False, ncols=2, loc="outside lower center")
# sphinx_gallery_end_ignore

# %%
# Two things to be careful about. The best step above was chosen on test rows. That will
# do for this question; to choose a network, use validation rows. And intervals cover the
# training's randomness on *one* split of the rows, not what another split would show.
#
# What to try next
# ----------------
#
# - ``gap.onset`` says from which training loss on a gap is there, ``gap.band`` how sure
#   that is at each.
# - ``top_eigenvalues``, ``fisher_trace``, ``gradient_coherence`` and others measure what
#   may go along with a gap; ``TrajectoryCallback`` records all of it in a Lightning loop.
# - All of this with one command: ``counterpoint explain --data yeast --seeds 2``.
#
# Read more: :doc:`trajectories and gaps </trajectory>` (definitions, costs, and what came
# out with five seeds and all fourteen tasks), :doc:`/how-it-works`.

# sphinx_gallery_thumbnail_path = "pictures/thumbnail-explain.png"

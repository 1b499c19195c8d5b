"""
Which tasks share a network
===========================

**What you will learn:** how to measure which task helps which while you train once, how
to turn that into k networks with a proof, and how to check whether it was worth it.

You have many tasks and room for k networks. Training every combination is out of the
question: 14 tasks have 16,383 possible networks. Task affinity grouping (Fifty et al.
2021) trains *one* network on everything, measures how much a step on each task lowers
the loss of every other one, and chooses the networks from these numbers.
"""

# %%
# Fourteen questions about a gene
# -------------------------------
#
# A row of the yeast table is a gene: 103 measurements, and which of 14 functional
# classes it belongs to. Neighbouring classes are related.
#
# The loop below is an ordinary one. The only line for us is the one with the meter,
# which comes before ``backward``. It measures every fifth step and leaves the training
# as it is, bit for bit: with or without it the same weights come out.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from counterpoint import Affinity, AffinityMeter, group_tasks
from counterpoint.data.yeast import TASKS, Yeast
from counterpoint.estimate import Estimate
from counterpoint.models import MLPEncoder

torch.set_num_threads(1)
splits = Yeast().splits()


def losses_of(encoder, heads, x, y):
    z = encoder(x)
    outputs = {task: head(z)[:, 0] for task, head in heads.items()}
    return {
        task: binary_cross_entropy_with_logits(output, y[task].float())
        for task, output in outputs.items()
    }


def train(tasks, seed, meter=None):
    """Each task's test loss, at the epoch with its lowest validation loss."""
    torch.manual_seed(seed)
    encoder = MLPEncoder(103, (64, 32))
    heads = torch.nn.ModuleDict({task: torch.nn.Linear(32, 1) for task in tasks})
    optimizer = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], lr=1e-3)
    best = dict.fromkeys(tasks, (np.inf, np.inf))
    batches = splits["train"].batches(128, shuffle_seed=seed)
    for _epoch in range(20):
        for x, y in batches:
            losses = losses_of(encoder, heads, x, y)
            if meter is not None:
                meter.step(losses, shared=encoder, optimizer=optimizer)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        with torch.no_grad():
            validation, test = (
                losses_of(encoder, heads, *splits[name].rows(slice(None)))
                for name in ("validation", "test")
            )
        for task in tasks:
            best[task] = min(best[task], (float(validation[task]), float(test[task])))
    return {task: test for task, (_, test) in best.items()}


SEEDS = range(4)
measured, together = [], []
for seed in SEEDS:
    meter = AffinityMeter(list(TASKS), every=5)
    together.append(train(TASKS, seed, meter))
    measured.append(meter.compute())

affinity = Affinity.mean(measured)
print(affinity)

# %%
# Reading the matrix
# ------------------
#
# **Row: the task that steps. Column: the task that is affected.** The number is the
# share of its loss that the step takes away: positive helps, negative harms. The matrix
# need not be symmetric. The diagonal, what a step on a task does for itself, is left
# out. Behind ± stands the standard error: where it is as large as the number, even the
# sign is open.

others = ~np.eye(len(TASKS), dtype=bool)
strength = np.where(others, affinity.values, np.nan)
for found in (np.nanargmax(strength), np.nanargmin(strength)):
    i, j = np.unravel_index(found, strength.shape)
    what = "lowers" if strength[i, j] > 0 else "raises"
    error = affinity.standard_error[i, j]
    print(f"a step on {TASKS[i]} {what} the loss of {TASKS[j]}", end=" ")
    print(f"by a share of {abs(strength[i, j]):.1e} ± {error:.0e}")

clear = abs(affinity.values) > 2 * affinity.standard_error
print(f"{clear[others].sum()} of {others.sum()} pairs are two standard errors from zero")
agreement = measured[0].spearman(measured[1])
print(f"rank correlation between the matrices of two seeds: {agreement:.2f}")
# sphinx_gallery_start_ignore
figure, place = plt.subplots(figsize=(6.6, 5.6), layout="constrained")
limit = 1e4 * np.nanquantile(abs(strength), 0.97)
drawn = place.imshow(1e4 * strength, cmap="RdBu", vmin=-limit, vmax=limit)
figure.colorbar(drawn, label="share of the loss taken away, in 1/10,000", shrink=0.8)
place.set_xticks(range(len(TASKS)), TASKS, rotation=90)
place.set_yticks(range(len(TASKS)), TASKS)
_ = place.set(
    xlabel="task that is affected",
    ylabel="task that steps",
    title="affinity: whose step helps whom",
)
# sphinx_gallery_end_ignore

# %%
# Choosing networks
# -----------------
#
# A network promises a task the mean affinity of its other tasks onto it. ``group_tasks``
# finds the networks that promise most in all, and proves it: ``bound`` is a number that
# no grouping can beat. ``gap`` is what lies between; ``"optimal"`` means nothing does.

groupings = {k: group_tasks(affinity, networks=k) for k in range(1, 8)}
for k, grouping in groupings.items():
    print(f"k = {k}: score {1e4 * grouping.score:.4f}", end=", ")
    print(f"bound {1e4 * grouping.bound:.4f} (in 1/10,000), {grouping.status}")
print()
print(groupings[3])
alike = [group_tasks(one, networks=3).networks for one in measured]
same = sum(networks == groupings[3].networks for networks in alike)
print(f"{same} of {len(SEEDS)} seeds, grouped by themselves, give these networks")
# sphinx_gallery_start_ignore
figure, place = plt.subplots(figsize=(6.2, 3), layout="constrained")
place.plot(
    list(groupings), [1e4 * grouping.score for grouping in groupings.values()], "o-"
)
place.set(xlabel="networks to serve", ylabel="promised score, in 1/10,000")
place.set_title("what one more network promises")
place.spines[["top", "right"]].set_visible(False)
place.grid(axis="y", alpha=0.3)
# sphinx_gallery_end_ignore

# %%
# One more network never promises less. Where the curve flattens, it is not worth
# serving. And the proof is about the matrix as it was measured: it knows nothing of the
# noise in it. How often single seeds agree tells how much there is.
#
# Does the promise hold?
# ----------------------
#
# A promise is not a result. Train the groups, and compare them with one network for
# everything and with three groups drawn by lot. All are tested in the same way, and
# differences are taken seed by seed.


def served(groups, seed):
    """Test losses with these networks: pairs of the tasks inside and those served."""
    losses = {}
    for inside, serves in groups:
        if (inside, seed) not in trained:
            trained[inside, seed] = train(inside, seed)
        losses |= {task: trained[inside, seed][task] for task in serves}
    return losses


trained = {(TASKS, seed): losses for seed, losses in zip(SEEDS, together, strict=True)}
lot = np.random.default_rng(0).permutation(TASKS).tolist()
drawn = [tuple(lot[start::3]) for start in range(3)]
ways = {
    f"{k} groups": [(network.tasks, network.serves) for network in groupings[k].networks]
    for k in (2, 3, 4)
}
ways["3 groups by lot"] = [(group, group) for group in drawn]

changes = {}
for name, groups in ways.items():
    change = []
    for seed in SEEDS:
        losses, base = served(groups, seed), together[seed]
        change.append(np.mean([100 * (losses[t] / base[t] - 1) for t in TASKS]))
    changes[name] = found = Estimate.of(change)
    verdict = "higher" if found.mean > 0 else "lower"
    verdict = verdict if found.excludes_zero else "no difference found"
    print(f"{name:<16} test loss {found.mean:+.2f} %", end=" ")
    print(f"[{found.low:+.2f}, {found.high:+.2f}] against one network: {verdict}")
# sphinx_gallery_start_ignore
figure, place = plt.subplots(figsize=(6.2, 2.6), layout="constrained")
for row, found in enumerate(changes.values()):
    place.plot([found.low, found.high], [row, row], color="#0072B2", linewidth=2)
    place.plot(found.mean, row, "o", color="#0072B2")
place.axvline(0, color="#888888", linewidth=1)
place.set_yticks(range(len(changes)), changes)
place.invert_yaxis()
place.set_ylim(len(changes) - 0.5, -0.5)
place.set(xlabel="in % (left is better)", title="test loss against one network for all")
place.spines[["top", "right"]].set_visible(False)
# sphinx_gallery_end_ignore

# %%
# That is why the last step matters. Affinity says what a single step does to other tasks'
# losses *on training rows*; it cannot know what many steps do to *new* rows. On this
# table an earlier and longer comparison, five seeds with five splits, found no grouping
# better than one network for all (``benchmarks/results/grouping_yeast.json``). If a
# grouping does not beat one network, or groups drawn by lot, keep the one network.
#
# What to try next
# ----------------
#
# - ``group_tasks(affinity, 3, serve=["class-1", "class-2"])``: the others may help, but
#   need no network. ``largest=``, ``apart=`` and ``cost=`` say what you can afford.
# - ``AffinityMeter(tasks, "lookahead")`` measures the definition itself,
#   ``"features"`` costs nothing if you have a ``FanOut``.
# - All of this with one command: ``counterpoint group --data yeast --networks 3``.
# - The affinities that Fifty et al. published for nine attributes of faces: their best
#   groupings are found and proven in a tenth of a second (:doc:`/grouping`).
#
# Read more: :doc:`/affinity` (what is measured, and its cost), :doc:`/grouping` (how the
# proof works), :doc:`/how-it-works` (the short version).

# sphinx_gallery_thumbnail_path = "pictures/thumbnail-group.png"

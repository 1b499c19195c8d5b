"""
Combine many task gradients
===========================

**What you will learn:** how to put a ``FanOut`` between an encoder and its heads, how
to read what it did, and when a weighting matters.

Five questions about one image share one encoder. Each question has a loss, and the
gradient of each loss pulls the encoder in a direction of its own. The plain sum of the
losses adds these pulls up. Other ways of combining them are called *weightings*: they
look at how long the gradients are and at the angles between them, and choose a weight
for each task in every step.
"""

# %%
# Two digits, five questions
# --------------------------
#
# Two handwritten digits overlap on one canvas. The questions: which digit is at the top
# *left*, which is at the bottom *right*, what is their *sum*, is the left one *even*,
# and is it *larger* than the right one?

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from counterpoint import MGDA, DiBS, FanOut, Uniform, backward
from counterpoint.data import DigitPairs
from counterpoint.data.digit_questions import QUESTIONS, DigitQuestions
from counterpoint.estimate import Estimate
from counterpoint.models import LeNetEncoder, LeNetHead

torch.set_num_threads(1)
pairs = DigitPairs(train_rows=2_000, validation_rows=500, test_rows=2_000)
splits = DigitQuestions(pairs).splits()
TASKS = list(QUESTIONS)  # with the number of classes of each
print(QUESTIONS)
# sphinx_gallery_start_ignore
images, answers = splits["test"].rows(slice(0, 6))
figure, places = plt.subplots(1, 6, figsize=(9, 2), layout="constrained")
for row, place in enumerate(places):
    left, right, total = (int(answers[task][row]) for task in ("left", "right", "sum"))
    place.imshow(images[row, 0], cmap="gray_r")
    place.set(xticks=[], yticks=[], title=f"{left} and {right}, sum {total}")
# sphinx_gallery_end_ignore

# %%
# A layer between encoder and heads
# ---------------------------------
#
# The three lines that matter carry a number. Forward, the ``FanOut`` hands every head
# the same features. Backward, it receives the gradient of every task with respect to
# these features, asks the weighting for weights, and sends *one* weighted sum on to the
# encoder. The loop around it is an ordinary PyTorch loop.
#
# ``factor`` multiplies the loss of *left*. It is 1 until we need it.


def heads_of():
    heads = {task: LeNetHead(classes=QUESTIONS[task]) for task in TASKS}
    return torch.nn.ModuleDict(heads)


def train(weighting, seed, factor=1.0, *, weighted_heads=False):
    torch.manual_seed(seed)
    encoder, heads = LeNetEncoder(), heads_of()
    options = {"heads": "weighted", "head_modules": heads} if weighted_heads else {}
    fan = FanOut(weighting, TASKS, **options)  # (1)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    batches = splits["train"].batches(100, shuffle_seed=seed)
    weights, cosines = [], []
    for _epoch in range(4):
        for x, y in batches:
            z = fan(encoder(x))  # (2)
            losses = {task: cross_entropy(heads[task](z[task]), y[task]) for task in y}
            losses["left"] = factor * losses["left"]
            optimizer.zero_grad()
            fan.sum(losses).backward()  # (3)
            optimizer.step()
            weights.append(fan.last.weights.numpy())
            cosines.append(fan.last.cosines.numpy())
    x, y = splits["test"].rows(slice(None))
    with torch.no_grad():
        z = encoder(x)
        right = [heads[task](z).argmax(1) == y[task] for task in TASKS]
    accuracy = np.array([float(hits.float().mean()) for hits in right])
    return accuracy, np.array(weights), np.array(cosines)


# %%
# Three ways to combine, three seeds each:
#
# - **Plain sum** (``Uniform``): every task weighs the same.
# - **MGDA** takes the shortest vector among all weighted means of the gradients (Sener
#   & Koltun 2018). To first order, moving the features a little against it raises no
#   task's loss.
# - **DiBS** gives each gradient the same length, then adds them up (Murthy et al.
#   2026). Its heads get weighted gradients, too.


def plain_sum(seed, factor=1.0):
    return train(Uniform(), seed, factor)


def mgda(seed, factor=1.0):
    return train(MGDA(), seed, factor)


def dibs(seed, factor=1.0):
    return train(DiBS(), seed, factor, weighted_heads=True)


methods = {"plain sum": plain_sum, "MGDA": mgda, "DiBS": dibs}
runs = {name: [method(seed) for seed in range(3)] for name, method in methods.items()}

# %%
# What the layer saw and did
# --------------------------
#
# ``fan.last`` holds weights, Gram matrix and cosines of the last backward pass. Left:
# how far the gradients of two tasks agree, on average over training. 1 is the same
# direction, 0 a right angle; where it is negative, two tasks pull against each other.
# Middle and right: how each method shares out its weights from step to step.

seen = np.mean([cosines.mean(axis=0) for _, _, cosines in runs["plain sum"]], axis=0)
below = np.mean([(c < 0).mean(axis=0) for _, _, c in runs["plain sum"]], axis=0)

pairs = [(seen[i, j], i, j) for i in range(len(TASKS)) for j in range(i)]
for value, i, j in (max(pairs), min(pairs)):
    print(f"{TASKS[j]} and {TASKS[i]}: mean cosine {value:+.2f}, ", end="")
    print(f"below zero in {below[i, j]:.0%} of the steps")
# sphinx_gallery_start_ignore
figure, places = plt.subplots(
    1, 3, figsize=(10, 3.7), width_ratios=(1.3, 1, 1), layout="constrained"
)
shown = np.where(np.eye(len(TASKS)) > 0, np.nan, seen)
places[0].imshow(shown, cmap="RdBu", vmin=-0.25, vmax=0.25)
places[0].set_xticks(range(len(TASKS)), TASKS, rotation=35, ha="right")
places[0].set_yticks(range(len(TASKS)), TASKS)
for i, j in np.ndindex(shown.shape):
    if i != j:
        places[0].text(j, i, f"{seen[i, j]:+.2f}", ha="center", va="center", size=8)
places[0].set_title("mean cosine (plain sum)")
colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A5C00"]
for place, name in zip(places[1:], ("MGDA", "DiBS"), strict=True):
    shares = [w / w.sum(axis=1, keepdims=True) for _, w, _ in runs[name]]
    for task, colour, line in zip(TASKS, colours, np.mean(shares, axis=0).T, strict=True):
        place.plot(line, color=colour, label=task, linewidth=1.4)
    place.set(xlabel="step", ylim=(0, 0.6), title=f"share of the weights: {name}")
    place.spines[["top", "right"]].set_visible(False)
places[2].set_yticklabels([])
_ = places[1].legend(fontsize=8, frameon=False, loc="upper left", ncols=2)
# sphinx_gallery_end_ignore

# %%
# Did it help?
# ------------
#
# Test accuracy, mean over three seeds. Each method starts from the same weights and
# sees the same batches as the plain sum with that seed, so differences are taken seed
# by seed. In brackets the 95 % interval (Student's t); if it holds zero, no difference
# was found.

accuracy = {name: np.array([run[0] for run in three]) for name, three in runs.items()}
for name, values in accuracy.items():
    each = zip(TASKS, values.mean(axis=0), strict=True)
    print(f"{name:<10}" + ", ".join(f"{task} {value:.3f}" for task, value in each))
print()
for name in ("MGDA", "DiBS"):
    change = 100 * (accuracy[name] - accuracy["plain sum"]).mean(axis=1)
    change = Estimate.of(change.tolist())
    verdict = "better" if change.mean > 0 else "worse"
    verdict = verdict if change.excludes_zero else "no difference found"
    print(f"{name} against the plain sum, mean over tasks:")
    interval = f"[{change.low:+.1f}, {change.high:+.1f}]"
    print(f"    {change.mean:+.1f} points {interval}: {verdict}")

# %%
# Do not expect a weighting to win by itself. Where losses are of the same kind and
# size, as here, the plain sum is a strong baseline, and three seeds rarely tell methods
# apart. :doc:`/choosing-a-weighting` has measurements on several problems.
#
# A loss of another size
# ----------------------
#
# Now the loss of *left* is multiplied by 1000, as if somebody had switched from
# kilograms to grams. The best answers are still the same. What do the methods make of
# it? One seed, from the same start as above.

after = {name: method(0, factor=1_000.0)[0] for name, method in methods.items()}
for name, values in after.items():
    change = 100 * (values - accuracy[name][0])
    row = int(abs(change).argmax())
    print(f"{name:<10} largest change: {change[row]:+.1f} points ({TASKS[row]})")
# sphinx_gallery_start_ignore
figure, places = plt.subplots(1, 3, figsize=(9.5, 3), sharey=True, layout="constrained")
rows = np.arange(len(TASKS))
for place, (name, values) in zip(places, after.items(), strict=True):
    before = accuracy[name][0]
    place.hlines(rows, before, values, color="#888888", linewidth=2, zorder=1)
    place.scatter(before, rows, color="#0072B2", label="as it is", zorder=2)
    place.scatter(values, rows, color="#D55E00", marker="D", label="left times 1000")
    place.set(title=name, xlim=(0, 1), xlabel="test accuracy")
    place.grid(axis="x", alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
places[0].set_yticks(rows, TASKS)
places[0].invert_yaxis()
_ = figure.legend(
    *places[0].get_legend_handles_labels(), ncols=2, loc="outside lower center"
)
# sphinx_gallery_end_ignore

# %%
# The plain sum listens to the loudest task. MGDA does the opposite: the shortest mean
# of the gradients hardly uses one that is 1000 times as long, so *left* is neglected.
# DiBS looks at directions alone. What is left of the factor is rounding, which training
# amplifies now and then. That is what it is for: losses without a common unit.
#
# What a step costs
# -----------------
#
# The expensive part of many published methods is one backward pass through the encoder
# for each task. Count them:

passes = []
encoder, heads = LeNetEncoder(), heads_of()
x, y = splits["train"].rows(slice(0, 100))


def losses_of(z):
    return {task: cross_entropy(heads[task](z[task]), y[task]) for task in TASKS}


def count(_layer, _inputs, output):
    output.register_hook(lambda _gradient: passes.append(1))


encoder.first.register_forward_hook(count)

fan = FanOut(MGDA(), TASKS)
fan.sum(losses_of(fan(encoder(x)))).backward()
print(f"FanOut(MGDA()), {len(TASKS)} tasks: passes through the encoder: {len(passes)}")

passes.clear()
losses = losses_of(dict.fromkeys(TASKS, encoder(x)))
record = backward(losses, MGDA(), shared=encoder.parameters())
print(f"backward(..., shared=encoder.parameters()): {len(passes)}")

# %%
# The second way compares gradients at the encoder's parameters instead of the features,
# as the original MGDA does. It takes as many passes as there are tasks. How long both
# take beside other libraries was measured in ``benchmarks/results/step_cost.json``.
#
# What to try next
# ----------------
#
# - Other weightings by name: ``FanOut(get_weighting("cagrad", c=0.4), TASKS)``;
#   ``weighting_names()`` lists them.
# - Losses that you do not trust: multiply one by 1000. Does your method mind?
# - Your own network: :doc:`/loops` has the lines for gradient accumulation, mixed
#   precision, Lightning and Hugging Face.
#
# Read more: :doc:`/how-it-works` (what happens in backward), :doc:`/invariance` (losses
# in disguise, all weightings), :doc:`/choosing-a-weighting`.

# sphinx_gallery_thumbnail_path = "pictures/thumbnail-combine.png"

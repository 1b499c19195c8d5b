"""
All of it on your data
======================

**What you will learn:** how to hand over a table and get back a decision, a page that
explains it, and a model that predicts.

The first three guides measured and compared by hand. ``Study`` does it for a table: it
trains each column alone, all together, with weightings, and in the groups that measured
affinities suggest. It chooses on one part of the rows, confirms on another, and keeps
the networks that it chose.
"""

# %%
# A table with a known structure
# ------------------------------
#
# We make 1,800 homes, so that we know what there is to find. *Price* and *rent* depend on
# the same things, but a rent is known for one home in eight only: it should gain from
# what the network learns about prices. *Sold* within a month depends on other things.

import tempfile
import textwrap
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from counterpoint import Study, load_bundle
from counterpoint.report import study_verdict, write_study_report

torch.set_num_threads(1)
warnings.filterwarnings("ignore", module="lightning")  # advice for large trainings

random = np.random.default_rng(0)
count = 1_800
homes = pd.DataFrame(
    {
        "area": random.uniform(30, 160, count).round(),
        "rooms": random.integers(1, 7, count),
        "age": random.integers(0, 90, count),
        "district": random.choice(["north", "south", "east", "port"], count),
        "views": random.poisson(40, count),
        "weekday": random.choice(["Mon", "Tue", "Wed", "Thu", "Fri"], count),
    }
)
worth = homes["area"] * homes["district"].map(
    {"north": 1.0, "south": 1.4, "east": 0.8, "port": 1.8}
) * np.exp(-homes["age"] / 120) + 9 * np.sqrt(homes["rooms"])
homes["price"] = (2_500 * worth * random.lognormal(0, 0.1, count)).round(-2)
homes["rent"] = (9 * worth * random.lognormal(0, 0.15, count)).round()
homes.loc[random.random(count) > 0.12, "rent"] = np.nan
liked = homes["views"] / 8 + homes["weekday"].isin(["Thu", "Fri"]) * 1.5
homes["sold"] = np.where(liked + random.normal(0, 1, count) > 5.6, "yes", "no")
print(homes.head().to_string())

# %%
# The study
# ---------
#
# What each target is follows from its values. Empty cells are missing labels, and a row
# counts for the targets that it has. ``networks=2`` says what you can serve. Everything
# goes into one folder; a study that was interrupted goes on from there.
#
# The settings are small, to take seconds. Leave them out for your own table.

place = tempfile.TemporaryDirectory()
folder = Path(place.name) / "homes"
study = Study(
    homes,
    ["price", "rent", "sold"],
    networks=2,
    weightings=["dibs"],
    scale_trials=0,
    hidden=(32, 32),
    epochs=15,
    validation=0.2,
    test=0.3,
    lr=5e-3,
    seeds=3,
    out=folder,
    workers=1,
)
results = study.run()

# %%
# What to train
# -------------
#
# The verdict in words. It claims no more than its intervals do, and "no difference was
# found" is a possible answer.

for sentence in study_verdict(results):
    print(textwrap.fill(sentence, 84))

# %%
# And in numbers
# --------------
#
# By how many percent each way of training improves on each target alone, on test rows:
# lower errors, higher scores. In brackets the 95 % interval over seeds; the star is what
# the study chose, on validation rows. Below, the same for each target by itself. That is
# where to look: a mean over targets can hide that one gains and another loses.

decision, tasks = results.decision, results.tasks
shown = {}
for method in results.methods:
    mark = "*" if method.key == decision.chosen else " "
    networks = decision.costs[method.key].networks
    line = f"{mark} {method.label:<12} networks to serve: {networks}"
    contrast = decision.contrast(method.key, "single")
    if contrast is not None:
        shown[method.label] = contrast
        mean = contrast.test
        line += f"   {mean.mean:+.1f} % [{mean.low:+.1f}, {mean.high:+.1f}]"
    print(line)
# sphinx_gallery_start_ignore
figure, places = plt.subplots(1, 3, figsize=(9.6, 2.6), sharey=True, layout="constrained")
for axes, task in zip(places, tasks, strict=True):
    for row, contrast in enumerate(shown.values()):
        found = contrast.tasks[task]
        axes.plot([found.low, found.high], [row, row], color="#0072B2", linewidth=2)
        axes.plot(found.mean, row, "o", color="#0072B2")
    axes.axvline(0, color="#888888", linewidth=1)
    axes.set(title=task, xlabel="better than alone by %")
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)
_ = places[0].set_yticks(range(len(shown)), shown)
# sphinx_gallery_end_ignore

# %%
# Was found what had been put in? That *rent* gains was to be expected. *Sold* has nothing
# to learn from the others: what it seems to gain or lose is another effect of training
# together, or chance, of which three seeds on one split are not enough to tell.
#
# The page
# --------
#
# ``report.html`` is one file that needs no server. It shows the decision, what was
# trained, affinities and groups, curves, and what the data looked like.

page = write_study_report(results, folder / "report.html")
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")

# %%
# The top of such a page, of the study of diamonds that :doc:`/study` describes:
#
# .. image:: /pictures/report-study.png
#    :alt: A report's verdict in words, and below it each method's change on test rows
#          with its interval.
#
# A model that predicts
# ---------------------
#
# The chosen networks are in ``bundle``: weights as safetensors, all else as JSON, nothing
# that runs code when it is loaded. New rows need the columns that were features.

bundle = load_bundle(folder / "bundle")
new = homes.drop(columns=["price", "rent", "sold"]).tail(3)
print(bundle.predict(new).to_string())

place.cleanup()  # the folder was temporary; keep yours

# %%
# What to try next
# ----------------
#
# - The same from the command line, with a CSV or Parquet file:
#   ``counterpoint study homes.csv --targets price,rent,sold --networks 2``.
# - ``minutes=5`` to stay within a time; ``weightings=["mgda", "dibs"]`` and
#   ``scale_trials=4``, which are the defaults, to compare more.
# - A price is better learned as a logarithm: ``"price:regression:log"``.
# - Images or text: any ``Dataset`` that yields ``(x, {task: y})``, with an encoder.
#
# Read more: :doc:`/study` (how it decides, splits, leaks, limits, and what came out on
# real tables).

# sphinx_gallery_thumbnail_path = "pictures/thumbnail-study.png"

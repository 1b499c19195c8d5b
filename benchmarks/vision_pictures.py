"""Draws docs/pictures/vision-predictions.png: test scenes, their targets, and what trained networks predict.

    python benchmarks/vision_pictures.py          # after vision.py --parts scenes, whose trainings it finds

The networks are those of the first seed of the recipe `scenes`; the scenes are the first of the test rows, not chosen.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from counterpoint.atomic import write_atomically
from counterpoint.data import pictures
from vision_scenes import FOLDER, scenes

PAGE = Path("docs/pictures/vision-predictions.png")
METHODS = {"": "target", "single": "single-task", "uniform": "uniform", "mgda": "MGDA-UB", "dibs": "DiBS"}
SHOWN = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="as vision.py was told (default %(default)s)")
    options = parser.parse_args()
    told = SimpleNamespace(seeds=options.seeds, quick=False)
    results = scenes({}, FOLDER / "scenes", told)
    found = {
        (row["example"], row["task"], row["method"]): np.asarray(Image.open(io.BytesIO(row["png"])).convert("RGB"))
        for row in results.pictures.to_dict("records")
    }
    tasks = [each["name"] for each in results.about["tasks"]]
    rows, names = [], []
    for example in range(SHOWN):
        for task in tasks:
            image = found[example, "", ""]
            rows.append([image, *(found[example, task, method] for method in METHODS)])
            names.append(task)
    sheet = pictures.sheet(rows, columns=["image", *METHODS.values()], names=names)
    write_atomically(PAGE, lambda path: path.write_bytes(pictures.png(sheet)))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()

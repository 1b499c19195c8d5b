"""Pictures of the generated data for the docs.

    python benchmarks/generated_pictures.py [folder]

writes generated-scenes.png and generated-attributes.png, to docs/pictures by default.
"""

import sys
from pathlib import Path

import numpy as np

from counterpoint.data.generated import Attributes, Scenes
from counterpoint.data.generated.attribute_images import attribute_images
from counterpoint.data.generated.factors import FACTORS, Draws
from counterpoint.data.pictures import image, picture, png, sheet

ROWS = (0, 5, 13, 28)
SIDE = 144


def scenes():
    source = Scenes(train_rows=max(ROWS) + 1, validation_rows=1, test_rows=1, height=96, width=96)
    split = source.splits()["train"]
    rows = []
    for row in ROWS:
        shown = [image(split.inputs[row].numpy())]
        shown += [picture(target, split.targets[target.name][row].numpy()) for target in source.targets]
        rows.append(shown)
    return sheet(rows, columns=["image", *(target.name for target in source.targets)], side=SIDE)


def attributes():
    """Above, rows of the data; below, one image with one factor at a time from low to high."""
    split = Attributes(train_rows=24, validation_rows=1, test_rows=1).splits()["train"]
    drawn = [image(shown) for shown in split.inputs.numpy()]
    first = sheet([drawn[:8], drawn[8:16], drawn[16:]], names=["rows of", "the train", "split"], side=96)
    levels = np.linspace(0.05, 0.95, 8, dtype=np.float32)
    rows = []
    for place in range(len(FACTORS)):
        factors = np.full((len(levels), len(FACTORS)), 0.5, dtype=np.float32)
        factors[:, FACTORS.index("angle")] = 0.3
        factors[:, place] = levels
        still = np.zeros((len(levels), 12), dtype=np.float32)
        draws = Draws(factors, still, np.zeros((len(levels), 40), dtype=bool), np.zeros((8, 3, 32, 32), np.float32))
        rows.append([image(shown) for shown in attribute_images(draws)])
    second = sheet(rows, names=list(FACTORS), side=96)
    width = max(first.shape[1], second.shape[1])
    padded = [
        np.pad(part, ((0, 8), (width - part.shape[1], 0), (0, 0)), constant_values=255) for part in (first, second)
    ]
    return np.concatenate(padded)


def main():
    default = Path(__file__).parents[1] / "docs" / "pictures"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    for name, made in (("generated-scenes", scenes()), ("generated-attributes", attributes())):
        path = folder / f"{name}.png"
        path.write_bytes(png(made))
        print(f"{path.name}: {made.shape[1]} x {made.shape[0]} pixels, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()

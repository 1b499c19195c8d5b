"""Small folders in the layouts of real data, with what should be read from them."""

import numpy as np
from PIL import Image

NAMES = ["Bald", "Smiling", "Young"]


def save16(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint16)).save(path)


def save8(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)


def celeba(root, parts=(0, 0, 0, 1, 1, 2, 2, 2)):
    """Images of one colour, as JPEG keeps it; returns the attributes as 0 and 1."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (len(parts), len(NAMES)))
    (root / "img_align_celeba").mkdir(parents=True)
    for row in range(len(parts)):
        save8(root / "img_align_celeba" / f"{row + 1:06}.jpg", np.full((22, 18, 3), 20 * row + 10))
    lines = [str(len(parts)), " ".join(NAMES) + " "]
    lines += [f"{row + 1:06}.jpg " + " ".join(f"{2 * own - 1:2d}" for own in values[row]) for row in range(len(parts))]
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (root / "list_eval_partition.txt").write_text(
        "".join(f"{row + 1:06}.jpg {part}\n" for row, part in enumerate(parts))
    )
    return values


def cityscapes(root, height=16, width=32):
    """Three training cities with two images, one city to test on; returns the arrays by key."""
    rng = np.random.default_rng(1)
    wrote = {}
    for split, cities in {"train": ("aachen", "bochum", "ulm"), "val": ("lindau",)}.items():
        for city in cities:
            for number in range(2):
                key = f"{city}/{city}_{number:06}_000019"
                image = rng.integers(0, 256, (height, width, 3))
                labels = rng.choice([0, 6, 7, 11, 17, 21, 23, 29], (height, width))
                instances = labels.copy()
                for place, (label, instance) in enumerate(
                    [(26, 26000), (26, 26001), (24, 24003), (33, 33), (29, 29000)]
                ):
                    box = np.s_[2 : 11 - place, 6 * place : 6 * place + 5]
                    labels[box], instances[box] = label, instance
                disparity = rng.choice([0, 1, 257, 2561, 20000], (height, width))
                stem = str(root / "{}" / split / key)
                for folder, ending, values, save in [
                    ("leftImg8bit", "_leftImg8bit.png", image, save8),
                    ("gtFine", "_gtFine_labelIds.png", labels, save8),
                    ("gtFine", "_gtFine_instanceIds.png", instances, save16),
                    ("disparity", "_disparity.png", disparity, save16),
                ]:
                    save(type(root)(stem.format(folder) + ending), values)
                wrote[key] = {"image": image, "labels": labels, "instances": instances, "disparity": disparity}
    return wrote


def nyuv2(root, rows=(6, 3), height=12, width=16, first=False):
    """Returns the arrays by split and row."""
    rng = np.random.default_rng(2)
    wrote = {}
    for split, count in zip(("train", "val"), rows, strict=True):
        for row in range(count):
            normals = rng.normal(size=(height, width, 3))
            normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
            normals[:2] = 0
            arrays = {
                "image": rng.random((height, width, 3)).astype(np.float32),
                "label": rng.integers(-1, 13, (height, width)).astype(np.float32),
                "depth": (rng.random((height, width, 1)) * 9 * (rng.random((height, width, 1)) > 0.2)).astype(
                    "float32"
                ),
                "normal": normals.astype(np.float32),
            }
            for kind, array in arrays.items():
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                np.save(
                    root / split / kind / f"{row}.npy",
                    np.moveaxis(array, -1, 0) if first and kind != "label" else array,
                )
            wrote[split, row] = arrays
    return wrote


DOMAINS = {
    "rgb": "rgb",
    "segment_semantic": "segmentsemantic",
    "depth_zbuffer": "depth_zbuffer",
    "normal": "normal",
    "keypoints2d": "keypoints2d",
    "edge_texture": "edge_texture",
}


def taskonomy(root, buildings=("allensville", "beechwood", "coffeen", "darden"), views=2, size=16):
    """Returns the arrays by ``BUILDING/point_P_view_V``."""
    rng = np.random.default_rng(3)
    wrote = {}
    for building in buildings:
        for view in range(views):
            key = f"{building}/point_7_view_{view}"
            arrays = {
                "rgb": rng.integers(0, 256, (size, size, 3)),
                "segment_semantic": rng.integers(0, 18, (size, size)),
                "depth_zbuffer": rng.choice([1, 512, 5120, 65535], (size, size)),
                "normal": rng.choice([[128, 128, 0], [128, 128, 255], [255, 128, 128], [128, 128, 128]], (size, size)),
                "keypoints2d": rng.integers(0, 65536, (size, size)),
                "edge_texture": rng.integers(0, 65536, (size, size)),
            }
            for domain, array in arrays.items():
                eight = domain in {"rgb", "segment_semantic", "normal"}
                path = root / domain / f"{key}_domain_{DOMAINS[domain]}.png"
                (save8 if eight else save16)(path, array)
            wrote[key] = arrays
    return wrote

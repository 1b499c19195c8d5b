"""Small dense outputs and targets with missing pixels, and what loops over pixels make of them."""

import numpy as np
import torch

CLASSES, HEIGHT, WIDTH = 4, 3, 5
CHANNELS = {"segmentation": CLASSES, "offsets": 2, "depth": 1, "normals": 3, "map": 1}


def maps(kind, rows=6, seed=0, missing=0.3, dtype=torch.float64):
    """Outputs and targets of a kind; so many of the pixels have no label."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(rows, CHANNELS[kind], HEIGHT, WIDTH, generator=generator, dtype=dtype)
    unknown = torch.rand(rows, HEIGHT, WIDTH, generator=generator) < missing
    if kind == "segmentation":
        classes = torch.randint(0, CLASSES, (rows, HEIGHT, WIDTH), generator=generator)
        return outputs, classes.masked_fill(unknown, -100)
    targets = torch.randn(rows, CHANNELS[kind], HEIGHT, WIDTH, generator=generator, dtype=dtype)
    if kind == "normals":
        targets = torch.nn.functional.normalize(targets, dim=1)
    if kind == "depth":
        targets = targets.abs() + 0.1
    return outputs, targets.masked_fill(unknown.unsqueeze(1), torch.nan)


def pixels(outputs, targets):
    """Output and target of each labelled pixel, one after the other, as numpy arrays in double precision."""
    outputs, targets = outputs.double().numpy(), targets.numpy()
    for row, y, x in np.ndindex(outputs.shape[0], *outputs.shape[2:]):
        target = targets[row, y, x] if targets.ndim == 3 else targets[row, :, y, x].astype(np.float64)
        if (target != -100) if targets.ndim == 3 else not np.isnan(target).any():
            yield outputs[row, :, y, x], target


def surprise(output, target):
    return np.log(np.exp(output).sum()) - output[target]


def distance(output, target):
    return np.abs(output - target).mean()


def one_minus_cosine(output, target):
    return 1 - output @ target / np.linalg.norm(output) / np.linalg.norm(target)


def degrees(output, target):
    return np.degrees(np.arccos(np.clip(1 - one_minus_cosine(output, target), -1, 1)))


OF_A_PIXEL = {
    "segmentation": surprise,
    "offsets": distance,
    "depth": distance,
    "normals": one_minus_cosine,
    "map": distance,
}

"""Small images with dense labels, some missing, as rows that are made when they are asked for."""

import torch
from torch import nn

from counterpoint import MGDA, FanOut, MultiTaskModel, Task
from counterpoint.data import Batches, Split
from counterpoint.training import FitSettings, MultiTaskModule

SIZE, CLASSES = 6, 3
TASKS = ("scene", "depth", "normals")
NAMES = ("train", "validation", "test")


def images(rows=20, seed=0):
    """The class, depth and normal of a pixel are read off its colours."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, 3, SIZE, SIZE, generator=generator)
    unknown = torch.rand(rows, SIZE, SIZE, generator=generator) < 0.3
    targets = {
        "scene": x.argmax(1).masked_fill(unknown, -100).to(torch.int8),
        "depth": (x.sum(1, keepdim=True) + 1).masked_fill(unknown[:, None], torch.nan),
        "normals": nn.functional.normalize(x - 0.5, dim=1).masked_fill(unknown[:, None], torch.nan),
    }
    return Split(x, targets)


class Decoded:
    """The same rows, made anew whenever they are asked for."""

    def __init__(self, split, identity="rows", asked=None):
        self.split, self.identity = split, identity
        self.asked = [] if asked is None else asked

    def __len__(self):
        return len(self.split)

    def only(self, tasks):
        return Decoded(self.split.only(tasks), self.identity, self.asked)

    def rows(self, index):
        batch = self.split.rows(index)
        self.asked.append(len(batch[0]))
        return batch

    def batches(self, size, *, shuffle_seed=None, rank=0, ranks=1):
        return Batches(self, size, shuffle_seed, rank, ranks)


def tasks(**options):
    return [
        Task.segmentation("scene", CLASSES, **options),
        Task.depth("depth", **options),
        Task.normals("normals", **options),
    ]


def module(weighting=None, names=TASKS, own=None, reduce=None, **options):
    torch.manual_seed(0)
    outputs = {"scene": CLASSES, "depth": 1, "normals": 3}
    heads = {name: nn.Conv2d(8, outputs[name], 1) for name in names}
    encoder = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Tanh())
    model = MultiTaskModel(encoder, heads, FanOut(weighting or MGDA(), list(names), reduce=reduce))
    return MultiTaskModule(model, own or [task for task in tasks() if task.name in names], **{"lr": 0.02, **options})


def settings(**changes):
    given = {"epochs": 2, "batch_size": 5, "progress_bar": False, "logs": False, "record_every": 2}
    return FitSettings(**{**given, **changes})

"""The parts of a network that a recipe names: encoder, heads, tasks."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoint import models
from counterpoint.data.images import ImageTarget
from counterpoint.study.module_maker import made
from counterpoint.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterpoint.study.recipes.recipe import Changed

_ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "resnet": models.ResNet,
    "unet": models.UNet,
    "lenet": models.LeNetEncoder,
}
_HEADS: dict[str, Callable[..., nn.Module]] = {
    "linear": models.LinearHead,
    "conv": models.ConvHead,
    "aspp": models.ASPPHead,
    "pyramid": models.PyramidHead,
    "scales": models.ScalesHead,
    "lenet": models.LeNetHead,
}

# What modules raise that are given something else than they expect.
_MISFITS = (ValueError, RuntimeError, TypeError, AttributeError, LookupError, AssertionError)


@dataclass(frozen=True)
class Parts:
    """Makes encoder, heads and tasks anew for each training; can be pickled.

    Attributes:
        encoder_said: What the recipe says of the encoder.
        head_said: What it says of heads.
        targets: What images are labelled with, by task; a number stands for that many classes of a whole image.
        channels: Channels of the features, several where they are.
        sizes: Height and width of dense targets, by task.
        units: What metrics are divided by in averages, by task.
        losses: Changed losses by task.
    """

    encoder_said: Mapping[str, Any]
    head_said: Mapping[str, Any]
    targets: Mapping[str, ImageTarget | int]
    channels: int | tuple[int, ...] = 0
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, Changed] = field(default_factory=dict)

    def encoder(self, tasks: Sequence[str]) -> nn.Module:  # noqa: ARG002  (the same for all)
        """A fresh encoder."""
        return _built("encoder", self.encoder_said, _ENCODERS, {})

    def head(self, task: str) -> nn.Module:
        """A fresh head for a task."""
        target = self.targets[task]
        outputs = target if isinstance(target, int) else target.outputs
        said = self.head_said
        if not {"name", "class_path"} & set(said):
            kind = "classes" if isinstance(target, int) else target.kind
            if kind not in said and "default" not in said:
                raise ValueError(f"head has nothing for {kind!r}, expected a head for it or a default")
            said = said.get(kind, said.get("default"))
            if not isinstance(said, Mapping):
                raise ValueError(f"head has {said!r} for {kind!r}, expected a name such as linear, with its options")
        given = {"channels": self.channels, "outputs": outputs, "classes": outputs, "features": self.channels}
        if task in self.sizes:
            given["size"] = self.sizes[task]
        return _built("head", said, _HEADS, given)

    def task(self, name: str) -> Task:
        """A fresh task."""
        target = self.targets[name]
        if isinstance(target, int):
            task = Task.classification(name, target)
        elif target.kind == "segmentation":
            task = Task.segmentation(name, len(target.classes))
        elif target.kind == "binary":
            task = Task.binary(name, metric="accuracy")
        else:
            task = {"offsets": Task.offsets, "depth": Task.depth, "normals": Task.normals, "map": Task.map}[
                target.kind
            ](name)
        partial = False if isinstance(target, int) else target.partial
        task = replace(task, unit=self.units.get(name, task.unit), partial=partial)
        change = self.losses.get(name)
        return task if change is None else task.rescaled(change.factor, change.power)

    def fitted(self, inputs: Tensor, targets: Mapping[str, Tensor]) -> Parts:
        """The same, for features and targets of the shapes that these rows have.

        Args:
            inputs: A few images [n, 3, H, W].
            targets: Their targets, without which units stay 1.

        Raises:
            ValueError: if encoder and heads do not fit together, or not to the images.
        """
        torch.manual_seed(0)
        sizes = {name: (int(own.shape[-2]), int(own.shape[-1])) for name, own in targets.items() if own.dim() > 2}
        units = {
            name: unit
            for name, target in self.targets.items()
            if isinstance(target, ImageTarget) and (unit := unit_of(target, targets[name])) is not None
        }
        encoder = self.encoder(tuple(self.targets)).eval()
        try:
            with torch.no_grad():
                features = encoder(inputs[:1])
        except _MISFITS as error:
            shape = " x ".join(map(str, inputs.shape[1:]))
            raise ValueError(f"the encoder does not take images of {shape}: {' '.join(str(error).split())}") from None
        several = isinstance(features, tuple | list)
        if not all(isinstance(own, Tensor) and own.dim() > 1 for own in (features if several else [features])):
            raise ValueError(f"the encoder returns {type(features).__name__}, expected features [B, ...], or a tuple")
        channels = tuple(int(own.shape[1]) for own in features) if several else int(features.shape[1])
        fitted = replace(self, channels=channels, sizes=sizes, units=units)
        for name in self.targets:
            head = fitted.head(name).eval()
            try:
                with torch.no_grad():
                    output = head(features)
            except _MISFITS as error:
                raise ValueError(
                    f"the head of {name!r} does not take what the encoder returns: {' '.join(str(error).split())}"
                ) from None
            if not isinstance(output, Tensor):
                raise ValueError(f"the head of {name!r} returns {type(output).__name__}, expected a tensor")  # noqa: TRY004
            if name in sizes and tuple(output.shape[-2:]) != sizes[name]:
                raise ValueError(
                    f"the head of {name!r} returns {tuple(output.shape[-2:])} pixels, expected {sizes[name]} as its "
                    "targets have"
                )
        return fitted

    def check_single_row(self, inputs: Tensor, batches: str) -> None:
        """Trains on one image, nearly: hours later, the last batch of an epoch would be the first to tell.

        Args:
            inputs: A few images [n, 3, H, W].
            batches: What leaves one image over, in words.

        Raises:
            ValueError: if encoder or heads cannot normalize over a single image.
        """
        torch.manual_seed(0)
        try:
            with torch.no_grad():
                features = self.encoder(tuple(self.targets)).train()(inputs[:1])
                for name in self.targets:
                    self.head(name).train()(features)
        except ValueError:
            raise ValueError(
                f"{batches} have one of a single image, which batch normalization cannot take, expected another "
                "batch_size under fit"
            ) from None

    def describe(self) -> str:
        """In words."""
        return f"encoder {_words(self.encoder_said)}; a head a task, {_words(self.head_said)}"


def unit_of(target: ImageTarget, values: Tensor) -> float | None:
    """The error of the best constant prediction on some rows: what an error of 1 means when tasks are averaged.

    Args:
        target: What is measured.
        values: Targets of these rows.

    Returns:
        ``None`` for accuracies and the like, which are between 0 and 1 anyway, and where nothing is known.

    Example:
        >>> depth = ImageTarget("depth", "depth")
        >>> unit_of(depth, torch.tensor([1.0, 2.0, 6.0]).reshape(1, 1, 1, 3))
        1.6666666269302368
    """
    if target.kind in {"binary", "segmentation"}:
        return None
    channels = values.shape[1]
    pixels = values.movedim(1, -1).reshape(-1, channels)
    pixels = pixels[~pixels.isnan().any(1)]
    if not len(pixels):
        return None
    if target.kind == "normals":
        mean = nn.functional.normalize(pixels.mean(0), dim=0)
        unit = float((pixels @ mean).clamp(-1, 1).arccos().rad2deg().mean())
    else:
        unit = float((pixels - pixels.median(0).values).abs().mean())
    return unit if unit > 0 else None


def _built(
    what: str, said: Mapping[str, Any], known: Mapping[str, Callable[..., nn.Module]], given: Mapping[str, Any]
) -> nn.Module:
    if "class_path" in said:
        args = said.get("init_args") or {}
        if not isinstance(args, Mapping):
            raise ValueError(f"{what} has init_args: {args!r}, expected names with values")
        own = {key: given[key] for key in ("channels", "outputs") if key in given}
        args = {**_taken(str(said["class_path"]), own), **args}
        return made({"class_path": said["class_path"], "init_args": args}, what)()
    name = str(said.get("name"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{what} is {name!r}, expected {', '.join(known)}, or a class_path{hint}")
    make = known[name]
    takes = inspect.signature(make).parameters
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items() if key != "name"}
    if unknown := [key for key in options if key not in takes]:
        raise ValueError(f"{what} {name!r} has no option {unknown[0]!r}, expected {', '.join(takes)}")
    try:
        return make(**{**{key: value for key, value in given.items() if key in takes}, **options})
    except TypeError as error:
        raise ValueError(f"{what} {name!r}: {error}") from None


def _taken(class_path: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody's class has a name for: torch.nn.Linear calls channels in_features."""
    home, _, name = class_path.rpartition(".")
    try:
        takes = inspect.signature(getattr(importlib.import_module(home), name)).parameters.values()
    except (ImportError, AttributeError, ValueError, TypeError):
        return dict(given)  # whoever builds it says what is wrong
    if any(each.kind is each.VAR_KEYWORD for each in takes):
        return dict(given)
    return {key: value for key, value in given.items() if key in {each.name for each in takes}}


def _words(said: Mapping[str, Any]) -> str:
    if "class_path" in said:
        return str(said["class_path"])
    if "name" not in said:
        return ", ".join(f"{kind}: {_words(own)}" for kind, own in said.items())
    options = ", ".join(f"{key} {value}" for key, value in said.items() if key != "name")
    return f"{said['name']} ({options})" if options else str(said["name"])

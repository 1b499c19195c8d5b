"""The parts of a network that a recipe names: what fits together, and what is said of what does not."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from counterpoint import Task
from counterpoint.data.images import ImageTarget
from counterpoint.study.recipes.image_source import source_of
from counterpoint.study.recipes.parts import Parts, unit_of
from counterpoint.study.recipes.recipe import Changed, load_recipe


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("digits", tiny=True)


def test_a_last_batch_of_one_image_is_refused_before_hours_of_training():
    changes = {
        "data": {"source": "scenes", "train_rows": 17, "validation_rows": 2, "test_rows": 2, "height": 32, "width": 32},
        "encoder": {"name": "resnet", "depth": 18, "width": 4, "dilated": True, "output": "map", "stem": "small"},
        "head": {"name": "pyramid", "hidden": 4},
    }
    with pytest.raises(
        ValueError, match=r"batches of 8 of 17 training images have one of a single image, .* batch_size"
    ):
        source_of(load_recipe("scenes", {**changes, "fit": {"batch_size": 8}}), None)
    source_of(load_recipe("scenes", {**changes, "fit": {"batch_size": 9}}), None)


def test_changed_losses_keep_metrics_and_units():
    target = ImageTarget("depth", "depth")
    parts = Parts({}, {}, {"depth": target}, units={"depth": 2.0}, losses={"depth": Changed(factor=1000, power=4)})
    task = parts.task("depth")
    outputs, truth = torch.full((2, 1, 2, 2), 3.0), torch.ones(2, 1, 2, 2)
    plain = Task.depth("depth").loss(outputs, truth)
    assert float(task.loss(outputs, truth)) == pytest.approx(1000 * float(plain) ** 4)
    assert float(task.metric(outputs, truth)) == pytest.approx(2.0)
    assert task.unit == 2.0


def test_units_are_errors_of_the_best_constant():
    values = torch.tensor([1.0, 2.0, 6.0, math.nan]).reshape(1, 1, 2, 2)
    assert unit_of(ImageTarget("d", "depth"), values) == pytest.approx(np.abs(np.array([1, 2, 6]) - 2).mean())
    normals = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).T.reshape(1, 3, 1, 2)
    assert unit_of(ImageTarget("n", "normals"), normals) == pytest.approx(45.0, abs=1e-3)
    assert unit_of(ImageTarget("s", "segmentation", classes=("a", "b")), torch.zeros(1, 2, 2, dtype=torch.int8)) is None
    assert unit_of(ImageTarget("d", "depth"), torch.full((1, 1, 2, 2), math.nan)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"name": "resnett"}}, r"encoder is 'resnett', expected .*did you mean 'resnet'\?"),
        ({"encoder": {"name": "lenet", "depth": 3}}, "encoder 'lenet' has no option 'depth'"),
        ({"encoder": {"name": "unet"}}, "the encoder does not take images of 1 x 36 x 36: "),
        ({"head": {"name": "aspp"}}, "the head of 'left' does not take what the encoder returns"),
        ({"data": {"source": "digit"}}, r"no data are called 'digit', expected .*did you mean 'digits'\?"),
        ({"data": {"source": "digits", "rows": 3}}, "data 'digits' have no option 'rows', expected train_rows"),
        ({"tasks": ["left", "middle"]}, "the data have no task 'middle', expected among left, right"),
        ({"tasks": ["left", "left"]}, "task 'left' is given twice"),
        ({"losses": {"middle": {"power": 2}}}, "the data have no task 'middle'"),
        ({"encoder": {"class_path": "torch.nn.Flatten", "init_args": 3}}, "encoder has init_args: 3"),
        (
            {"encoder": {"class_path": "torch.nn.LSTM", "init_args": {"input_size": 36, "hidden_size": 2}}},
            "the encoder does not take",
        ),
        ({"encoder": {"class_path": "torch.nn.Nothing"}}, "cannot import 'torch.nn.Nothing'"),
    ],
)
def test_parts_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        source_of(load_recipe("digits", changes, tiny=True), None)
    assert "\n" not in str(caught.value)


def test_heads_by_kind_of_target(recipe):
    by_kind = replace(recipe, head={"segmentation": {"name": "aspp"}, "classes": {"name": "lenet"}})
    assert type(source_of(by_kind, None).head("left")).__name__ == "LeNetHead"
    with pytest.raises(ValueError, match="head has nothing for 'classes', expected a head for it or a default"):
        source_of(replace(recipe, head={"segmentation": {"name": "aspp"}}), None)
    with pytest.raises(ValueError, match="head has 'linear' for 'classes', expected a name such as linear, with its"):
        source_of(replace(recipe, head={"default": "linear"}), None)


def test_an_encoder_by_class_path(recipe, tmp_path, monkeypatch):
    """As somebody who has torchvision says ``class_path: torchvision.models.resnet50``: a function in a package."""
    (tmp_path / "visionlike.py").write_text(
        "import torch\n"
        "def tower(width):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36 * 36, width))\n"
        "class Named(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return {'out': x}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = {"class_path": "visionlike.tower", "init_args": {"width": 7}}
    source = source_of(replace(recipe, encoder=said, head={"name": "linear"}), None)
    module = source.build(source.tasks, "mgda", 0)
    assert module.model(torch.zeros(2, 1, 36, 36))["left"].shape == (2, 10)
    linear = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 7, "out_features": 10}}
    assert type(source_of(replace(recipe, encoder=said, head=linear), None).head("left")).__name__ == "Linear"
    with pytest.raises(ValueError, match=r"the encoder returns dict, expected features \[B, ...\], or a tuple"):
        source_of(replace(recipe, encoder={"class_path": "visionlike.Named"}), None)
    assert module.model.heads["left"].linear.in_features == 7

"""Five dense tasks at once, and features of several scales, through a recipe's parts."""

from dataclasses import replace

import pytest
import torch

from counterpoint.study.recipes.image_source import source_of
from counterpoint.study.recipes.recipe import load_recipe
from counterpoint.training import fit

FIVE = ("segmentation", "offsets", "depth", "normals", "edges")


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("scenes", {"tasks": list(FIVE)}, tiny=True)


def test_five_dense_tasks_train_together(recipe, tmp_path):
    source = source_of(recipe, None)
    module = source.build(source.tasks, "mgda", 0)
    settings = replace(source.fit, progress_bar=False, logs=False)
    result = fit(module, source.splits(source.tasks), settings, tmp_path)
    assert set(result.test) == set(FIVE)
    assert {name: len(values) for name, values in result.test.items()} == {
        "segmentation": 3,  # loss, metric, pixel accuracy
        "offsets": 2,
        "depth": 3,
        "normals": 6,
        "edges": 2,
    }
    weights = module.model.fan_out.last.weights
    assert float(weights.sum()) == pytest.approx(1.0)


def test_errors_count_in_units_of_the_best_constant(recipe):
    """Else degrees would choose the epoch, and mIoU would not matter."""
    source = source_of(recipe, None)
    units = {name: source.task(name).unit for name in FIVE}
    assert units["segmentation"] == 1.0
    assert 1.0 < units["depth"] < 5.0, "metres"
    assert 1.0 < units["offsets"] < 20.0, "pixels"
    assert 10.0 < units["normals"] < 90.0, "degrees"


def test_four_scales_under_one_fan_out(recipe):
    several = replace(
        recipe,
        encoder={"name": "resnet", "depth": 18, "width": 8, "stem": "small", "output": "scales"},
        head={"name": "scales", "hidden": 4},
    )
    source = source_of(several, None)
    inputs, targets = source.splits(FIVE)["train"].rows(slice(0, 4))
    plain, balanced = source.build(FIVE, "uniform", 0), source.build(FIVE, "mgda", 0)
    gradients = []
    for module in (plain, balanced):
        module.model.fan_out.sum(module.losses_of((inputs, targets))).backward()
        gradients.append(
            torch.cat([p.grad.reshape(-1) for p in module.model.encoder.parameters() if p.grad is not None])
        )
    assert len(plain.model.fan_out.last.tasks) == 5
    assert not torch.allclose(*gradients)
    alone = source.build(FIVE, "uniform", 0)
    alone.model.fan_out.eval()  # hands the features on: plain autograd
    sum(alone.losses_of((inputs, targets)).values()).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in alone.model.encoder.parameters() if p.grad is not None])
    torch.testing.assert_close(gradients[0], expected, rtol=1e-4, atol=1e-6)

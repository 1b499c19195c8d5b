"""Dense tasks train on any rows, and what is counted of them is over all labelled pixels."""

import pandas as pd
import pytest
import torch

from counterpoint import Task
from counterpoint.data import Rows, Split
from counterpoint.training import TrajectoryCallback, fit
from counterpoint.training.counting import Counts
from counterpoint.training.predictions import predict_split

from .image_trainings import CLASSES, NAMES, TASKS, Decoded, images, module, settings, tasks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A module trained on images in memory, and what came of it."""
    folder, own = tmp_path_factory.mktemp("trained"), module()
    return own, fit(own, dict.fromkeys(NAMES, images()), settings(logs=True), folder), folder


def by_hand(own, split):
    """Losses and metrics of all rows at once."""
    own.eval()
    with torch.no_grad():
        outputs = own.model(split.inputs)
    found = {}
    for name, task in own.tasks.items():
        metrics = {"metric": task.metric, **task.others}
        found[name] = {"loss": float(task.loss(outputs[name], split.targets[name]))}
        found[name] |= {which: float(metric(outputs[name], split.targets[name])) for which, metric in metrics.items()}
    return found


def test_results_hold_every_metric_of_all_labelled_pixels(trained):
    own, result, _ = trained
    expected = by_hand(own, images())
    assert set(result.test["normals"]) == {
        "loss", "metric", "median angle", "within 11.25", "within 22.5", "within 30",
    }  # fmt: skip
    for found in (result.test, result.validation):
        assert set(found) == set(TASKS)
        for name, values in expected.items():
            assert found[name] == pytest.approx(values, rel=1e-5)


def test_every_metric_is_logged(trained):
    _, result, folder = trained
    logged = pd.read_csv(folder / "csv" / "metrics.csv")
    names = {"validation/mIoU/scene", "validation/pixel accuracy/scene", "test/relative error/depth", "test/loss/depth"}
    assert names <= set(logged)
    last = logged["test/relative error/depth"].dropna().iloc[-1]
    assert last == pytest.approx(result.test["depth"]["relative error"], rel=1e-6)
    assert set(result.history.quantity) == {"loss", "metric", "weight", "cosine"}


def test_rows_that_are_decoded_when_asked_train_as_rows_in_memory(trained, tmp_path):
    own, rows = module(), {name: Decoded(images()) for name in NAMES}
    assert isinstance(rows["train"], Rows)
    result = fit(own, rows, settings(), tmp_path)
    assert result.test == trained[1].test
    for one, other in zip(own.parameters(), trained[0].parameters(), strict=True):
        assert torch.equal(one, other)
    assert rows["train"].asked == [5] * 8  # nothing else is decoded: not to check labels, not to tell rows apart
    assert rows["test"].asked == [20]
    decoded, known = predict_split(own, rows["test"], 8), predict_split(own, images(), 8)
    for name in TASKS:
        assert torch.equal(decoded[name], known[name])


def test_looks_at_rows_that_are_decoded_are_looks_at_the_same_rows():
    looks = [TrajectoryCallback(rows, rows=7).measures.train for rows in (images(), Decoded(images()))]
    assert torch.equal(looks[0][0], looks[1][0])
    assert len(looks[0][0]) == 7


class InterruptionError(Exception):
    pass


def interrupted(folder, rows):
    cut = module()

    def fail(*_):
        if cut.current_epoch == 1:
            raise InterruptionError

    cut.on_train_batch_start = fail
    with pytest.raises(InterruptionError):
        fit(cut, rows, settings(checkpoint_seconds=0.0), folder)


@pytest.mark.parametrize(("identity", "epochs"), [("rows", 1), ("other rows", 2)])
def test_a_training_goes_on_with_the_same_rows_only(trained, tmp_path, identity, epochs):
    interrupted(tmp_path, {name: Decoded(images()) for name in NAMES})
    rows = {name: Decoded(images(), identity) for name in NAMES}
    result = fit(module(), rows, settings(checkpoint_seconds=0.0), tmp_path, resume=True)
    assert rows["train"].asked == [5] * 4 * epochs
    assert result.test == trained[1].test


def test_losses_of_batches_are_averaged_over_pixels():
    """Where one image has one label and another has all, the mean over images is something else."""
    split = images(4)
    split.targets["depth"][0] = torch.nan
    split.targets["depth"][0, 0, 0, 0] = 2.0
    task, outputs = Task.depth("depth"), torch.zeros(4, 1, 6, 6)
    counts = Counts([task], alone=True)
    counts.start()
    for row in range(4):
        own, labels = outputs[row : row + 1], split.targets["depth"][row : row + 1]
        counts.add({"depth": own}, {"depth": labels}, {"depth": task.loss(own, labels)})
    found = counts.results()["depth"]
    assert found["loss"] == pytest.approx(float(task.loss(outputs, split.targets["depth"])), rel=1e-6)
    assert found["loss"] == pytest.approx(found["metric"], rel=1e-6)


def test_a_pass_without_any_labelled_pixel_says_nothing():
    task, nothing = Task.segmentation("scene", CLASSES), torch.full((2, 6, 6), -100, dtype=torch.int8)
    counts = Counts([task], alone=True)
    outputs = torch.zeros(2, CLASSES, 6, 6)
    counts.add({"scene": outputs}, {"scene": nothing}, {"scene": task.loss(outputs, nothing)})
    assert counts.results() == {}


def without(split, rows, names):
    """The same without labels in some rows."""
    targets = {name: own.clone() for name, own in split.targets.items()}
    for name in names:
        targets[name][rows] = -100 if name == "scene" else torch.nan
    return Split(split.inputs, targets)


def test_missing_pixels_and_images_are_no_mistake_but_no_labels_at_all_are(tmp_path):
    some = without(images(), slice(0, 5), ["depth"])  # a whole batch of validation has none
    result = fit(module(), dict.fromkeys(NAMES, some), settings(epochs=1), tmp_path)
    assert all(torch.isfinite(torch.tensor(list(own.values()))).all() for own in result.test.values())
    none = without(images(), slice(None), TASKS)
    with pytest.raises(ValueError, match="no task has a label in the validation rows, expected some"):
        fit(module(), {"train": some, "validation": none, "test": some}, settings(), tmp_path)


def test_images_without_a_label_are_left_out_of_partial_tasks():
    split = without(images(8), slice(0, 3), ["depth"])
    partial = module(own=tasks(partial=True))
    _, targets, losses = partial.outputs_and_losses(split.rows(slice(None)))
    assert {name: len(own) for name, own in targets.items()} == {"scene": 8, "depth": 5, "normals": 8}
    torch.testing.assert_close(losses["depth"], module().losses_of(split.rows(slice(None)))["depth"])
    assert set(partial.losses_of(split.rows(slice(0, 3)))) == {"scene", "normals"}
    assert float(module().losses_of(split.rows(slice(0, 3)))["depth"].detach()) == 0


class Shares:
    """Stands for two processes that hold shares of the labels: this one, and one that has some more."""

    active, size = True, 2

    def __init__(self, group=None, others=None):
        self.group, self.others = group, others

    def sum(self, values):
        return values + torch.tensor(self.others, dtype=values.dtype)


def test_the_mean_over_processes_is_the_mean_over_all_labelled_pixels():
    """This process has some pixels of depth, the other one 1000 and no normals at all."""
    split, own = images(4), module()
    plain = own.losses_of(split.rows(slice(None)))
    own.shares_batches = True
    own.model.fan_out.ranks = Shares(others=[7.0, 1000.0, 0.0])
    own.model.fan_out.training = False  # nobody is there to meet
    own.training_step(split.rows(slice(None)), 0)
    here = {name: int(task.labels(split.targets[name])) for name, task in own.tasks.items()}
    everywhere = {"scene": here["scene"] + 7, "depth": here["depth"] + 1000, "normals": here["normals"]}
    for name, loss in own.losses.items():
        torch.testing.assert_close(loss, plain[name].detach() * 2 * here[name] / everywhere[name])
    assert here["normals"] == 3 * here["scene"]

"""Validation rows are judged at epochs that other rows chose."""

import lightning
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, root_mean_squared_error

from counterpoint import MultiTaskModel, Task
from counterpoint.data import Split
from counterpoint.training import CrossFit, FitSettings, MultiTaskModule, fit
from counterpoint.training.predictions import predict_split

TASKS = ["number", "class"]


def rows(count, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    number = x[:, 0] + torch.randn(count, generator=generator)
    number[::5] = torch.nan
    classes = (x[:, 1] + torch.randn(count, generator=generator) > 0).long() + (x[:, 2] > 1).long()
    return Split(x, {"number": number, "class": classes})


SPLITS = {"train": rows(60, 0), "validation": rows(51, 1), "test": rows(40, 2)}
SETTINGS = FitSettings(epochs=8, batch_size=4, progress_bar=False, logs=False, checkpoint_seconds=0)


def make_module():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU())
    model = MultiTaskModel(encoder, {"number": torch.nn.Linear(16, 1), "class": torch.nn.Linear(16, 3)})
    tasks = [Task.regression("number", unit=2.0, partial=True), Task.classification("class", 3)]
    return MultiTaskModule(model, tasks, lr=0.05)


class EveryEpoch(lightning.Callback):
    """Keeps the outputs of all epochs, and breaks off after one of them."""

    def __init__(self, last=None):
        self.outputs, self.last = [], last

    def on_validation_end(self, trainer, pl_module):
        if trainer.state.fn == "fit":
            self.outputs.append(predict_split(pl_module, SPLITS["validation"]))

    def on_train_epoch_end(self, trainer, pl_module):  # noqa: ARG002
        if trainer.current_epoch == self.last:
            raise RuntimeError("interrupted")


def score(outputs, chosen):
    number, classes = SPLITS["validation"].targets["number"], SPLITS["validation"].targets["class"]
    labelled = chosen & ~number.isnan()
    error = root_mean_squared_error(number[labelled], outputs["number"][labelled][:, 0])
    return (accuracy_score(classes[chosen], outputs["class"][chosen].argmax(1)) - error / 2.0) / 2


def test_each_half_is_judged_at_the_epoch_that_the_other_half_chose(tmp_path):
    cross, every = CrossFit(), EveryEpoch()
    fit(make_module(), SPLITS, SETTINGS, tmp_path, callbacks=[cross, every])
    even = torch.arange(51) % 2 == 0
    best = [int(np.argmax([score(outputs, half) for outputs in every.outputs])) for half in (even, ~even)]
    assert best[0] != best[1]  # else nothing is shown
    labelled = ~SPLITS["validation"].targets["number"].isnan()
    for task, keep in (("number", labelled), ("class", torch.ones(51, dtype=torch.bool))):
        expected = torch.where(even[:, None], every.outputs[best[1]][task], every.outputs[best[0]][task])
        torch.testing.assert_close(cross.outputs()[task], expected[keep])


def test_an_interrupted_training_ends_with_the_same_outputs(tmp_path):
    whole, half, rest = CrossFit(), CrossFit(), CrossFit()
    fit(make_module(), SPLITS, SETTINGS, tmp_path / "whole", callbacks=[whole])
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(make_module(), SPLITS, SETTINGS, tmp_path / "broken", callbacks=[half, EveryEpoch(5)], resume=True)
    seen = EveryEpoch()
    fit(make_module(), SPLITS, SETTINGS, tmp_path / "broken", callbacks=[rest, seen], resume=True)
    assert len(seen.outputs) < 8  # it was resumed
    for task in TASKS:
        assert torch.equal(rest.outputs()[task], whole.outputs()[task])


@pytest.mark.no_cover  # twelve trainings, whose lines the other tests run
def test_where_there_is_nothing_to_learn_nothing_is_gained_by_choosing(tmp_path):
    """Labels by chance: the best of many epochs looks better than chance on the rows that chose it."""
    flattered, honest = [], []
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(80, 4, generator=generator), torch.randint(2, (80,), generator=generator)
        splits = {
            name: Split(x[part], {"a": y[part]}) for name, part in (("train", slice(0, 16)), ("test", slice(70, 80)))
        }
        splits["validation"] = Split(x[16:70], {"a": y[16:70]})
        torch.manual_seed(seed)
        model = MultiTaskModel(torch.nn.Linear(4, 8), {"a": torch.nn.Linear(8, 2)})
        cross = CrossFit()
        settings = FitSettings(epochs=12, batch_size=2, progress_bar=False, logs=False, seed=seed)
        module = MultiTaskModule(model, [Task.classification("a", 2)], lr=0.3)
        result = fit(module, splits, settings, tmp_path / str(seed), callbacks=[cross])
        flattered.append(result.validation["a"]["metric"])
        honest.append(accuracy_score(y[16:70], cross.outputs()["a"].argmax(1)))
    error = 0.5 / np.sqrt(54 * 12)
    assert np.mean(flattered) > 0.5 + 2 * error
    assert abs(np.mean(honest) - 0.5) < 2.5 * error


def test_before_a_training_there_is_nothing():
    with pytest.raises(RuntimeError, match="no epoch has ended yet"):
        CrossFit().outputs()

"""Rows without a label take no part: neither in the loss, nor in the metric, nor in the balance."""

import math
import warnings

import pytest
import torch
from torch import nn

from counterpoint import MGDA, FanOut, MultiTaskModel, Task, Uniform
from counterpoint.data import Split
from counterpoint.training import FitSettings, MultiTaskModule, fit
from counterpoint.training.counting import Score

TASKS = ["price", "cut"]


def tasks():
    return [Task.regression("price", partial=True), Task.classification("cut", 3, partial=True)]


def rows(count=48, seed=0, missing=0.4):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    price, cut = x.sum(1), x[:, :3].argmax(1)
    price[torch.rand(count, generator=generator) < missing] = math.nan
    cut[torch.rand(count, generator=generator) < missing] = -100
    return Split(x, {"price": price, "cut": cut})


def model(weighting=None, dtype=torch.float64):
    torch.manual_seed(0)
    heads = {"price": nn.Linear(5, 1), "cut": nn.Linear(5, 3)}
    encoder = nn.Sequential(nn.Linear(4, 5), nn.Tanh())
    return MultiTaskModel(encoder, heads, FanOut(weighting or Uniform(), TASKS)).to(dtype)


def naive_losses(outputs, targets):
    """Masks by multiplication: nothing is selected."""
    known = ~targets["price"].isnan()
    errors = outputs["price"][:, 0] - targets["price"].nan_to_num()
    labels = targets["cut"].clamp(min=0)
    scores = outputs["cut"].log_softmax(1).gather(1, labels[:, None])[:, 0] * (targets["cut"] >= 0)
    return {
        "price": (errors.square() * known).sum() / known.sum() / 2,
        "cut": -scores.sum() / (targets["cut"] >= 0).sum(),
    }


def as_double(batch):
    x, targets = batch
    return x.double(), {"price": targets["price"].double(), "cut": targets["cut"]}


@pytest.mark.parametrize("weighting", [Uniform, MGDA])
def test_training_is_that_of_a_masked_loss(weighting):
    ours, plain = MultiTaskModule(model(weighting()), tasks(), lr=0.02), model(weighting())
    optimizers = ours.configure_optimizers(), torch.optim.Adam(plain.parameters(), lr=0.02)
    for batch in map(as_double, rows().batches(12)):
        for optimizer in optimizers:
            optimizer.zero_grad()
        ours.training_step(batch, 0).backward()
        ours.on_after_backward()
        expected = naive_losses(plain(batch[0]), batch[1])
        plain.fan_out.sum(expected).backward()
        for task in TASKS:
            torch.testing.assert_close(ours.losses[task], expected[task].detach(), rtol=1e-12, atol=0)
        for optimizer in optimizers:
            optimizer.step()
    for own, other in zip(ours.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-12)


def test_a_task_without_a_label_in_the_batch_takes_no_part():
    trained = MultiTaskModule(model(MGDA()), tasks())
    x, targets = as_double(rows().rows(slice(8)))
    trained.training_step((x, {**targets, "price": torch.full((8,), math.nan).double()}), 0).backward()
    assert trained.model.fan_out.last.present == ("cut",)
    assert trained.model.heads["price"].weight.grad is None
    nothing = {"price": torch.full((8,), math.nan), "cut": torch.full((8,), -100)}
    assert trained.training_step((x, nothing), 0) is None


def test_a_step_without_labels_is_no_step_of_the_history(tmp_path):
    """What was measured in the step before is not measured again, and nobody is asked whether this was on purpose."""
    x, price = torch.randn(6, 4), torch.tensor([1.0, *[math.nan] * 5])
    train = Split(x, {"price": price, "cut": torch.full((6,), -100)})
    splits = {"train": train, "validation": rows(), "test": rows()}
    trained = MultiTaskModule(model(MGDA(), dtype=torch.float32), tasks())
    settings = FitSettings(epochs=3, batch_size=1, progress_bar=False, logs=False, record_every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(trained, splits, settings, tmp_path).history
    found = history.query("split == 'train' and task == 'price'")
    assert sorted(found["quantity"]) == ["loss"] * 3 + ["weight"] * 3


def test_results_count_labelled_rows_alone(tmp_path):
    """Batches have different numbers of labels; what counts is the mean over labels."""
    splits = {name: rows(70, seed) for seed, name in enumerate(("train", "validation", "test"))}
    trained = MultiTaskModule(model(dtype=torch.float32), tasks(), lr=0.05)
    result = fit(trained, splits, FitSettings(epochs=2, batch_size=8, progress_bar=False), tmp_path)
    trained.eval()
    with torch.no_grad():
        outputs, targets = trained.model(splits["test"].inputs), splits["test"].targets
    for task, loss in naive_losses(outputs, targets).items():
        assert result.test[task]["loss"] == pytest.approx(float(loss), rel=1e-5)
    known = targets["cut"] >= 0
    accuracy = (outputs["cut"].argmax(1)[known] == targets["cut"][known]).double().mean()
    assert result.test["cut"]["metric"] == pytest.approx(float(accuracy))
    errors = (outputs["price"][:, 0] - targets["price"])[~targets["price"].isnan()]
    assert result.test["price"]["metric"] == pytest.approx(float(errors.square().mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize(
    ("split", "partial", "message"),
    [
        ("train", False, r"task 'price' lacks labels \(NaN or -100\) in \d+ of 48 train rows, expected all, or a task"),
        ("validation", True, "no task has a label in the validation rows, expected some"),
    ],
)
def test_labels_that_nobody_expects_to_lack_are_named(tmp_path, split, partial, message):
    """A loss passes over -100, and a metric counts it as wrong."""
    splits = {name: rows(missing=0.0) for name in ("train", "validation", "test")}
    splits[split] = rows(missing=1.1 if partial else 0.4)
    whole = [Task.regression("price", partial=partial), Task.classification("cut", 3, partial=partial)]
    trained = MultiTaskModule(model(dtype=torch.float32), whole)
    with pytest.raises(ValueError, match=message):
        fit(trained, splits, FitSettings(epochs=1, batch_size=16, progress_bar=False), tmp_path)


def scored(**metrics):
    made = [Task.regression("price", scale=4.0), Task.classification("cut", 3)]
    return Score(made), {name: {"loss": 1.0, "metric": metric} for name, metric in metrics.items()}


def test_the_score_is_in_the_tasks_units():
    score, results = scored(price=2.0, cut=0.9)
    assert score.of(results) == pytest.approx((-2.0 / 4.0 + 0.9) / 2)


def test_a_metric_that_is_not_defined_is_left_out_with_one_warning():
    score, results = scored(price=2.0, cut=math.nan)
    with pytest.warns(UserWarning, match=r"task 'cut': accuracy is not defined on the rows") as said:
        assert score.of(results) == pytest.approx(-0.5)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score.of(results)


@pytest.mark.parametrize("broken", [{"loss": math.nan, "metric": math.nan}, {"loss": 1.0, "metric": math.inf}])
def test_an_epoch_that_diverged_has_no_score(broken):
    score, results = scored(price=2.0, cut=0.9)
    assert math.isnan(score.of({**results, "cut": broken}))


def test_an_epoch_without_a_score_never_wins(tmp_path):
    """In the second epoch a task's outputs are NaN, while the other task is at its best."""

    class Diverges(MultiTaskModule):
        def validation_step(self, batch, _):
            outputs, targets, losses = self.outputs_and_losses(batch)
            if self.current_epoch == 1:
                outputs["price"], losses["price"] = outputs["price"] * math.nan, losses["price"] * math.nan
            self._counts["validation"][0].add(outputs, targets, losses)

    splits = dict.fromkeys(("train", "validation", "test"), rows())
    trained = Diverges(model(dtype=torch.float32), tasks(), lr=0.05)
    result = fit(trained, splits, FitSettings(epochs=3, batch_size=16, progress_bar=False), tmp_path)
    assert torch.load(result.checkpoint, weights_only=True)["epoch"] == 2
    result = fit(trained, splits, FitSettings(epochs=2, batch_size=16, progress_bar=False), tmp_path / "again")
    assert torch.load(result.checkpoint, weights_only=True)["epoch"] == 0

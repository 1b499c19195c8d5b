"""Training on Lightning learns, records what happened, and goes back to the best epoch."""

import pandas as pd
import pytest
import torch
from torch import nn

from counterpoint import MGDA, FanOut, MultiTaskModel, Task, Uniform
from counterpoint.data import Split
from counterpoint.training import FitSettings, MultiTaskModule, fit


def splits(rows=256):
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name in ("train", "validation", "test"):
        x = torch.randn(rows, 6, generator=generator)
        made[name] = Split(x, {"sign": (x[:, 0] > 0).long(), "sum": (x.sum(1) > 0).long()})
    return made


def module(weighting=None, seed=0, lr=1e-2, **options):
    torch.manual_seed(seed)
    names = ["sign", "sum"]
    encoder = nn.Sequential(nn.Linear(6, 16), nn.Tanh())
    model = MultiTaskModel(encoder, {n: nn.Linear(16, 2) for n in names}, FanOut(weighting or MGDA(), names, **options))
    return MultiTaskModule(model, [Task.classification(n, 2) for n in names], lr=lr)


def settings(**changes):
    return FitSettings(**{"epochs": 4, "batch_size": 32, "record_every": 4, "progress_bar": False, **changes})


def test_it_learns_records_logs_and_tests(tmp_path):
    shares = []
    trained = module()
    result = fit(trained, splits(), settings(), tmp_path, shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert all(scores["metric"] > 0.8 for scores in result.test.values())
    history = result.history
    train_steps = sorted(history[(history.split == "train") & (history.quantity == "loss")].step.unique())
    assert train_steps == [1, *range(4, 33, 4)]
    weights = history[history.quantity == "weight"].pivot_table(index="step", columns="task", values="value")
    assert (weights.sum(axis=1) - 1).abs().max() < 1e-6
    cosines = history[history.quantity == "cosine"]
    assert set(zip(cosines.task, cosines.other, strict=True)) == {("sign", "sum")}
    assert cosines.value.between(-1, 1).all()
    validation = history[history.split == "validation"]
    assert set(validation.quantity) == {"loss", "metric"}
    assert validation.groupby("quantity").size().tolist() == [8, 8]
    logged = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    assert {"train/loss/sign", "train/weight/sum", "validation/accuracy/sum", "validation/score"} <= set(logged)
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert result.checkpoint.is_file()


def test_the_best_epoch_is_tested_not_the_last(tmp_path):
    """With a learning rate that destroys the network, the first epochs are the best."""
    broken = module(Uniform(), lr=0.3)
    result = fit(broken, splits(), settings(epochs=6), tmp_path)
    metrics = result.history[(result.history.split == "validation") & (result.history.quantity == "metric")]
    by_epoch = metrics.groupby("epoch").value.mean()
    state = torch.load(result.checkpoint, weights_only=True)
    assert state["epoch"] == int(by_epoch.idxmax())
    for name, value in broken.state_dict().items():
        assert torch.equal(value, state["state_dict"][name])


def test_a_seed_decides_everything(tmp_path):
    results = [fit(module(), splits(), settings(epochs=1), tmp_path / str(i)).test for i in range(2)]
    assert results[0] == results[1]
    other = fit(module(seed=1), splits(), settings(epochs=1, seed=1), tmp_path / "other").test
    assert other != results[0]


def test_bf16(tmp_path):
    trained = module()
    result = fit(trained, splits(), settings(epochs=2, precision="bf16"), tmp_path)
    assert all(scores["metric"] > 0.7 for scores in result.test.values())
    assert trained.model.fan_out.last.gram.dtype == torch.float64
    assert next(trained.parameters()).dtype == torch.float32


def test_tasks_without_labels_in_a_batch_take_no_part():
    trained = module()
    x = torch.randn(8, 6)
    trained.training_step((x, {"sum": torch.ones(8, dtype=torch.long)}), 0).backward()
    assert trained.model.fan_out.last.present == ("sum",)
    assert list(trained.losses) == ["sum"]
    assert trained.model.heads["sign"].weight.grad is None
    assert trained.training_step((x, {}), 0) is None


def test_a_skipped_task_does_not_poison_its_head():
    trained = module(on_nonfinite="skip")
    trained.tasks["sign"] = Task("sign", lambda out, _: out.sum() * float("nan"), trained.tasks["sum"].metric, "x")
    x, y = torch.randn(8, 6), torch.ones(8, dtype=torch.long)
    trained.training_step((x, {"sign": y, "sum": y}), 0).backward()
    trained.on_after_backward()
    assert trained.model.heads["sign"].weight.grad is None
    assert torch.isfinite(trained.model.heads["sum"].weight.grad).all()
    assert torch.isfinite(trained.model.encoder[0].weight.grad).all()


def test_the_progress_bar_draws(tmp_path, capsys):
    fit(module(), splits(64), settings(epochs=1, progress_bar=True), tmp_path)
    assert "Epoch 0" in capsys.readouterr().out


def test_tasks_of_another_model_get_one_line():
    with pytest.raises(
        ValueError, match=r"tasks are \['sign'\], expected those of the model's heads, \['sign', 'sum'\]"
    ):
        MultiTaskModule(module().model, [Task.classification("sign", 2)])


def test_targets_of_an_unknown_task_get_one_line():
    x, y = torch.randn(8, 6), torch.ones(8, dtype=torch.long)
    with pytest.raises(ValueError, match=r"targets for 'sgin', expected tasks among \['sign', 'sum'\]"):
        module().training_step((x, {"sgin": y}), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"record_every": -1},
        {"precision": "fp8"},
        {"patience": 0},
        {"devices": 0},
        {"checkpoint_seconds": -1.0},
    ],
)
def test_bad_settings_get_one_line(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*, expected"):
        FitSettings(**wrong)

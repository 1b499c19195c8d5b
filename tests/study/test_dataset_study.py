"""Studies of somebody's own Datasets and networks."""

import functools

import lightning
import pytest
import torch
from torch import nn
from torchmetrics import MeanSquaredError

from counterpoint import Study, Task, load_bundle
from counterpoint.study.collected import collect, stored
from counterpoint.study.comparison import MeterSettings
from counterpoint.study.runs.store import RunStore
from counterpoint.study.study_results import StudyResults
from counterpoint.study.tally import Tally

from .study_data import Heard, Rows, Tower

FAST = {"weightings": (), "scale_trials": 0, "seeds": 1, "epochs": 2, "workers": 1}
HERE = __name__
PATHS = {"encoder": {"class_path": f"{HERE.rpartition('.')[0]}.study_data.Tower", "init_args": {"width": 4}}}


class Module(lightning.LightningDataModule):
    """Loaders of batches, the first shuffled."""

    def setup(self, stage):  # noqa: ARG002
        self.parts = [Rows(60, 0), Rows(20, 1), Rows(20, 2)]

    def _loader(self, place, shuffle=False):
        keep = torch.utils.data.Subset(self.parts[place], range(1, 20, 2))
        return torch.utils.data.DataLoader(keep, batch_size=4, shuffle=shuffle)

    def train_dataloader(self):
        return self._loader(0, shuffle=True)

    def val_dataloader(self):
        return self._loader(1)

    def test_dataloader(self):
        return self._loader(2)


class NoSums(Rows):
    def __getitem__(self, place):
        x, own = super().__getitem__(place)
        return x, own | {"sum": float("nan")}


class AllUp(Rows):
    def __getitem__(self, place):
        x, own = super().__getitem__(place)
        return x, own | {"up": 1}


def study(tmp_path, **options):
    return Study(**{"data": Rows(), "encoder": Tower, "out": tmp_path, **FAST, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    return study(folder, seeds=2).run(), folder


def test_tasks_are_found_in_the_labels(finished):
    results, folder = finished
    kinds = {task["name"]: task["kind"] for task in results.about["table"]["tasks"]}
    assert kinds == {"up": "binary", "sum": "regression"}
    missing = {task["name"]: sum(task["missing"].values()) for task in results.about["table"]["tasks"]}
    assert missing == {"up": 0, "sum": 45}
    assert results.about["data"]["rows"] == {"train": 62, "validation": 14, "test": 14}
    assert StudyResults.load(folder).decision == results.decision


def test_seeds_start_from_other_weights(finished):
    results, _ = finished
    values = results.scores("test").query("method == 'uniform'").groupby("task")["loss"].nunique()
    assert (values == 2).all()


def test_again_nothing_is_trained(finished):
    _, folder = finished
    heard = Heard()
    study(folder, seeds=2).run("", heard)
    assert not heard.stages


def test_other_data_or_another_network_are_other_runs(finished):
    results, folder = finished
    before = set(results.runs["run"])
    for options in ({"data": Rows(seed=1)}, {"encoder": Made(7)}, {"heads": Head}):
        subject = study(folder, **options).subject()
        tally = Tally(subject.source, subject.source.fit, RunStore(folder / "runs"), MeterSettings(), 1)
        assert tally.job(subject.source.tasks, 0).run not in before
    same = study(folder).subject()
    tally = Tally(same.source, same.source.fit, RunStore(folder / "runs"), MeterSettings(), 1)
    assert tally.job(same.source.tasks, 0).run in before


def identity(tmp_path, **options):
    return study(tmp_path, **options).subject().source.identity


class Steep(Tower):
    """A tower with the weights and the structure of the other one, but with another function of them."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_other_code_is_another_run(tmp_path, monkeypatch):
    """Who mends an encoder or a loss and starts the study again must not get the old numbers."""
    path = {"class_path": f"{HERE}.Steep", "init_args": {}}
    before = identity(tmp_path, encoder=path)
    assert identity(tmp_path, encoder=path) == before
    monkeypatch.setattr(Steep, "forward", lambda self, x: 3 * Tower.forward(self, x))
    assert identity(tmp_path, encoder=path) != before
    assert identity(tmp_path, encoder=Steep) != identity(tmp_path, encoder=Tower)

    def with_loss(loss):
        return identity(tmp_path, tasks=["up", Task("sum", loss, MeanSquaredError(), "MSE", partial=True)], heads=HEADS)

    losses = [nn.HuberLoss(delta=1.0), nn.HuberLoss(delta=2.0), functools.partial(_l1, power=2), _l1]
    losses += [lambda y, t: (y - t).abs().mean(), lambda y, t: (y - t).square().mean()]
    assert len({with_loss(loss) for loss in losses}) == len(losses)
    assert with_loss(functools.partial(_l1, power=2)) == with_loss(functools.partial(_l1, power=2))


class Made:
    """Makes a tower of a width."""

    def __init__(self, width):
        self.width = width

    def __call__(self):
        return Tower(self.width)


class Head(nn.Module):
    """A head of two layers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(self, x):
        return self.layers(x)


class Flat(Head):
    """The same with one number a row rather than a column."""

    def forward(self, x):
        return super().forward(x).squeeze(1)


def test_a_module_is_copied_and_started_anew(tmp_path):
    tower = Tower()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    results = study(tmp_path, encoder=tower, heads={"up": Head(), "sum": Head()}, seeds=2).run()
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert results.scores("test").query("method == 'uniform' and task == 'up'")["loss"].nunique() == 2


def test_a_data_module_and_tasks_of_ones_own(tmp_path):
    tasks = [Task("sum", _l1, MeanSquaredError(), "MSE"), "up"]
    results = study(tmp_path, data=Module(), tasks=tasks, heads={"sum": Flat(), "up": Head()}).run()
    assert results.about["data"]["rows"] == {"train": 10, "validation": 10, "test": 10}
    assert set(results.runs["metric"]) == {"MSE", "AUROC"}
    assert results.about.get("bundle") is None


def _l1(outputs, targets, power=1):
    return (outputs.reshape(-1) - targets).abs().pow(power).mean()


HEADS = {"up": Head, "sum": Flat}


def test_three_datasets_and_class_paths_make_a_bundle(tmp_path):
    parts = {"train": Rows(40, 0), "validation": Rows(20, 1), "test": Rows(20, 2)}
    results = study(tmp_path, data=parts, **PATHS).run()
    package = PATHS["encoder"]["class_path"].rpartition(".")[0]
    with pytest.raises(ValueError, match="if you trust it"):
        load_bundle(tmp_path / "bundle")
    said = f"counterpoint.load_bundle({str(tmp_path / 'bundle')!r}, trust={[package]}).predict(inputs)"
    assert results.about["reproduce"][-1] == results.about["predict"] == said
    bundle = load_bundle(tmp_path / "bundle", trust=[package])
    predicted = bundle.predict(Rows(20, 2).x)
    assert len(predicted) == 20
    assert set(predicted) >= {"up", "sum"}
    assert results.about["bundle"] == "bundle"


def test_collected_rows_are_what_the_dataset_gave(tmp_path):
    rows = Rows(9)
    splits = collect(dict.fromkeys(("train", "validation", "test"), rows))
    kept = stored(splits, tmp_path)
    again = kept.splits()["validation"]
    for place, (x, own) in enumerate(rows[number] for number in range(9)):
        assert torch.equal(again.inputs[place], x)
        assert again.targets["up"][place] == own["up"]
        assert again.targets["sum"][place].isnan() if "sum" not in own else again.targets["sum"][place] == own["sum"]
    assert stored(splits, tmp_path) == kept
    assert len(list(tmp_path.iterdir())) == 1


NINE_IN = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 9, "out_features": 1}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": [1, 2, 3, 4, 5, 6, 7]}, "item 0 is int, expected"),
        ({"data": {"train": Rows()}}, "data have no 'validation'"),
        (
            {"data": {"train": Rows(), "validation": AllUp(), "test": Rows()}},
            "'up' has one class in the validation rows",
        ),
        ({"data": {"train": Rows(), "validation": Rows(), "test": NoSums()}}, "'sum' has no label in the test rows"),
        ({"data": object()}, "data are object, expected a table's path"),
        ({"data": {"class_path": "nowhere.Data"}}, "cannot import 'nowhere.Data'"),
        ({"encoder": 3}, "encoder is 3, expected a torch.nn.Module"),
        (
            {"encoder": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 9, "out_features": 2}}},
            "cannot take",
        ),
        ({"heads": {"up": Head}}, "heads have none for task 'sum'"),
        (
            {"heads": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 9, "out_features": 1}}},
            "do not fit",
        ),
        ({"tasks": ["up", "down"]}, "task 'down' is not among the train targets, up, sum"),
        ({"tasks": ["up"]}, "'up' is the only task"),
        (
            {"data": Module(), "tasks": [Task("sum", _l1, MeanSquaredError(), "MSE"), "up"], "heads": Head},
            "task 'sum': head, loss and metric do not fit: Predictions and targets",
        ),
        ({"encoder": None}, "need an encoder"),
        ({"group_by": "shop"}, "group_by is given with Rows data, expected it with a table alone"),
        ({"split": "time"}, "split is given with Rows data"),
        ({"features": ["a"]}, "features is given with Rows data"),
        ({"data": "table.csv"}, "encoder is given with a table, expected it with a Dataset alone"),
        ({"data": "table.csv", "encoder": None, "heads": Head}, "heads is given with a table"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_trained(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        study(tmp_path, **options).subject()
    assert not (tmp_path / "runs").exists()

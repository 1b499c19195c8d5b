"""Networks of a user's own classes: imported only from packages that the caller names."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from counterpoint import MultiTaskModel, load_bundle
from counterpoint.data.tables import Target
from counterpoint.serving import Bundle, BundleError, ClassPath, CustomNetwork, ServedNetwork, write_bundle

_PACKAGE = """
import sys, torch
from os import makedirs
from shutil import rmtree
sys.imported_towers = True

class Tower(torch.nn.Module):
    def __init__(self, inputs, width=2):
        super().__init__()
        self.linear = torch.nn.Linear(inputs, width)
        self.rates = torch.linspace(0, 1, width).tolist()  # numbers, which tensors without memory do not have
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return self.linear(x.flatten(1)) * self.scale

class Head(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x)[:, 0]  # one number a row, without a dimension for it

class Broken(torch.nn.Module):
    def __init__(self, **arguments):
        arguments["missing"]

def not_a_module(**arguments):
    sys.called_towers = True

def tower(**arguments):
    sys.called_towers = True
    return Tower(**arguments)
"""


def forget(monkeypatch):
    monkeypatch.delitem(sys.modules, "towers_of_mine", raising=False)
    for name in ("imported_towers", "called_towers"):
        monkeypatch.setattr(sys, name, False, raising=False)


@pytest.fixture
def towers(tmp_path, monkeypatch):
    """A bundle whose networks are of classes in a package, which is not imported when the test begins."""
    (tmp_path / "towers_of_mine.py").write_text(_PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    forget(monkeypatch)
    heads = {
        "digit": ClassPath.of("torch.nn.Linear", {"in_features": 2, "out_features": 3}),
        "size": ClassPath.of("towers_of_mine.Head", {"in_features": 2, "out_features": 1}),
    }
    encoder = ClassPath.of("towers_of_mine.Tower", {"inputs": 8})
    network = CustomNetwork(encoder, tuple(heads.items()), trust=("towers_of_mine",))
    model = MultiTaskModel(network.encoder(list(heads)), {task: network.head(task, 1) for task in heads})
    model.encoder.scale.fill_(3.0)
    targets = (Target("digit", "multiclass", classes=(0, 1, 2)), Target("size", "regression"))
    bundle = Bundle(targets, (ServedNetwork.of(model, network),))
    write_bundle(tmp_path / "bundle", bundle)
    forget(monkeypatch)
    return tmp_path / "bundle", bundle, model.float().eval()


def test_tensors_and_arrays_are_predicted_by_the_users_own_classes(towers):
    folder, bundle, model = towers
    before = torch.get_rng_state()
    loaded = load_bundle(folder, trust=["towers_of_mine"])
    x = torch.linspace(-1, 1, 5 * 2 * 4).reshape(5, 2, 4)
    outputs = loaded.outputs(x)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        expected = model(x)
    np.testing.assert_array_equal(outputs["digit"], expected["digit"].numpy())
    np.testing.assert_array_equal(outputs["size"][:, 0], expected["size"].numpy())
    predicted = loaded.predict(x.numpy())
    assert list(predicted["digit"]) == list(expected["digit"].argmax(1).numpy())
    assert predicted.equals(bundle.predict(x))
    assert predicted.equals(loaded.predict(x.double().numpy()))  # what numpy makes unless it is told otherwise
    assert len(loaded.predict(x[:0])) == 0
    assert "towers_of_mine.Tower with a head a task" in loaded.describe()


@pytest.mark.parametrize("trust", [(), ("towers",), ("towers_of_mine.Tow",), ("mine", "torch")])
def test_nothing_is_imported_from_packages_that_are_not_trusted(towers, trust):
    folder, _, _ = towers
    with pytest.raises(BundleError, match=r"wants to import 'towers_of_mine.Tower', .* trust=\['towers_of_mine'\]"):
        load_bundle(folder, trust=trust)
    assert not sys.imported_towers


def test_trust_is_a_list(towers):
    with pytest.raises(ValueError, match=r"expected a list of packages: trust=\['towers_of_mine'\]"):
        load_bundle(towers[0], trust="towers_of_mine")


@pytest.mark.parametrize(
    ("class_path", "init_args", "message"),
    [
        ("os.system", {"command": "true"}, "wants to import 'os.system'"),
        ("torch.hub.load", {}, "wants to import 'torch.hub.load'"),
        ("torch.nn.modules.module.torch.load", {}, "cannot import 'torch.nn.modules.module.torch.load'"),
        ("torch.nn.functional.linear", {}, "is no torch.nn.Module class"),
        ("torch.nn.Nothing", {}, "cannot import 'torch.nn.Nothing'"),
        ("torch.nn.Linear", {"sides": 3}, "cannot build 'torch.nn.Linear'"),
        ("torch.nn.Linear", {"in_features": 8, "out_features": 9}, "has no tensor|is F32|has a tensor"),
        ("towers_of_mine.sys", {}, "is no torch.nn.Module class"),
        ("towers_of_mine.Broken", {}, "cannot build 'towers_of_mine.Broken' with {}: KeyError: 'missing'"),
        ("towers_of_mine", {}, "is no class path"),
        ("towers_of_mine.Tower()", {}, "is no class path"),
        ("..Tower", {}, "is no class path"),
        (7, {}, "is no class path"),
        ("torch.nn.Linear", [8, 2], "network 0"),
    ],
)
def test_class_paths_that_lead_to_no_network(towers, class_path, init_args, message):
    folder, _, _ = towers
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    document["networks"][0]["network"]["encoder"] = {"class_path": class_path, "init_args": init_args}
    (folder / "bundle.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(folder, trust=["towers_of_mine"])
    assert "\n" not in str(caught.value)
    assert not sys.called_towers


@pytest.mark.usefixtures("towers")
def test_functions_that_make_a_network():  # as torchvision.models.resnet50 does
    made = ClassPath.of("towers_of_mine.tower", {"inputs": 3}).build(["towers_of_mine"])
    assert type(made).__name__ == "Tower"
    with pytest.raises(BundleError, match=r"'towers_of_mine.not_a_module' made NoneType, expected a torch.nn.Module"):
        ClassPath.of("towers_of_mine.not_a_module", {"a": 1}).build(["towers_of_mine"])


@pytest.mark.usefixtures("towers")
def test_functions_are_called_only_where_their_package_is_trusted():
    path = ClassPath.of("towers_of_mine.tower", {"inputs": 3})
    with pytest.raises(BundleError, match="wants to import"):
        path.build()
    with pytest.raises(BundleError, match=r"is no torch.nn.Module class"):
        ClassPath.of("torch.nn.init.ones_", {"tensor": 1}).build()
    assert not sys.called_towers


def test_a_package_may_gather_its_functions_in_one_module(tmp_path, monkeypatch):  # as torchvision.models does
    package = tmp_path / "gathered_of_mine"
    (package / "encoders").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "towers.py").write_text("import torch\ndef tower(inputs):\n    return torch.nn.Linear(inputs, 2)\n")
    (package / "encoders" / "__init__.py").write_text("from gathered_of_mine.towers import tower\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = ClassPath.of("gathered_of_mine.encoders.tower", {"inputs": 3}).build(["gathered_of_mine.encoders"])
    assert made.in_features == 3


@pytest.mark.usefixtures("towers")
@pytest.mark.parametrize(("name", "argument"), [("rmtree", "path"), ("makedirs", "name"), ("sys.exit", "status")])
def test_what_a_trusted_package_imports_from_others_is_not_called(tmp_path, name, argument):
    """A bundle must not reach beyond the trusted package by what happens to have a name in it."""
    (tmp_path / "kept").mkdir()
    given = tmp_path / ("new" if name == "makedirs" else "kept")
    with pytest.raises(BundleError, match=f"'towers_of_mine.{name}' is no torch.nn.Module|cannot import"):
        ClassPath.of(f"towers_of_mine.{name}", {argument: str(given)}).build(["towers_of_mine"])
    assert (tmp_path / "kept").exists()
    assert not (tmp_path / "new").exists()


def test_a_head_that_is_missing_is_said(towers):
    folder, _, _ = towers
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    del document["networks"][0]["network"]["heads"]["size"]
    (folder / "bundle.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BundleError, match="the network has no head for task 'size'"):
        load_bundle(folder, trust=["towers_of_mine"])


def test_what_json_cannot_hold_is_no_argument():
    with pytest.raises(ValueError, match=r"init_args of 'torch.nn.ReLU' do not fit into JSON"):
        ClassPath.of("torch.nn.ReLU", {"inplace": nn.ReLU()})


def test_tensors_are_not_tables(written, towers, new_rows):
    with pytest.raises(ValueError, match="Tensor given, expected a DataFrame or the path of a table"):
        written.bundle.predict(torch.zeros(2, 8))
    with pytest.raises(ValueError, match="this bundle's networks take tensors, not tables"):
        towers[1].predict("new.csv")
    with pytest.raises(ValueError, match="DataFrame given, expected an array or a tensor"):
        towers[1].predict(new_rows)

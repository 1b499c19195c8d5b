"""Exported programs compute what the bundle computes, in torch and elsewhere."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from counterpoint import MultiTaskModel, cli
from counterpoint.data.tables import Preprocessing, Target
from counterpoint.models import TableNetwork
from counterpoint.serving import Bundle, BundleError, ClassPath, CustomNetwork, ServedNetwork, write_bundle


def test_programs_give_the_bundles_outputs_for_any_number_of_rows(mixtures, new_rows, tmp_path):
    bundle, _ = mixtures
    for kind, tasks, names in (
        ("torch", None, ["network-0.pt2", "network-1.pt2", "export.json"]),
        ("onnx", ["price", "cut"], ["network-0.onnx", "export.json"]),
    ):
        paths = bundle.export(tmp_path, kind, tasks)
        assert [path.name for path in paths] == names
        about = json.loads(paths[-1].read_text(encoding="utf-8"))
        for program in about["programs"]:
            path = tmp_path / program["file"]
            if kind == "torch":
                module = torch.export.load(path).module()
            else:
                session = onnxruntime.InferenceSession(path)
            for rows in (1, 2, 50):
                inputs = bundle.inputs(new_rows.iloc[:rows])
                assert inputs.shape == (rows, len(about["input"]["columns"]))
                expected = bundle.outputs(new_rows.iloc[:rows])
                outputs = module(inputs) if kind == "torch" else session.run(program["outputs"], {"x": inputs.numpy()})
                for task, output in zip(program["outputs"], outputs, strict=True):
                    np.testing.assert_allclose(output, expected[task], rtol=1e-5, atol=1e-5)


def test_what_goes_in_and_what_comes_out_is_said(written, new_rows, tmp_path, capsys):
    """The file beside the programs is enough to prepare rows and to read outputs."""
    write_bundle(tmp_path / "bundle", written.bundle)
    command = ["export", str(tmp_path / "bundle"), "--to=torch", f"--out={tmp_path / 'programs'}", "--tasks=visits"]
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "programs" / f) for f in ("network-1.pt2", "export.json")]
    about = json.loads((tmp_path / "programs" / "export.json").read_text(encoding="utf-8"))
    (program,) = about["programs"]
    assert program == {"file": "network-1.pt2", "input": "x", "outputs": ["visits"]}
    inputs = Preprocessing.from_json(about["preprocessing"]).transform(new_rows)
    (outputs,) = torch.export.load(tmp_path / "programs" / program["file"]).module()(torch.from_numpy(inputs))
    (target,) = map(Target.from_json, about["tasks"])
    np.testing.assert_array_equal(target.decode(outputs.numpy())["visits"], written.bundle.predict(new_rows)["visits"])


def test_a_task_may_be_called_as_a_part_of_the_program_is(tmp_path):
    """Which onnxruntime refuses as two values of one name; diamonds have a column x."""
    names = ("x", "linear", "encoder.0.0.bias")
    network = TableNetwork("mlp", 3, hidden=(4,))
    model = MultiTaskModel(network.encoder(names), {name: network.head(name, 1) for name in names})
    bundle = Bundle(tuple(Target(name, "regression") for name in names), (ServedNetwork.of(model, network),))
    rows = torch.randn(5, 3)
    program, about = bundle.export(tmp_path, "onnx", example=rows)
    assert json.loads(about.read_text(encoding="utf-8"))["programs"][0]["input"] == "x_"
    found = onnxruntime.InferenceSession(program).run(list(names), {"x_": rows.numpy()})
    for name, output in zip(names, found, strict=True):
        np.testing.assert_allclose(output, bundle.outputs(rows)[name], rtol=1e-5, atol=1e-6)


class Chooser(torch.nn.Module):
    """Looks at its input to decide what to do, which no traced program can."""

    def forward(self, x):
        return x * 2 if float(x.sum()) > 0 else x


@pytest.mark.parametrize(("encoder", "part"), [(Chooser(), "encoder"), (torch.nn.Identity(), "heads")])
def test_a_part_that_cannot_be_exported_is_named(tmp_path, encoder, part):
    head = torch.nn.Linear(3, 1) if part == "encoder" else torch.nn.Sequential(Chooser(), torch.nn.Linear(3, 1))
    network = CustomNetwork(ClassPath.of("test_export.Chooser"), (("a", ClassPath.of("torch.nn.Linear")),))
    served = ServedNetwork.of(MultiTaskModel(encoder, {"a": head}), network)
    bundle = Bundle((Target("a", "regression"),), (served,))
    with pytest.raises(ValueError, match="expected example= with two or more rows"):
        bundle.export(tmp_path, "torch")
    with pytest.raises(BundleError, match=f"network 0 cannot be exported: its {part} fails in torch.export") as caught:
        bundle.export(tmp_path, "torch", example=torch.ones(2, 3))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_was_asked_wrongly_is_said(written, tmp_path):
    with pytest.raises(ValueError, match="format is 'tflite', expected 'torch' or 'onnx'"):
        written.bundle.export(tmp_path, "tflite")
    with pytest.raises(ValueError, match="unknown task 'prize'"):
        written.bundle.export(tmp_path, "torch", ["prize"])
    with pytest.raises(BundleError, match="cannot export to '/dev/null/x'"):
        written.bundle.export("/dev/null/x", "torch")


def test_onnx_without_its_packages_says_what_to_install(written, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BundleError, match=r"pip install 'counterpoint\[export\]'"):
        written.bundle.export(tmp_path, "onnx")

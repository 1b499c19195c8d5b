"""What is no bundle, or no longer one, or somebody's trap: one line each, and nothing of it is run or allocated."""

import hashlib
import os
import struct

import pytest
import torch
from safetensors.torch import load_file, save

from counterpoint.serving import BundleError, load_bundle


def refusal(folder, **options):
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1_000
    return message


def test_no_folder_no_bundle(written, tmp_path):
    assert "there is no bundle" in refusal(tmp_path / "nowhere")
    assert "is a file, expected a bundle's folder" in refusal(written.folder / "bundle.json")
    assert "is no bundle: it holds no bundle.json" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON that can be read"),
        (b'{"format": "counterpoint-bun', "is no JSON that can be read"),
        (b'{"format": NaN}', "NaN is no JSON"),
        (b'{"format": ' + b"9" * 10_000 + b"}", "is no JSON that can be read"),
        (b"\xff\xfe{}", "is not UTF-8 text"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (b"[]", "is not of the format 'counterpoint-bundle'"),
        (b'{"format": "onnx"}', "is not of the format 'counterpoint-bundle'"),
        (b'{"format": "counterpoint-bundle", "version": 2}', "is of version 2 of the format, .* update counterpoint"),
        (b'{"format": "counterpoint-bundle"}', "is of version None of the format"),
        (b'{"format": "counterpoint-bundle", "version": 1}', "has no list of tasks"),
        (b'{"format": "counterpoint-bundle", "version": 1, "tasks": [1]}', "task 0 is int, expected an object"),
    ],
)
def test_what_bundle_json_may_not_be(tmp_path, content, message):
    (tmp_path / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path)
    refusal(tmp_path)


def test_a_document_too_large_to_read_is_not_read(tmp_path):
    with (tmp_path / "bundle.json").open("wb") as file:
        file.truncate(2**40)  # a hole: takes no disk
    assert "has 1,099,511,627,776 bytes" in refusal(tmp_path)


def test_weights_that_are_missing_cut_short_or_exchanged(written, tmp_path):
    name = "network-0.safetensors"
    gone = written.copy(tmp_path / "gone")
    (gone / name).unlink()
    assert f"has no file '{name}'" in refusal(gone)
    cut = written.copy(tmp_path / "cut")
    (cut / name).write_bytes((cut / name).read_bytes()[:-10])
    assert "SHA-256 differs" in refusal(cut)
    exchanged = written.copy(tmp_path / "exchanged")
    (exchanged / name).write_bytes((exchanged / "network-1.safetensors").read_bytes())
    assert "SHA-256 differs" in refusal(exchanged)


def test_weights_that_change_after_loading_are_not_used(written, tmp_path, new_rows):
    folder = written.copy(tmp_path / "bundle")
    loaded = load_bundle(folder)
    (folder / "network-0.safetensors").write_bytes((folder / "network-1.safetensors").read_bytes())
    with pytest.raises(BundleError, match="SHA-256 differs"):
        loaded.predict(new_rows)


def with_weights(written, folder, content):
    """A bundle whose first weights are others, and which says so: what somebody makes on purpose."""

    def say(document):
        document["networks"][0]["sha256"] = hashlib.sha256(content).hexdigest()

    copied = written.edit(folder, say)
    (copied / "network-0.safetensors").write_bytes(content)
    return copied


def changed(written, change):
    state = load_file(written.folder / "network-0.safetensors")
    change(state)
    return save(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("heads.task_cut.bias"), "has no tensor 'heads.task_cut.bias'"),
        (lambda state: state.update(more=torch.ones(1)), "has a tensor 'more' that the network"),
        (
            lambda state: state.update({"heads.task_cut.bias": torch.zeros(4)}),
            r"tensor 'heads.task_cut.bias' is F32 \[4\], expected F32 \[3\]",
        ),
        (
            lambda state: state.update({"heads.task_cut.bias": torch.zeros(3, dtype=torch.int64)}),
            r"is I64 \[3\], expected F32 \[3\]",
        ),
    ],
)
def test_weights_of_another_network(written, tmp_path, change, message):
    folder = with_weights(written, tmp_path / "bundle", changed(written, change))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_weights_that_are_not_numbers(written, tmp_path, new_rows):
    content = changed(written, lambda state: state["heads.task_cut.bias"].fill_(float("nan")))
    folder = with_weights(written, tmp_path / "bundle", content)
    with pytest.raises(BundleError, match=r"weights 'heads.task_cut.bias' that are not finite"):
        load_bundle(folder).predict(new_rows)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"cos\nsystem\n(S'true'\ntR.",  # a pickle
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 8) + b"not json",
        struct.pack("<Q", 65) + b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,9]}}  ' + b"9",
    ],
)
def test_files_that_are_no_safetensors(written, tmp_path, content):
    assert "is no safetensors file" in refusal(with_weights(written, tmp_path / "bundle", content))


@pytest.mark.parametrize(
    "name", ["../network-0.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "c:x", "a\0"]
)
def test_files_outside_the_folder_are_not_opened(written, tmp_path, name):
    def point_outside(document):
        document["networks"][0]["file"] = name

    (tmp_path / "network-0.safetensors").write_bytes((written.folder / "network-0.safetensors").read_bytes())
    assert "expected a plain name inside the bundle's own folder" in refusal(
        written.edit(tmp_path / "bundle", point_outside)
    )


def test_links_that_lead_outside_are_not_followed(written, tmp_path):
    outside = tmp_path / "network-0.safetensors"
    outside.write_bytes((written.folder / "network-0.safetensors").read_bytes())
    for name in ("network-0.safetensors", "bundle.json"):
        folder = written.copy(tmp_path / f"with {name}")
        outside.write_bytes((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / name).symlink_to(outside)
        assert "leads out of the bundle's folder" in refusal(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    assert "no bundle" in refusal(folder)


def test_a_pipe_is_not_waited_for(written, tmp_path):
    folder = written.copy(tmp_path / "bundle")
    (folder / "network-1.safetensors").unlink()
    os.mkfifo(folder / "network-1.safetensors")
    assert "is no regular file" in refusal(folder)


def edited(path, value):
    def change(document):
        *parents, last = path
        for name in parents:
            document = document[name]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ["networks", 0, "network", "hidden"],
            [10**9, 10**9],
            "a size of 1,000,000,000, its file holds [0-9,]* weights",
        ),
        (["networks", 0, "network", "hidden"], [[[10**9]]], "network 0"),
        (["networks", 0, "network", "experts"], 10**30, "a size of 1,000,.* its file holds"),
        (
            ["networks", 0, "network", "hidden"],
            [16] * 5_000,
            "it has 5,000 layers or category columns, its file holds [0-9]* tensors",
        ),
        (["networks", 0, "network", "hidden"], [600, 600, 600], r"expected F32 \[600"),
        (["networks", 0, "network", "hidden"], ["16"], "network 0"),
        (
            ["networks", 0, "network", "architecture"],
            "transformer",
            "network 0.* architecture='transformer' is unknown",
        ),
        (["networks", 0, "network", "inputs"], 3, r"network 0 takes .* the preprocessing makes"),
        (["networks", 0, "network", "inputs"], None, "network 0 has no 'inputs'"),
        (["networks", 0, "network"], 7, "network 0"),
        (["networks", 0, "sha256"], None, "network 0 has no 'sha256'"),
        (["networks", 0, "serves"], ["price"], "task 'cut' is served by no network"),
        (["networks", 0, "serves"], ["price", "cut", "sick"], "task 'sick' is served by network 0 and by network 1"),
        (["networks", 0, "serves"], [["price"]], "network 0 is not as write_bundle writes it"),
        (["networks", 1, "serves"], ["visits", "sick", "more"], "'more', which it was not trained on"),
        (["networks"], [], "has no list of networks"),
        (["tasks", 0, "name"], "cut", "two tasks have the same name"),
        (["tasks", 0, "name"], "", "task 0.* its name is empty"),
        (["tasks", 0, "name"], ["price"], "task 0 is not as write_bundle writes it"),
        (["tasks", 0, "kind"], "ranking", "task 0.* 'ranking' with transform 'log', which is unknown"),
        (["tasks", 0, "scale"], 0.0, "task 0.* its scale 0.0"),
        (["tasks", 0, "scale"], "1", "task 0 is not as write_bundle writes it"),
        (["tasks", 1, "classes"], ["Fair"], "task 1.* it has 1 classes"),
        (["tasks", 1, "classes"], ["Fair", "Good"], r"is F32 \[3, 8\], expected F32 \[2, 8\]"),
        (["tasks", 1, "classes"], [["Fair"], ["Good"], 3], "task 1"),
        (["tasks", 2, "classes"], None, "task 2 has no 'classes'"),
        (["preprocessing"], [], "preprocessing is list"),
        (["preprocessing", "means"], [0.0], "preprocessing.* it has 1 means, expected"),
        (["preprocessing", "scales", 0], 0.0, "preprocessing.* a scale of 0, expected positive ones"),
        (["preprocessing", "means"], "mean", "preprocessing is not as write_bundle writes it"),
        (["preprocessing", "features", 0, "kind"], "image", "column 'carat' is a 'image'"),
        (["preprocessing", "features", 4, "parts"], ["list_functions"], "column 'day' is a 'datetime' of"),
        (["preprocessing", "features", 1, "categories"], [1, 2, 3], "preprocessing is not as write_bundle writes it"),
        (["preprocessing", "features", 1, "categories"], [], "preprocessing .* column 'size' has no categories"),
        (["preprocessing", "features", 1, "categories"], ["S", "\ud800"], "preprocessing .* surrogates not allowed"),
        (["about"], [1], "'about' is list"),
    ],
)
def test_documents_that_do_not_hold_together(written, tmp_path, path, value, message):
    folder = written.edit(tmp_path / "bundle", edited(path, value))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)
    refusal(folder)


def test_what_later_versions_may_add_is_passed_over(written, tmp_path, new_rows):
    def add(document):
        for part in (document, document["networks"][0], document["networks"][0]["network"], document["tasks"][0]):
            part["more"] = {"of": [10**30, None]}
        document["preprocessing"]["more"] = document["preprocessing"]["features"][0]["more"] = 1
        del document["about"]

    loaded = load_bundle(written.edit(tmp_path / "bundle", add))
    assert loaded.predict(new_rows).equals(written.bundle.predict(new_rows))

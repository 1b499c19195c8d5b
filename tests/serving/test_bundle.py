"""A bundle predicts what the networks in memory predict, here and elsewhere, and holds nothing that runs."""

import json
import time

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoint import load_bundle
from counterpoint.serving import Bundle, BundleError, ServedNetwork, write_bundle

from ..warm import Program  # noqa: TID252  (tests are no package)
from .conftest import TARGETS, table


def test_a_loaded_bundle_predicts_bit_for_bit_what_the_networks_in_memory_do(written, new_rows):
    loaded = load_bundle(written.folder)
    inputs = torch.from_numpy(written.bundle.preprocessing.transform(new_rows))
    found = loaded.outputs(new_rows)
    for model, tasks in zip(written.models, (["price", "cut"], ["visits", "sick"]), strict=True):
        with torch.no_grad():
            outputs = model.eval()(inputs)
        for task in tasks:
            np.testing.assert_array_equal(found[task], outputs[task].numpy())
    pd.testing.assert_frame_equal(loaded.predict(new_rows), written.bundle.predict(new_rows), check_exact=True)


def test_mixtures_of_experts_are_served_too(mixtures, new_rows, tmp_path):
    bundle, models = mixtures
    write_bundle(tmp_path / "bundle", bundle)
    found = load_bundle(tmp_path / "bundle").outputs(new_rows)
    inputs = bundle.inputs(new_rows)
    for model, tasks in zip(models, (["price", "cut"], ["visits", "sick"]), strict=True):
        with torch.no_grad():
            outputs = model.eval()(inputs)
        for task in tasks:
            np.testing.assert_array_equal(found[task], outputs[task].numpy())


def test_predictions_are_the_outputs_decoded_in_the_frames_own_rows(written, new_rows):
    loaded = load_bundle(written.folder)
    predicted, outputs = loaded.predict(new_rows), loaded.outputs(new_rows)
    assert list(predicted.index) == list(new_rows.index)
    assert list(predicted) == ["price", "cut", "cut:probability", "sick", "sick:probability", "visits"]
    np.testing.assert_allclose(predicted["price"], np.exp(outputs["price"][:, 0] * 0.5 + 7.0), rtol=1e-6)
    np.testing.assert_allclose(predicted["visits"], np.exp(outputs["visits"][:, 0]), rtol=1e-6)
    chance = torch.softmax(torch.from_numpy(outputs["cut"]), dim=1).numpy()
    assert list(predicted["cut"]) == [("Fair", "Good", "Ideal")[best] for best in chance.argmax(axis=1)]
    np.testing.assert_allclose(predicted["cut:probability"], chance.max(axis=1), rtol=1e-5)
    positive = 1 / (1 + np.exp(-outputs["sick"][:, 0]))
    np.testing.assert_allclose(predicted["sick:probability"], positive, rtol=1e-5)
    assert list(predicted["sick"]) == list(positive > 0.5)
    levels = new_rows.set_index("clinic", append=True, drop=False)
    assert loaded.predict(levels).index.equals(levels.index)
    assert loaded.predict(levels).index.names == [None, "clinic"]
    every = loaded.predict(new_rows, probabilities=True)
    np.testing.assert_allclose(every[[f"cut:probability:{name}" for name in ("Fair", "Good", "Ideal")]], chance, 1e-5)


def test_rows_do_not_depend_on_each_other_or_on_the_batch(written, new_rows):
    loaded = load_bundle(written.folder)
    whole = loaded.predict(new_rows).drop(columns=["cut", "sick"])
    for batch_size in (1, 7, 50):
        found = loaded.predict(new_rows, batch_size=batch_size)[whole.columns]
        np.testing.assert_allclose(found, whole, rtol=1e-5)
    np.testing.assert_allclose(loaded.predict(new_rows.iloc[::-1])[whole.columns][::-1], whole, rtol=1e-5)


def test_each_task_goes_to_the_network_that_serves_it_and_no_other_network_is_loaded(written, new_rows):
    loaded = load_bundle(written.folder)
    assert loaded.routes == {"price": 0, "cut": 0, "sick": 1, "visits": 1}
    assert loaded.tasks == ("price", "cut", "sick", "visits")
    (written.folder / "network-1.safetensors").rename(written.folder / "away")
    try:
        some = loaded.predict(new_rows, ["cut", "price"])  # the other network cannot be read now
        with pytest.raises(BundleError, match=r"cannot read '.*network-1.safetensors'"):
            loaded.predict(new_rows)
    finally:
        (written.folder / "away").rename(written.folder / "network-1.safetensors")
    assert list(some) == ["cut", "cut:probability", "price"]
    np.testing.assert_array_equal(some["price"], written.bundle.predict(new_rows)["price"])


def test_only_what_serves_is_written(written):
    """The first network was trained on "sick" too; the second one predicts it."""
    from safetensors.torch import load_file

    first = load_file(written.folder / "network-0.safetensors")
    assert {name.split(".")[1] for name in first if name.startswith("heads.")} == {"task_price", "task_cut"}
    document = json.loads((written.folder / "bundle.json").read_text(encoding="utf-8"))
    assert document["networks"][0]["tasks"] == ["price", "cut", "sick"]
    assert document["networks"][0]["serves"] == ["price", "cut"]
    assert document["about"]["interval"] == [None, 0.5]  # JSON has no NaN
    assert load_bundle(written.folder).about["command"] == "counterpoint study table.csv"


def test_loading_draws_no_random_numbers_and_leaves_weights_without_gradients(written, new_rows):
    before = torch.get_rng_state()
    loaded = load_bundle(written.folder)
    loaded.predict(new_rows)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in loaded.networks[0].model.parameters())
    assert all(parameter.requires_grad for model in written.models for parameter in model.parameters())


_ELSEWHERE = """
import sys
found = []
sys.addaudithook(lambda event, arguments: found.append(arguments) if event == "pickle.find_class" else None)
import pandas as pd
from counterpoint import load_bundle
frame = pd.read_parquet(sys.argv[2])
before = len(found)  # pandas' own business
predicted = load_bundle(sys.argv[1]).predict(frame)
assert len(found) == before, found
import pickle
pickle.loads(pickle.dumps(frame))
assert len(found) > before  # the hook would have seen it
predicted.to_parquet(sys.argv[3])
"""


def test_another_process_predicts_the_same_and_unpickles_nothing(written, new_rows, tmp_path):
    new_rows.to_parquet(tmp_path / "new.parquet")
    (tmp_path / "elsewhere.py").write_text(_ELSEWHERE)
    arguments = [written.folder, tmp_path / "new.parquet", tmp_path / "out.parquet"]
    program = Program(tmp_path / "elsewhere.py", arguments, tmp_path, tmp_path / "said.txt")
    assert program.wait(time.monotonic() + 120) == 0, program.said()
    found = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(found, written.bundle.predict(new_rows), check_exact=True)


def test_new_data_may_lack_targets_have_other_columns_and_unknown_categories(written, new_rows):
    loaded = load_bundle(written.folder)
    strange = new_rows.assign(size="XXL", clinic="new clinic", more=1)[
        ["more", "day", "smoker", "clinic", "size", "carat"]
    ]
    assert loaded.predict(strange)["price"].notna().all()
    unknown = loaded.preprocessing.unknown(strange)
    assert unknown == {"size": 50, "clinic": 50}
    written_as_text = new_rows.assign(carat=new_rows["carat"].map(lambda x: None if np.isnan(x) else repr(x)))
    pd.testing.assert_frame_equal(loaded.predict(written_as_text), loaded.predict(new_rows), check_exact=True)


def test_missing_columns_are_all_named(written, new_rows):
    with pytest.raises(ValueError, match="lacks the 2 columns 'carat', 'day'"):
        load_bundle(written.folder).predict(new_rows.drop(columns=["carat", "day"]))


def test_no_rows_give_no_predictions_in_the_right_columns(written, new_rows):
    whole = written.bundle.predict(new_rows)
    none = load_bundle(written.folder).predict(new_rows.iloc[:0])
    assert len(none) == 0
    assert none.dtypes.equals(whole.dtypes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["prize"]}, "unknown task 'prize', expected names among price, cut, sick, visits"),
        ({"tasks": "price"}, "tasks is the text 'price', expected a list of names"),
        ({"batch_size": 0}, "batch_size is 0, expected a positive integer"),
    ],
)
def test_what_was_asked_wrongly_is_said(written, new_rows, options, message):
    with pytest.raises(ValueError, match=message):
        written.bundle.predict(new_rows, **options)


def test_a_bundle_is_described_in_words(written):
    words = load_bundle(written.folder).describe()
    assert "cut (multiclass): network 0" in words
    assert "network 0 serves price, cut: " in words
    assert "; trained with sick too" in words
    assert words in (written.folder / "README.md").read_text(encoding="utf-8").replace("\n- ", "\n")


def test_what_was_loaded_can_be_written_again(written, new_rows, tmp_path):
    write_bundle(tmp_path / "again", load_bundle(written.folder))
    assert (tmp_path / "again" / "network-0.safetensors").read_bytes() == (
        written.folder / "network-0.safetensors"
    ).read_bytes()
    pd.testing.assert_frame_equal(load_bundle(tmp_path / "again").predict(new_rows), written.bundle.predict(new_rows))


def with_networks(written, networks):
    return Bundle(TARGETS, networks, written.bundle.preprocessing)


def test_tasks_that_are_served_twice_or_not_at_all_make_no_bundle(written):
    first, second = written.bundle.networks
    with pytest.raises(BundleError, match="task 'sick' is served by no network"):
        with_networks(written, (first,))
    with pytest.raises(BundleError, match="task 'price' is served by network 0 and by network 1"):
        with_networks(written, (first, first))
    with pytest.raises(BundleError, match="network 0 serves task 'price', which it was not trained on"):
        with_networks(written, (ServedNetwork(first.network, ["cut"], ["price"], lambda: first.model), second))
    with pytest.raises(BundleError, match=r"network 0 takes .* the preprocessing makes"):
        Bundle(TARGETS, (first, second), written.bundle.preprocessing.fit(table(), {"carat": "numeric"}))


def test_a_diverged_network_is_not_written(written, tmp_path):
    sick = ServedNetwork.of(written.models[0], written.bundle.networks[0].network, ["price", "cut"])
    with torch.no_grad():
        next(sick.model.encoder.parameters())[0] = torch.nan
    with pytest.raises(BundleError, match=r"weights 'encoder.*' that are not finite"):
        write_bundle(tmp_path / "bundle", with_networks(written, (sick, written.bundle.networks[1])))
    assert not list(tmp_path.iterdir())

"""A training that balances at the shared parameters makes the steps that ``backward`` makes."""

import copy

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from counterpoint import MGDA, DiBS, GradNorm, Nash, Uniform, backward
from counterpoint.affinity import AffinityMeter
from counterpoint.data import Split
from counterpoint.training import AffinityCallback, fit

from .image_trainings import NAMES, TASKS, images, module, settings


def in_double(split):
    targets = {name: own.double() if own.is_floating_point() else own for name, own in split.targets.items()}
    return Split(split.inputs.double(), targets)


ROWS = in_double(images())


def train(folder, weighting, level, **options):
    own = module(weighting, level=level).double()
    made = fit(own, dict.fromkeys(NAMES, ROWS), settings(epochs=1, **options), folder)
    return own, made


def by_hand(weighting, steps):
    """The same steps without Lightning."""
    own = module(weighting).double()
    own.model.fan_out.training = False  # it hands features on, while its weighting goes on learning
    optimizer, records = own.configure_optimizers(), []
    for number, batch in enumerate(ROWS.batches(5, shuffle_seed=0)):
        if number == steps:
            break
        optimizer.zero_grad()
        losses = own.losses_of(batch)
        records.append(backward(losses, own.model.fan_out.weighting, shared=own.shared_parameters(), tasks=TASKS))
        optimizer.step()
    return own, records


def assert_close(one, other, **tolerance):
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda said, name=name: f"{name}: {said}", **tolerance)


@pytest.mark.parametrize("weighting", [MGDA, Nash, GradNorm])
def test_its_steps_are_those_of_backward(tmp_path, weighting):
    trained, result = train(tmp_path, weighting(), "parameters")
    expected, records = by_hand(weighting(), steps=4)
    last = trained.model.fan_out.last
    assert_close(trained, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(last.weights, records[-1].weights, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(last.gram, records[-1].gram, rtol=1e-10, atol=1e-14)
    written = result.history[(result.history.quantity == "weight") & (result.history.step == 4)]
    assert written.set_index("task").value.to_dict() == dict(zip(last.tasks, last.weights.tolist(), strict=True))


def test_the_levels_differ_where_the_weights_do(tmp_path):
    trained = {
        (type(weighting).__name__, level): train(tmp_path / f"{weighting}{level}", weighting, level)[0]
        for weighting in (Uniform(), MGDA())
        for level in ("features", "parameters")
    }
    assert_close(trained["Uniform", "features"], trained["Uniform", "parameters"], rtol=1e-12, atol=1e-14)
    weights = [trained["MGDA", level].model.fan_out.last.weights for level in ("features", "parameters")]
    assert (weights[0] - weights[1]).abs().max() > 1e-3
    encoders = [trained["MGDA", level].model.encoder[0].weight for level in ("features", "parameters")]
    assert (encoders[0] - encoders[1]).abs().max() > 1e-4


def fit_plainly(own, batches, **options):
    """A step, by somebody else's Trainer."""
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(max_steps=1, accelerator="cpu", **dict.fromkeys(off, False), **options)
    trainer.fit(own, torch.utils.data.DataLoader(batches, batch_size=None))


def test_loss_scales_of_mixed_precision_are_taken_out():
    grams, weights = [], []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**12)):
        plugins = [] if scaler is None else [MixedPrecision("16-mixed", "cpu", scaler=scaler)]
        own = module(DiBS(), level="parameters")
        fit_plainly(own, list(images().batches(5))[:1], plugins=plugins)
        grams.append(own.model.fan_out.last.gram)
        weights.append(own.model.encoder[0].weight.detach())
    torch.testing.assert_close(*grams, rtol=0.02, atol=1e-3)
    torch.testing.assert_close(*weights, rtol=0.02, atol=1e-3)


def test_accumulated_gradients_and_weighted_heads():
    own = module(DiBS(), level="parameters").double()
    own.model.fan_out.heads = "weighted"
    expected = copy.deepcopy(own)
    expected.model.fan_out.training = False
    batches = list(ROWS.batches(5))[:2]
    for batch in batches:
        losses = expected.losses_of(batch)
        backward(losses, DiBS(), shared=expected.shared_parameters(), heads="weighted", tasks=TASKS, scale=0.5)
    expected.configure_optimizers().step()
    fit_plainly(own, batches, accumulate_grad_batches=2)
    assert_close(own, expected, rtol=1e-12, atol=1e-14)


def test_held_weights_are_those_of_the_fan_out(tmp_path):
    own = module(MGDA(), level="parameters").double()
    own.model.fan_out._reuse.every = 3
    result = fit(own, dict.fromkeys(NAMES, ROWS), settings(epochs=1, record_every=1), tmp_path)
    weights = result.history[result.history.quantity == "weight"].pivot_table(
        index="step", columns="task", values="value"
    )
    assert weights.loc[1].equals(weights.loc[2])
    assert weights.loc[1].equals(weights.loc[3])
    assert not weights.loc[1].equals(weights.loc[4])
    assert own.balance_state()["reuse"]["steps"] == 4


def test_a_task_without_labels_takes_no_part(tmp_path):
    own = module(MGDA(), level="parameters").double()
    rows = ROWS.only(["scene", "depth"])
    fit(own, {"train": rows, "validation": ROWS, "test": ROWS}, settings(epochs=1), tmp_path)
    assert own.model.fan_out.last.absent == ("normals",)


def test_first_order_affinity_is_measured_at_either_level(tmp_path):
    meters = {}
    for level in ("features", "parameters"):
        meters[level] = AffinityMeter(TASKS, "first-order", every=1)
        own = module(Uniform(), level=level).double()
        callback = AffinityCallback(meters[level])
        fit(own, dict.fromkeys(NAMES, ROWS), settings(epochs=1), tmp_path / level, callbacks=[callback])
    ours, theirs = (meters[level].compute().values for level in ("parameters", "features"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_what_does_not_go_together_gets_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"level is 'outputs', expected one of \['features', 'parameters'\]"):
        module(level="outputs")
    with pytest.raises(ValueError, match="reduce='bfloat16' with level='parameters', expected reduce=None"):
        module(level="parameters", reduce="bfloat16")
    callback = AffinityCallback(AffinityMeter(TASKS, "features", every=1))
    own = module(level="parameters").double()
    with pytest.raises(ValueError, match="method='features' with level='parameters'"):
        fit(own, dict.fromkeys(NAMES, ROWS), settings(epochs=1), tmp_path, callbacks=[callback])


def test_several_processes_are_refused():
    class Trainer:
        world_size = 2

    own = module(level="parameters")
    own._trainer = Trainer()
    own._fabric = None
    with pytest.raises(ValueError, match="level='parameters' in 2 processes, expected one: use level='features'"):
        own._parameter_level.check(own._trainer)

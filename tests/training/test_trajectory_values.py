"""What the callback records is what a loop by hand measures at the same weights."""

import copy
import math

import lightning
import numpy as np
import pytest
import torch
from torch.nn import functional

from counterpoint.data import Split
from counterpoint.training import Curvature, MultiTaskModule, TrajectoryCallback
from counterpoint.training.probing import Probing

from .recorded_trainings import (
    CHEAP,
    TASKS,
    TEST,
    TRAIN,
    TwoOptimizers,
    batches,
    fit,
    in_every_step,
    make_module,
    of_two_optimizers,
    values_at,
)


class Copies(lightning.Callback):
    """The module at each step."""

    def __init__(self):
        self.modules = {}

    def on_train_start(self, _trainer, module):
        self.modules[0] = copy.deepcopy(module).eval()

    def on_train_batch_end(self, trainer, module, *_):
        self.modules[trainer.global_step] = copy.deepcopy(module).eval()


def flat(loss, tensors):
    parts = torch.autograd.grad(loss, list(tensors), retain_graph=True)
    return torch.cat([part.reshape(-1) for part in parts])


def dense_hessian(loss, tensors):
    entries = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, tensors, create_graph=True)])
    return torch.stack([flat(entry, tensors) for entry in entries])


@pytest.fixture(scope="module", name="recorded")
def recorded_fixture():
    """A training in fp64, recorded in every step."""
    callback, copies = in_every_step(rows=None, gradient_rows=18, minibatches=3, curvature_rows=20), Copies()
    for name in ("train", "test"):
        x, y = getattr(callback.measures, name)
        setattr(callback.measures, name, (x.double(), y))
    fit(make_module(double=True), callback, copies, data=[(x.double(), y) for x, y in batches()])
    assert callback.warnings == ()
    return callback, copies.modules


def by_hand(module, rows, task, part=slice(None)):
    return functional.cross_entropy(module.model.heads[task](module.model.encoder(rows[0][part])), rows[1][task][part])


@pytest.mark.parametrize("step", [0, 3, 6])
def test_losses_and_metrics_are_those_of_all_rows(recorded, step):
    callback, modules = recorded
    found, module = values_at(callback, step), modules[step]
    for task in TASKS:
        for name, rows in (("train_loss", callback.measures.train), ("test_loss", callback.measures.test)):
            assert found[name, task] == pytest.approx(by_hand(module, rows, task).item(), rel=1e-12)
        outputs = module.model.heads[task](module.model.encoder(callback.measures.test[0]))
        right = (outputs.argmax(1) == callback.measures.test[1][task]).double().mean()
        assert found["test_metric", task] == pytest.approx(right.item())


@pytest.mark.parametrize("step", [0, 3, 6])
def test_gradients_are_those_of_autograd(recorded, step):
    callback, modules = recorded
    found, module = values_at(callback, step), modules[step]
    shared = list(module.model.encoder.parameters())

    def gradient(task, start, stop):
        return flat(by_hand(module, callback.measures.train, task, slice(start, stop)), shared)

    means = {task: gradient(task, 0, 18) for task in TASKS}
    for task, mean in means.items():
        each = torch.stack([gradient(task, start, start + 6) for start in (0, 6, 12)])
        assert found["gradient_norm", task] == pytest.approx(mean.norm().item())
        assert found["coherence", task] == pytest.approx((mean.square().sum() / each.square().sum(1).mean()).item())
        pairs = [functional.cosine_similarity(each[i], each[j], 0).item() for i, j in ((0, 1), (0, 2), (1, 2))]
        assert found["coherence_cosine", task] == pytest.approx(np.mean(pairs))
        others = [means[other] for other in TASKS if other != task]
        cosines = [functional.cosine_similarity(mean, other, 0).item() for other in others]
        assert found["cosine", task] == pytest.approx(np.mean(cosines))
        assert found["negative_share", task] == np.mean([cosine < 0 for cosine in cosines])
        norms = [(mean.norm().item(), other.norm().item()) for other in others]
        similarity = np.mean([2 * a * b / (a * a + b * b) for a, b in norms])
        assert found["magnitude_similarity", task] == pytest.approx(similarity)


@pytest.mark.traced(1)
@pytest.mark.parametrize("step", [0, 6])
def test_curvature_is_that_of_the_dense_hessian(recorded, step):
    callback, modules = recorded
    module = copy.deepcopy(modules[step])
    shared = list(module.model.encoder.parameters())
    rows = (callback.measures.train[0][:20], {task: y[:20] for task, y in callback.measures.train[1].items()})
    measured = Probing(module, shared).curvature(rows, "b", Curvature(draws=400, products=60))
    found = {name: value for _, name, value in measured}
    each = [flat(by_hand(module, rows, "b", slice(row, row + 1)), shared) for row in range(20)]
    fisher = np.mean([g.square().sum().item() for g in each])
    assert found["empirical_fisher_trace"] == pytest.approx(fisher, abs=4 * found["empirical_fisher_trace_error"])
    loss = by_hand(module, rows, "b")
    dense = dense_hessian(loss, shared)
    assert found["sharpness"] == pytest.approx(torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-3)
    assert found["hessian_trace"] == pytest.approx(dense.trace().item(), abs=4 * found["hessian_trace_error"])
    step_up = 0.05 * functional.normalize(flat(loss, shared), dim=0)
    with torch.no_grad():
        for p, part in zip(shared, step_up.split([p.numel() for p in shared]), strict=True):
            p.add_(part.reshape(p.shape))
    rise = (by_hand(module, rows, "b") - loss).item()
    assert found["sam_sharpness"] == pytest.approx(rise)
    assert values_at(callback, step)["sam_sharpness", "b"] == pytest.approx(rise)  # of the same rows


def test_low_precision_is_looked_at_in_full():
    callback, copies = in_every_step(curvature=None), Copies()
    fit(make_module(dropout=0.0), callback, copies, precision="bf16-mixed")
    expected = by_hand(copies.modules[6], callback.measures.train, "a").item()
    assert values_at(callback, 6)["train_loss", "a"] == pytest.approx(expected, rel=1e-5)


def test_tasks_that_the_rows_lack_are_not_looked_at():
    callback = TrajectoryCallback(TRAIN.only(["a", "c"]), TEST.only(["b"]), budget=None, curvature=CHEAP)
    fit(make_module(), callback)
    assert callback.warnings == ()
    tasks = {}
    for row in callback.rows:
        tasks.setdefault(row["quantity"], set()).add(row["task"])
    assert tasks["train_loss"] == tasks["cosine"] == tasks["sharpness"] == {"a", "c"}
    assert tasks["test_metric"] == tasks["test_loss"] == {"b"}


def test_one_task_has_no_conflict():
    callback = TrajectoryCallback(TRAIN.only(["a"]), budget=None)
    fit(make_module(), callback)
    assert {row["quantity"] for row in callback.rows} == {
        "train_loss",
        "gradient_norm",
        "coherence",
        "coherence_cosine",
    }


def test_a_split_is_cut_to_rows_that_are_a_sample():
    ordered = Split(torch.arange(100.0).reshape(100, 1), {"a": torch.arange(100)})
    x, y = TrajectoryCallback(ordered, ordered, rows=40).measures.train
    assert len(x) == len(set(y["a"].tolist())) == 40
    assert torch.equal(x[:, 0], y["a"].float())
    assert torch.equal(x, TrajectoryCallback(ordered, rows=40).measures.train[0])
    for rows in (None, 256):  # all of them, and the first ones are a sample, too
        chosen = TrajectoryCallback(ordered, rows=rows).measures.train[1]["a"]
        assert sorted(chosen.tolist()) == list(range(100))
        assert 30 < chosen[:64].float().mean() < 70
        assert chosen[:64].max() > 90
    batch = ordered.rows(slice(None))
    assert TrajectoryCallback(batch).measures.train is batch


def test_a_task_whose_gradient_is_zero_has_no_part_in_the_conflict_of_others():
    def saturated(module, batch):
        found = module.losses(batch)
        return found | {"c": found["c"] * 0.0}

    def without(module, batch):
        return {task: loss for task, loss in module.losses(batch).items() if task != "c"}

    callbacks = [of_two_optimizers(losses=losses) for losses in (saturated, without)]
    for callback in callbacks:
        fit(TwoOptimizers(), callback, data=batches(1))
    found, expected = (values_at(callback, 0) for callback in callbacks)
    for name in ("cosine", "negative_share"):
        assert found[name, "a"] == pytest.approx(expected[name, "a"], rel=1e-5)
        assert math.isnan(found[name, "c"])
    assert found["magnitude_similarity", "c"] == 0.0


def test_minibatches_of_ignored_labels_alone_have_no_gradient_of_that_task():
    """Their loss is NaN, and autograd says zero: as a gradient it would be short, and as one of all the shortest."""

    def without(batches_without):
        def losses(module, batch):
            found = module.losses(batch)
            seen.append(len(batch[0]))
            return found | {"c": found["c"] * torch.nan} if len(seen) in batches_without else found

        seen = []
        return losses

    module, batch = TwoOptimizers(), TRAIN.rows(slice(0, 32))
    shared = list(module.encoder.parameters())

    def gradients(*batches_without):
        found = Probing(module, shared, without(batches_without)).gradients(batch, 4)
        return {(name, task): value for task, name, value in found}

    whole, some, none = gradients(), gradients(2), gradients(1, 2, 3, 4)
    assert math.isfinite(some["coherence", "c"])
    assert some["gradient_norm", "c"] != whole["gradient_norm", "c"]
    assert some["gradient_norm", "c"] > 0.5 * whole["gradient_norm", "c"]
    assert math.isnan(none["gradient_norm", "c"])
    assert math.isnan(none["coherence", "c"])
    assert none["gradient_norm", "a"] == pytest.approx(whole["gradient_norm", "a"])


def test_a_chunk_that_lacks_a_task_is_not_taken_for_loss_zero():
    module = TwoOptimizers()
    batch = TRAIN.rows(slice(None))

    def some(module, part):
        found = module.losses(part)
        return found if torch.equal(part[0][0], batch[0][0]) else {"a": found["a"]}

    probing = Probing(module, list(module.encoder.parameters()), some, chunk=8)
    found = {task: value for task, _, value in probing.loss_values(batch, "train")}
    first = module.losses((batch[0][:8], {task: y[:8] for task, y in batch[1].items()}))
    assert found["a"] == pytest.approx(module.losses(batch)["a"].item(), rel=1e-5)
    assert found["b"] == pytest.approx(first["b"].item(), rel=1e-5)


def test_a_subclass_with_other_losses_is_asked_for_them():
    class Doubled(MultiTaskModule):
        def losses_of(self, batch):
            return {task: 2 * loss for task, loss in super().losses_of(batch).items()}

    found = []
    for kind in (MultiTaskModule, Doubled):
        callback = TrajectoryCallback(TRAIN, TEST, budget=None, gradients=False)
        fit(make_module(kind=kind), callback, data=batches(1))
        found.append(values_at(callback, 0))
    for name, factor in (("train_loss", 2), ("test_loss", 2), ("test_metric", 1)):
        assert found[1][name, "b"] == pytest.approx(factor * found[0][name, "b"])


def test_losses_of_the_user_take_the_place_of_the_modules_own():
    def doubled(module, batch):
        return {task: 2 * loss for task, loss in module.losses_of((batch["x"], batch["y"])).items()}

    rows = [dict(zip("xy", split.rows(slice(None)), strict=True)) for split in (TRAIN, TEST)]
    settings = {"budget": None, "curvature": CHEAP, "curvature_budget": None}
    theirs = TrajectoryCallback(*rows, losses=doubled, **settings)
    own = TrajectoryCallback(TRAIN.rows(slice(None)), TEST.rows(slice(None)), **settings)
    for callback in (theirs, own):
        fit(make_module(), callback, data=batches(1))
        assert callback.warnings == ()
    found, expected = values_at(theirs, 1), values_at(own, 1)
    for name in ("train_loss", "test_loss", "gradient_norm", "sharpness"):
        assert found[name, "b"] == pytest.approx(2 * expected[name, "b"], rel=1e-4)
    assert ("fisher_trace", "b") in expected
    assert ("fisher_trace", "b") not in found  # twice a log-likelihood is none

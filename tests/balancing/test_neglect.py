"""Weightings that nobody calls or trains say so, once, and only then."""

import copy
import pickle
import warnings

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from counterpoint import FanOut, MultiTaskModel, Task, get_weighting
from counterpoint.training import MultiTaskModule, Optimization

TASKS = ("a", "b")
KINDS = {
    "uw": r"UW\(\) has parameters that have not moved.*\[\*model.parameters\(\), \*fan.weighting.parameters\(\)\]",
    "imtll": r"IMTLL\(\) has parameters that have not moved",
    "dwa": r"DWA\(\) has not heard of the end of an epoch.*fan.weighting.epoch_ended\(\) after each epoch.*is longer",
    "famo": r"FAMO\(\) has not heard how losses change.*fan.weighting.reevaluated\(losses\) after each optimizer step",
}


def loop(weighting, steps, *, learn=False, accumulate=1, reevaluate=False, epoch=None, optimizer=torch.optim.Adam):
    """A training; what was warned of."""
    torch.manual_seed(0)
    encoder, fan = nn.Linear(3, 4), FanOut(weighting, TASKS)
    heads = nn.ModuleDict({task: nn.Linear(4, 1) for task in TASKS})
    own = [*weighting.parameters()] if learn else []
    update = optimizer([*encoder.parameters(), *heads.parameters(), *own], 1e-3)
    x = torch.randn(4, 3)

    def losses():
        z = fan(encoder(x))
        return {task: (heads[task](z[task]) - 1 - k).square().mean() for k, task in enumerate(TASKS)}

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(1, steps + 1):
            fan.sum(losses()).backward()
            if step % accumulate == 0:
                update.step()
                update.zero_grad()
                if reevaluate:
                    weighting.reevaluated(losses())
            if epoch and step % epoch == 0:
                weighting.epoch_ended()
    return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]


class ThroughData(torch.optim.SGD):
    """Writes as some optimizers do, unseen by version counters."""

    def step(self, closure=None):  # noqa: ARG002
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.add_(parameter.grad, alpha=-0.01)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("smoothed", [False, True])
def test_neglected_ones_warn_once_and_say_what_to_write(name, smoothed):
    weighting = get_weighting("crmogm", weighting=name) if smoothed else get_weighting(name)
    found = loop(weighting, 250)
    assert len(found) == 1
    with pytest.warns(UserWarning, match=KINDS[name]):
        warnings.warn(found[0], stacklevel=1)
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    ("name", "care"),
    [
        ("uw", {"learn": True}),
        ("uw", {"learn": True, "accumulate": 50}),
        ("uw", {"learn": True, "optimizer": ThroughData}),
        ("imtll", {"learn": True, "optimizer": torch.optim.SGD}),
        ("dwa", {"epoch": 40}),
        ("dwa", {"epoch": 99}),
        ("famo", {"reevaluate": True}),
        ("famo", {"reevaluate": True, "accumulate": 50}),
        ("gradnorm", {}),
        ("mgda", {}),
        ("stch", {}),
        ("geometricmean", {}),
    ],
)
def test_who_is_looked_after_does_not_warn(name, care):
    options = {"mu": 0.1} if name == "stch" else {}
    assert loop(get_weighting(name, **options), 250, **care) == []


def test_frozen_parameters_and_evaluation_are_meant():
    frozen = get_weighting("uw", shape=2).requires_grad_(requires_grad=False)
    assert loop(frozen, 150) == []
    for name in KINDS:
        evaluated = get_weighting(name)
        fan = FanOut(evaluated, TASKS)
        evaluated.eval()
        assert loop(fan.weighting, 150) == []


def test_counting_is_no_state_and_copies_count_on():
    weighting = get_weighting("uw")
    loop(weighting, 40)
    assert set(weighting.state_dict()) == {"remembered_tasks", "scalarizer.log_var"}
    assert len(loop(copy.deepcopy(weighting), 40)) == 1
    assert len(loop(pickle.loads(pickle.dumps(weighting)), 40)) == 1  # noqa: S301


@pytest.mark.traced(2)
@pytest.mark.parametrize("name", [*KINDS, "crmogm"])
@pytest.mark.parametrize("accumulate", [1, 90])
def test_our_own_module_looks_after_them(name, accumulate):
    tasks = [Task.classification("a", 2), Task.classification("b", 2)]
    options = {"weighting": "dwa"} if name == "crmogm" else {}
    fan = FanOut(get_weighting(name, **options), TASKS)
    heads = {task: nn.Linear(4, 2) for task in TASKS}
    module = MultiTaskModule(MultiTaskModel(nn.Linear(3, 4), heads, fan), tasks, optimization=Optimization(lr=0.01))
    rows = [(torch.randn(3), {"a": k % 2, "b": k // 2 % 2}) for k in range(130)]
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=accumulate,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, DataLoader(rows, batch_size=1))
    assert not [str(warning.message) for warning in caught if "expected" in str(warning.message)]
    assert all(part.looked_after for part in fan.modules() if hasattr(part, "looked_after"))

"""What weightings remember is tensors in state_dict: whoever saves, averages or compares states by key can."""

import copy
import warnings

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torchjd.aggregation import GradVacWeighting, UPGradWeighting

from counterpoint import FanOut, Weighting, get_weighting, weighting_names
from counterpoint.balancing.weightings.crmogm import CRMOGM
from counterpoint.balancing.weightings.memory import unwired, wired

from .test_by_name import TASKS, make

NAMES = [name for name in weighting_names() if "features" in make(name).levels]
MEMORY = {"crmogm", "dwa", "famo", "gradnorm", "gradvac", "imtll", "nashmtl", "pcd", "uw"}
pytestmark = pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")


class Net(nn.Module):
    def __init__(self, weighting, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Linear(6, 5), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(5, 2) for task in TASKS})
        self.fan = FanOut(weighting, TASKS)

    def losses(self, x, labels, present):
        z = self.fan(self.encoder(x), present)
        return {task: (self.heads[task](z[task]) - labels[TASKS.index(task)]).square().mean() for task in present}


def trained(net, steps, optimizer=None):
    """Trains from step to step with labels that are missing now and then; returns weights and the optimizer."""
    optimizer = optimizer or torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 0.02)
    found = []
    for step in steps:
        torch.manual_seed(step)
        x, labels = torch.randn(8, 6), torch.randn(len(TASKS), 8, 2)
        present = TASKS if step % 3 else ("a", "c", "d")
        optimizer.zero_grad()
        net.fan.sum(net.losses(x, labels, present)).backward()
        optimizer.step()
        weighting = net.fan.weighting
        if weighting.needs_reevaluation:
            with torch.no_grad():
                weighting.reevaluated(net.losses(x, labels, present))
        if step % 4 == 3:
            weighting.epoch_ended()
        found.append(net.fan.last.weights)
    return torch.stack(found), optimizer


def memory_of(net):
    return {key: value for key, value in net.state_dict().items() if "remembered_" in key}


@pytest.mark.traced(6)
@pytest.mark.parametrize("name", NAMES)
def test_a_training_goes_on_from_safetensors_bit_by_bit(name, tmp_path):
    net = Net(make(name))
    before = {key: value.shape for key, value in net.state_dict().items()}
    _, optimizer = trained(net, range(10))
    state = net.state_dict()
    assert all(type(value) is torch.Tensor for value in state.values())
    assert {key: value.shape for key, value in state.items()} == before  # from the start, and the same size
    assert bool(memory_of(net)) == (name in MEMORY)
    save_file(state, tmp_path / "weights.safetensors")
    save_model(net, str(tmp_path / "model.safetensors"))

    optimizer_state = copy.deepcopy(optimizer.state_dict())
    expected, _ = trained(net, range(10, 16), optimizer)
    for way in ("weights", "model"):
        fresh = Net(make(name), seed=1)
        if way == "weights":
            fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        else:
            load_model(fresh, str(tmp_path / "model.safetensors"))
        other = torch.optim.Adam([p for p in fresh.parameters() if p.requires_grad], 0.02)
        other.load_state_dict(copy.deepcopy(optimizer_state))
        weights, _ = trained(fresh, range(10, 16), other)
        torch.testing.assert_close(weights, expected, rtol=0, atol=0, equal_nan=True)
        for key, value in net.state_dict().items():
            torch.testing.assert_close(fresh.state_dict()[key], value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.traced(6)
@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_can_be_averaged_and_gone_through_side_by_side(name):
    net = Net(make(name))
    ema = copy.deepcopy(net)
    trained(net, range(4))
    first = copy.deepcopy(net.state_dict())
    trained(net, range(4, 8))
    for own, theirs in zip(ema.state_dict().items(), net.state_dict().items(), strict=True):  # as timm does
        assert own[0] == theirs[0]
        average = own[1] * 0.9 + theirs[1] * 0.1
        own[1].copy_(average)
    torch.testing.assert_close(
        ema.encoder[0].weight, 0.9 * Net(make(name)).encoder[0].weight + 0.1 * net.encoder[0].weight
    )
    # As scripts that average checkpoints do: all of it as floats, bytes included.
    mean = {key: (value.double() + net.state_dict()[key].double()) / 2 for key, value in first.items()}
    fresh = Net(make(name), seed=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "what .* remembered cannot be read")
        fresh.load_state_dict(mean)
    assert trained(fresh, range(8, 11))[0].nan_to_num().isfinite().all()


def test_averages_of_learned_numbers_are_averages():
    net = Net(get_weighting("gradnorm"))
    trained(net, range(4))
    first = copy.deepcopy(memory_of(net))
    trained(net, range(4, 8))
    mean = {key: torch.lerp(first[key].double(), value.double(), 0.5) for key, value in memory_of(net).items()}
    fresh = Net(get_weighting("gradnorm"))
    fresh.load_state_dict({**net.state_dict(), **mean})
    for key, value in memory_of(fresh).items():
        torch.testing.assert_close(value.double(), mean[key])


def test_averaged_bytes_begin_anew_with_a_warning():
    net = Net(get_weighting("gradvac"))
    trained(net, range(4))
    first = copy.deepcopy(net.state_dict())
    trained(net, range(4, 8))
    mean = {key: ((value.float() + net.state_dict()[key].float()) / 2).to(value) for key, value in first.items()}
    with pytest.warns(UserWarning, match=r"what GradVac\(\) remembered cannot be read.*averaged.*begins anew"):
        net.load_state_dict(mean)
    assert net.fan.weighting._made == {}


@pytest.mark.parametrize("name", sorted(MEMORY))
def test_distributed_checkpoints_take_the_state(name):
    net, fresh = Net(make(name)), Net(make(name), seed=1)
    trained(net, range(5))
    state = get_model_state_dict(net)
    assert list(state) == list(net.state_dict())
    set_model_state_dict(fresh, state)
    torch.testing.assert_close(memory_of(fresh), memory_of(net), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", sorted(MEMORY))
def test_moving_and_casting_the_module_leaves_memory_alone(name):
    net = Net(make(name))
    trained(net, range(5))
    before = memory_of(net)
    for key, value in memory_of(net.half()).items():
        assert value.device.type == "cpu"
        if key != "fan.weighting.remembered_exp_avg" or name == "gradnorm":
            torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", sorted(MEMORY))
@pytest.mark.parametrize("assign", [True, False])
def test_a_weighting_that_does_not_know_its_tasks_yet_takes_a_state_strictly(name, assign):
    net = Net(make(name))
    trained(net, range(5))
    state = {k.removeprefix("fan.weighting."): v for k, v in net.state_dict().items() if k.startswith("fan.weighting")}
    fresh = make(name)
    assert fresh.load_state_dict(copy.deepcopy(state), assign=assign) == ([], [])
    other = Net(fresh)
    other.load_state_dict(net.state_dict())
    weights = [trained(each, range(5, 8), torch.optim.SGD(each.parameters(), 0.01))[0] for each in (net, other)]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(MEMORY))
def test_without_the_entry_nothing_is_remembered(name):
    net = Net(make(name))
    trained(net, range(5))
    state = {key: value for key, value in net.state_dict().items() if "remembered_" not in key}
    fresh = Net(make(name))
    fresh_memory = memory_of(fresh)
    assert fresh.load_state_dict(state) == ([], [])
    torch.testing.assert_close(memory_of(fresh), fresh_memory, rtol=0, atol=0, equal_nan=True)
    if any(key.startswith("fan.weighting") for key in state):  # its parameters begin anew, and so do their moments
        net.load_state_dict(state)
        torch.testing.assert_close(memory_of(net), fresh_memory, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", sorted(MEMORY))
def test_a_partial_state_leaves_memory_as_it_leaves_parameters(name):
    net = Net(make(name))
    trained(net, range(5))
    before = memory_of(net)
    net.load_state_dict({"encoder.0.bias": torch.zeros(5)}, strict=False)
    torch.testing.assert_close(memory_of(net), before, rtol=0, atol=0, equal_nan=True)


def test_entries_of_another_method_are_unexpected():
    with pytest.raises(RuntimeError, match="remembered_sets"):
        Net(get_weighting("mgda")).load_state_dict(Net(get_weighting("gradvac")).state_dict())
    with pytest.raises(RuntimeError, match="_extra_state"):
        get_weighting("mgda").load_state_dict({"_extra_state": {"tasks": ("a",)}})


@pytest.mark.parametrize("name", sorted(MEMORY - {"pcd"}))
def test_states_of_other_tasks_are_refused(name):
    net = Net(make(name))
    trained(net, range(3))
    other = FanOut(make(name), ["w", "x", "y", "z"])
    state = {key.removeprefix("fan."): value for key, value in net.state_dict().items() if key.startswith("fan.")}
    with pytest.raises(ValueError, match="for the tasks a, b, c, d, expected w, x, y, z"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    ("theirs", "remembers"), [(GradVacWeighting(), True), (UPGradWeighting(), False), (nn.Identity(), False)]
)
def test_crmogm_keeps_the_memory_of_a_wrapped_callable_if_it_has_any(theirs, remembers):
    smooth = CRMOGM(theirs)
    smooth.bind(["a", "b"])
    assert any("remembered_module" in key for key in smooth.state_dict()) == remembers


def test_users_weightings_keep_their_own_ways_of_saving():
    class Own(Weighting):
        remembers = 0

        def forward(self, gram, losses=None):  # noqa: ARG002
            return gram.diagonal()

        def get_extra_state(self):
            return {"count": 3}

        def set_extra_state(self, state):
            self.remembers = state["count"]

    fresh = Own()
    fresh.load_state_dict(Own().state_dict())
    assert fresh.remembers == 3


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": torch.randn(3, 4, dtype=torch.float64), "b": [torch.tensor(2), torch.zeros(0)]},
        {"sets": [(("a", "b"), {"": {"key": (3, torch.float32, {"device": "cpu"}), "none": None, "x": [True, 1.5]}})]},
        {
            "large": torch.arange(10_000, dtype=torch.int16),
            "half": torch.ones(2).bfloat16(),
            "flag": torch.tensor([True]),
        },
        {"state": {0: {"step": torch.tensor(3.0)}}, "text": "\u00e4\u6f22", "nan": float("inf")},
    ],
)
def test_nested_values_survive_as_bytes(value):
    found = wired(value)
    assert found.dtype == torch.uint8
    assert len(found).bit_count() == 1
    for tensor in (found, found.float()):
        back = unwired(tensor)
        assert str(back) == str(value)
    for broken in (found[:-2048][:20], found + 1, torch.zeros_like(found), found[:3]):
        with pytest.raises(ValueError, match="bytes that were changed"):
            unwired(broken)


def old_state(name, net):
    """What 0.1.0 wrote, by hand: its layout with the numbers of a training today."""
    now = memory_of(net)
    told = {key.removeprefix("fan.weighting.remembered_"): value for key, value in now.items()}
    state = {key: value for key, value in net.state_dict().items() if key not in now}
    moments = {key: told[key] for key in ("step", "exp_avg", "exp_avg_sq") if key in told}
    scalarizer = {"tasks": TASKS, "known": told.get("known"), "values": told.get("known"), "scalarizer": {"": {}}}
    if name == "gradnorm":
        extra = {"tasks": list(TASKS), "adam": moments}
    elif name == "dwa":
        averages = [average for average in told["averages"] if not average.isnan().any()]
        own = {"_loss_sum": told["sum"], "_n_batches": int(told["batches"]), "_previous_averages": averages}
        extra = {**scalarizer, "scalarizer": {"": own}}
    elif name == "famo":
        adam = torch.optim.Adam([torch.zeros(len(TASKS))], lr=0.025, weight_decay=1e-3).state_dict()
        own = {"_optimizer": {"optimizer": "Adam", "state": {**adam, "state": {0: moments}}}}
        own["_prev_losses"] = told["values"]
        extra = {**scalarizer, "values": told["values"], "scalarizer": {"": own}}
    elif name == "nashmtl":
        arrays, own = ("normalization_factor", "init_gtg", "prvs_alpha"), []
        for tasks, method in net.fan.weighting._made.items():
            path, part = next((path, part) for path, part in method.named_modules() if hasattr(part, "prvs_alpha"))
            values = {array: {"array": torch.from_numpy(getattr(part, array).copy())} for array in arrays}
            own.append((tasks, {path: {"step": part.step, **values}}))
        extra = {"tasks": TASKS, "made": own}
    elif name == "crmogm":
        extra = {"tasks": TASKS, "average": told["average"]}
        inner = net.fan.weighting.weighting
        phi = [(tasks, m._phi_t, m._state_key) for tasks, m in inner._made.items()]
        made = [(tasks, {"": {"_phi_t": own, "_state_key": key}}) for tasks, own, key in phi]
        state["fan.weighting.weighting._extra_state"] = {"tasks": TASKS, "made": made}
        state = {key: value for key, value in state.items() if "remembered_" not in key}
    elif name == "upgrad":
        extra = {"tasks": TASKS, "made": []}
    else:
        extra = scalarizer
    return {**state, "fan.weighting._extra_state": extra}


@pytest.mark.parametrize(
    "name", ["gradnorm", "uw", "imtll", "dwa", "famo", "nashmtl", "crmogm", "upgrad", "geometricmean"]
)
def test_states_of_0_1_0_load(name, tmp_path):
    net = Net(make(name))
    trained(net, range(10))
    torch.save(old_state(name, net), tmp_path / "old.pt")
    fresh = Net(make(name), seed=1)
    assert fresh.load_state_dict(torch.load(tmp_path / "old.pt", weights_only=True)) == ([], [])
    for key, value in memory_of(net).items():
        torch.testing.assert_close(memory_of(fresh)[key], value, rtol=0, atol=0, equal_nan=True)
    weights = [trained(each, range(10, 14), torch.optim.SGD(each.parameters(), 0.01))[0] for each in (net, fresh)]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_a_state_of_0_1_0_of_other_tasks_is_refused():
    net = Net(get_weighting("uw"))
    trained(net, range(2))
    state = old_state("uw", net)
    state["fan.weighting._extra_state"]["tasks"] = ("w", "x", "y", "z")
    with pytest.raises(ValueError, match="for the tasks w, x, y, z, expected a, b, c, d"):
        net.load_state_dict(state)

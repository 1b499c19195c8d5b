"""Mixtures of experts, computed at once, are what the papers' sums say, one expert at a time."""

import pytest
import torch
from torch.nn import functional

from counterpoint import MultiTaskModel
from counterpoint.models import CodeEmbedding, MMoEEncoder, MMoEHead, PLEEncoder, PLEHead
from counterpoint.models.experts import Experts, GroupedLinear

TASKS = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _double_precision():
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def expert(experts, index, x):
    """One of them, layer by layer."""
    for layer in experts:
        if isinstance(layer, GroupedLinear):
            rows = slice(index * layer.outputs, (index + 1) * layer.outputs)
            x = functional.linear(x, layer.weight[rows], layer.bias[rows]).relu()
    return x


def weighted(gate, experts):
    weights = gate.exp() / gate.exp().sum(1, keepdim=True)
    return sum(weights[:, [i]] * one for i, one in enumerate(experts))


@pytest.mark.parametrize("hidden", [(5,), (5, 3), (4, 4, 2)])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_experts_side_by_side(hidden, rows):
    experts = Experts(6, hidden, experts=4)
    same, own = torch.randn(rows, 6), torch.randn(rows, 4, 6)
    torch.testing.assert_close(experts(same), torch.stack([expert(experts, i, same) for i in range(4)], 1))
    torch.testing.assert_close(experts(own), torch.stack([expert(experts, i, own[:, i]) for i in range(4)], 1))


def test_each_group_starts_as_a_linear_layer_of_its_own():
    layer, bound = GroupedLinear(100, 50, groups=8), 100**-0.5
    assert float(layer.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    assert float(layer.weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("tower", [(), (3,)])
def test_mmoe(tower):
    embed = CodeEmbedding(5, (4,))
    encoder = MMoEEncoder(embed.width, (8, 4), experts=3, embed=embed)
    heads = {task: MMoEHead(embed.width, 4, 3, outputs=2, hidden=tower) for task in TASKS}
    model = MultiTaskModel(encoder, heads)
    x = torch.cat([torch.randn(7, 5), torch.randint(0, 4, (7, 1)).double()], 1)
    outputs = model(x)
    z = embed(x)
    experts = [expert(encoder.experts, i, z) for i in range(3)]
    for task, head in heads.items():
        torch.testing.assert_close(outputs[task], head.tower(weighted(head.gate(z), experts)))


@pytest.mark.parametrize("own", [1, 2])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ple(levels, own):
    encoder = PLEEncoder(5, (8, 4), len(TASKS), levels=levels, shared=3, own=own)
    heads = {
        task: PLEHead(encoder.features, (8, 4), 2, shared=3, own=own, tower_hidden=(3,), position=i)
        for i, task in enumerate(TASKS)
    }
    assert encoder.features == (5 if levels == 1 else 4)
    if levels == 1:
        for head in heads.values():
            head.position = 0
    x = torch.randn(7, 5)
    outputs = MultiTaskModel(encoder, heads)(x)

    common, by_task = x, [x] * len(TASKS)
    for level in encoder.lower:
        shared = [expert(level.shared, i, common) for i in range(3)]
        mine = [[expert(level.own, t * own + i, by_task[t]) for i in range(own)] for t in range(len(TASKS))]
        gates = [
            functional.linear(
                z, *(p[t * (own + 3) : (t + 1) * (own + 3)] for p in (level.gates.weight, level.gates.bias))
            )
            for t, z in enumerate(by_task)
        ]
        common = weighted(level.common_gate(common), [*(one for group in mine for one in group), *shared])
        by_task = [weighted(gate, [*group, *shared]) for gate, group in zip(gates, mine, strict=True)]
    shared = [expert(encoder.shared, i, common) for i in range(3)]
    for t, (task, head) in enumerate(heads.items()):
        mine = [expert(head.own, i, by_task[t]) for i in range(own)]
        torch.testing.assert_close(outputs[task], head.tower(weighted(head.gate(by_task[t]), [*mine, *shared])))


def test_with_two_levels_a_task_moves_the_other_tasks_experts_only_through_the_shared_ones():
    encoder = PLEEncoder(5, (4,), 2, levels=2, shared=2)
    level = encoder.lower[0]
    *by_task, shared = encoder(torch.randn(6, 5))
    first = torch.autograd.grad(by_task[0].sum(), level.own[0].weight, retain_graph=True)[0].unflatten(0, (2, 4))
    assert first[0].any()
    assert not first[1].any()
    assert torch.autograd.grad(shared.sum(), level.own[0].weight)[0].unflatten(0, (2, 4))[1].any()


@pytest.mark.parametrize("present", [TASKS, ("b",), ("c", "a")])
@pytest.mark.parametrize("kind", ["mmoe", "ple", "ple of two levels"])
def test_uniform_weights_are_the_plain_sum_whatever_tasks_are_there(kind, present):
    """Autograd knows nothing of a FanOut in evaluation, which hands the features on."""
    embed = CodeEmbedding(5, (4,))
    width = embed.width
    if kind == "mmoe":
        encoder, heads = MMoEEncoder(width, (8,), embed=embed), {t: MMoEHead(width, 8, 4, 1) for t in TASKS}
    elif kind == "ple":
        encoder, heads = PLEEncoder(width, (8,), 3, embed=embed), {t: PLEHead(width, (8,), 1) for t in TASKS}
    else:
        encoder = PLEEncoder(width, (8,), 3, levels=2, embed=embed)
        heads = {t: PLEHead(encoder.features, (8,), 1, position=i) for i, t in enumerate(TASKS)}
    model = MultiTaskModel(encoder, heads)
    x = torch.cat([torch.randn(7, 5), torch.randint(0, 4, (7, 1)).double()], 1)

    def gradients(mode):
        model.train(mode)
        model.zero_grad()
        sum(output.square().mean() for output in model(x, present).values()).backward()
        return {name: p.grad for name, p in model.named_parameters()}

    plain = gradients(mode=False)
    assert any(name.startswith("encoder.embed") for name in plain)
    for name, balanced in gradients(mode=True).items():
        if plain[name] is None:
            assert balanced is None
        else:
            torch.testing.assert_close(balanced, plain[name])
    assert model.fan_out.last.present == tuple(task for task in TASKS if task in present)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experts(3, (), 2), "hidden is empty"),
        (lambda: MMoEEncoder(3, (4,), experts=0), "experts is 0, expected at least 1"),
        (lambda: PLEEncoder(3, (4,), tasks=0), "tasks is 0, expected at least 1"),
        (lambda: PLEEncoder(3, (4,), tasks=2, levels=0), "levels is 0, expected at least 1"),
        (lambda: PLEEncoder(3, (), tasks=2, levels=2), "hidden is empty"),
        (lambda: PLEHead(3, (), 1), "hidden is empty"),
    ],
)
def test_sizes_that_make_no_mixture_get_one_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()

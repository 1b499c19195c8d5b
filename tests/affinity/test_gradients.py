"""However the graphs of the losses meet, gradients are those of one pass for each task."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from counterpoint import MGDA, DiBS, FanOut
from counterpoint.affinity.gradients import SharedGradients
from counterpoint.balancing.ranks import Ranks

TASKS = ["a", "b", "c"]


def net(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers).double()


def mlp():
    return net(nn.Linear(6, 5), nn.GELU(), nn.LayerNorm(5), nn.Dropout(0.2), nn.Linear(5, 4))


def convolutional():
    return net(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 2, 2, padding=1),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 4),
    )


def heads():
    torch.manual_seed(1)
    return {task: nn.Linear(4, 2).double() for task in TASKS}


def plain(encoder, x, fan):
    z = fan(encoder(x)) if fan else dict.fromkeys(TASKS, encoder(x))
    return {task: (head(z[task]) - 1.0).square().mean() for task, head in heads().items()}


def several_features(encoder, x, fan):
    features = (encoder[:2](x), encoder(x))
    z = fan(features) if fan else dict.fromkeys(TASKS, features)
    return {task: head(z[task][1]).square().mean() + z[task][0].sin().mean() for task, head in heads().items()}


def shared_parameters_in_heads(encoder, x, fan):
    z = fan(encoder(x)) if fan else dict.fromkeys(TASKS, encoder(x))
    first = next(encoder.parameters())
    return {
        task: head(z[task]).square().mean() + (position * first).sin().sum()
        for position, (task, head) in enumerate(heads().items())
    }


def a_common_part_after_the_fork(encoder, x, fan):
    z = fan(encoder(x)) if fan else dict.fromkeys(TASKS, encoder(x))
    own = {task: head(z[task]) for task, head in heads().items()}
    return own_and_others(own)


def own_and_others(own):
    both = (own["a"] * own["b"]).square().mean()
    return {"a": own["a"].square().mean() + both, "b": own["b"].square().mean() + both, "c": own["c"].square().mean()}


def a_loss_within_another(encoder, x, fan):
    losses = plain(encoder, x, fan)
    return losses | {"c": losses["a"] + 2 * losses["b"]}


def one_loss_for_two(encoder, x, fan):
    losses = plain(encoder, x, fan)
    return losses | {"b": losses["a"]}


def a_fan_out_behind_another(encoder, x, fan):
    z = encoder[:2](x)
    z = FanOut(MGDA(), ["all", "rest"])(z)["all"] if fan else z
    z = encoder[2:](z)
    z = fan(z) if fan else dict.fromkeys(TASKS, z)
    return {task: head(z[task]).square().mean() for task, head in heads().items()}


def a_task_without_part_of_the_encoder(encoder, x, fan):
    losses = plain(encoder, x, fan)
    return losses | {"c": encoder[:2](x).square().mean()}


def a_loss_that_sums_others_with_a_fan_out(encoder, x, fan):
    losses = plain(encoder, x, fan)
    if fan is None:
        return losses
    inner = FanOut(MGDA(), ["one", "two"])
    return losses | {"c": inner.sum({"one": losses["c"] / 4, "two": losses["c"] * 3 / 4})}


WAYS = [
    plain,
    several_features,
    shared_parameters_in_heads,
    a_common_part_after_the_fork,
    a_loss_within_another,
    one_loss_for_two,
    a_fan_out_behind_another,
    a_task_without_part_of_the_encoder,
    a_loss_that_sums_others_with_a_fan_out,
]


def gradients_of(losses, shared, together=True):
    gradients = SharedGradients(losses, shared, Ranks(None), dict.fromkeys(losses, 1), together=together)
    with gradients.unbalanced():
        return gradients, gradients.rows()


def dense(rows, shared):
    return torch.stack(
        [
            torch.cat(
                [(p.new_zeros(p.shape) if g is None else g).reshape(-1) for g, p in zip(row, shared, strict=True)]
            )
            for row in rows
        ]
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoder", [mlp, convolutional])
@pytest.mark.parametrize("with_fan", [False, True])
def test_they_are_those_of_one_pass_a_task(way, encoder, with_fan):
    network = encoder()
    shared = list(network.parameters())
    x = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(3)
    losses = way(network, x, FanOut(DiBS(), TASKS) if with_fan else None)
    torch.manual_seed(3)
    without = way(network, x, None)
    expected = [torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True) for loss in without.values()]
    for together in (True, False):
        gradients, rows = gradients_of(losses, shared, together)
        torch.testing.assert_close(dense(rows, shared), dense(expected, shared), rtol=1e-12, atol=1e-14)
        with gradients.unbalanced():
            one_by_one = [gradients.row(task) for task in losses]
        torch.testing.assert_close(dense(one_by_one, shared), dense(expected, shared), rtol=1e-12, atol=1e-14)
    sum(losses.values()).backward()  # the graph is still there


def test_linear_encoders_go_at_once_and_others_one_by_one():
    x = torch.randn(8, 6, dtype=torch.float64)
    for encoder, at_once in ((mlp(), True), (convolutional(), False)):
        losses = plain(encoder, x, None)
        gradients, _ = gradients_of(losses, list(encoder.parameters()))
        assert (gradients.columns() is not None) is at_once


def test_hooks_that_do_not_bear_a_batch_are_called_one_by_one():
    encoder, seen = mlp(), []
    x = torch.randn(8, 6, dtype=torch.float64)
    z = encoder[:2](x)
    z.register_hook(lambda gradient: seen.append(float(gradient.sum())))
    z = encoder[2:](z)
    losses = {task: head(z).square().mean() for task, head in heads().items()}
    gradients_of(losses, list(encoder.parameters()))
    assert len(seen) == 3


def test_sparse_gradients_of_embeddings():
    embedding = nn.Embedding(10, 4, sparse=True).double()
    z = embedding(torch.tensor([1, 2, 2]))
    losses = {task: head(z).square().mean() for task, head in heads().items()}
    _, rows = gradients_of(losses, [embedding.weight])
    assert not any(row[0].is_sparse for row in rows)
    assert rows[0][0][2].any()


def test_a_loss_that_is_itself_a_leaf_is_not_connected():
    encoder = mlp()
    leaf = torch.ones((), dtype=torch.float64, requires_grad=True)
    losses = plain(encoder, torch.randn(8, 6, dtype=torch.float64), None) | {"b": leaf}
    with pytest.raises(ValueError, match="loss of task 'b' is not connected"):
        gradients_of(losses, list(encoder.parameters()))


@pytest.mark.parametrize("together", [False, True])
def test_parameters_hidden_in_a_reentrant_checkpoint_are_not_taken_for_unused(together):
    encoder, x = mlp(), torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    z = encoder[2:](checkpoint(encoder[:2], x, use_reentrant=True))
    losses = {task: head(z).square().mean() for task, head in heads().items()}
    with pytest.raises(
        ValueError, match=r"shape \[5, 6\] is out of reach of the loss of task 'a'.*use_reentrant=False"
    ):
        gradients_of(losses, list(encoder.parameters()), together)
    last = list(encoder[2:].parameters())
    gradients_of(losses, last, together)


def test_every_loss_unconnected_is_told():
    other = mlp()
    losses = plain(mlp(), torch.randn(8, 6, dtype=torch.float64), None)
    with pytest.raises(ValueError, match="loss of task 'a' is not connected"):
        gradients_of(losses, list(other.parameters()))

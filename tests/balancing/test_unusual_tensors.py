"""Tensors that are not rows of real numbers: they work, or one line says what to hand over instead."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from counterpoint import MGDA, DiBS, FanOut, Nash, Uniform, backward

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of:UserWarning", "ignore:Sparse:UserWarning")


def nested(layout):
    return torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], requires_grad=True, layout=layout)


def packed():
    return nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])


def eye():
    return torch.eye(4)


FEATURES = {
    "nested": (lambda: nested(torch.strided), "a nested tensor, expected one of rows of equal length"),
    "jagged": (lambda: nested(torch.jagged), "a nested tensor"),
    "COO": (lambda: eye().to_sparse().requires_grad_(), "of layout torch.sparse_coo, expected dense ones"),
    "CSR": (lambda: eye().to_sparse_csr().requires_grad_(), "of layout torch.sparse_csr"),
    "BSR": (lambda: eye().to_sparse_bsr((2, 2)).requires_grad_(), "of layout torch.sparse_bsr"),
    "MKLDNN": (lambda: eye().to_mkldnn().requires_grad_(), "of layout torch._mkldnn"),
    "complex": (
        lambda: torch.eye(4, dtype=torch.complex64, requires_grad=True),
        "torch.complex64, expected real numbers",
    ),
    "packed": (packed, r"a PackedSequence, expected tensors: hand over packed\.data"),
    "several packed": (lambda: [packed(), packed()], "a PackedSequence"),
    "one of several": (lambda: [eye().requires_grad_(), eye().to_sparse().requires_grad_()], "of layout"),
}


def with_layer(features):
    FanOut(MGDA(), ["a", "b"])(features)


def with_backward(features):
    backward({"a": torch.ones((), requires_grad=True)}, MGDA(), features=features)


@pytest.mark.parametrize("use", [with_layer, with_backward])
@pytest.mark.parametrize("kind", FEATURES)
def test_features_without_inner_products_are_refused_in_one_line(use, kind):
    features, message = FEATURES[kind]
    with pytest.raises(TypeError, match=message) as caught:
        use(features())
    assert "\n" not in str(caught.value)


def test_what_needs_no_gradient_is_handed_on_whatever_it_is():
    """A graph network's sparse adjacency beside its features, offsets beside values."""
    adjacency, jagged, offsets = eye().to_sparse(), nested(torch.jagged).detach(), torch.arange(3)
    z = FanOut(MGDA(), ["a", "b"])([eye().requires_grad_(), adjacency, jagged, offsets, offsets > 1])
    assert z["a"][1] is adjacency
    assert z["b"][2] is jagged
    sum((z[task][1] @ z[task][0]).sum() for task in z).backward()


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_evaluation_hands_on_nested_tensors(layout):
    given = nested(layout)
    assert FanOut(MGDA(), ["a", "b"]).eval()(given)["a"] is given


def test_the_data_of_a_packed_sequence_is_balanced():
    """The way that the message shows."""
    torch.manual_seed(0)
    lstm, fan = nn.LSTM(2, 3), FanOut(MGDA(), ["a", "b"])
    heads = {"a": nn.GRU(3, 1), "b": nn.GRU(3, 1)}
    out, _ = lstm(packed())
    z = fan(out.data)
    fan.sum({t: (head(out._replace(data=z[t]))[1] - 1).square().mean() for t, head in heads.items()}).backward()
    assert fan.last.weights.sum() == pytest.approx(1.0)
    assert lstm.weight_ih_l0.grad.norm() > 0


def test_transforms_of_torch_func_are_refused_in_one_line_and_pass_in_evaluation():
    encoder, fan = nn.Linear(3, 2), FanOut(MGDA(), ["a", "b"])
    parameters, x = dict(encoder.named_parameters()), torch.ones(4, 3)

    def loss(own, x=x):
        return sum(part.square().mean() for part in fan(torch.func.functional_call(encoder, own, (x,))).values())

    uses = {
        "grad": lambda: torch.func.grad(loss)(parameters),
        "vmap": lambda: torch.vmap(lambda row: loss(parameters, row))(x),
        "jacrev": lambda: torch.func.jacrev(loss)(parameters),
        "hessian": lambda: torch.func.hessian(loss)(parameters),
    }
    for use in uses.values():
        with pytest.raises(TypeError, match=r"FanOut is called within a transform of torch\.func") as caught:
            use()
        assert "\n" not in str(caught.value)
    with forward_ad.dual_level(), pytest.raises(TypeError, match=r"forward_ad, expected loss\.backward"):
        fan(encoder(forward_ad.make_dual(x, x)))
    fan.eval()
    expected = torch.autograd.grad(loss(parameters), [*parameters.values()])
    torch.testing.assert_close([*uses["grad"]().values()], [*expected])
    uses["vmap"]()


def test_backward_within_a_transform_is_refused_and_with_functional_call_works():
    torch.manual_seed(0)
    encoder, x = nn.Linear(3, 2), torch.randn(4, 3)
    parameters = dict(encoder.named_parameters())

    def losses(own):
        z = torch.func.functional_call(encoder, own, (x,))
        return {"a": z[:, 0].square().mean(), "b": (z - 1).square().mean()}

    def within(own):
        backward(losses(own), MGDA(), shared=encoder)
        return torch.zeros(())

    with pytest.raises(TypeError, match=r"losses are computed within a transform of torch\.func"):
        torch.func.grad(within)(parameters)
    backward(losses(parameters), MGDA(), shared=parameters.values())
    found = [p.grad.clone() for p in encoder.parameters()]
    encoder.zero_grad()
    backward({"a": encoder(x)[:, 0].square().mean(), "b": (encoder(x) - 1).square().mean()}, MGDA(), shared=encoder)
    torch.testing.assert_close(found, [p.grad for p in encoder.parameters()])


def test_a_complex_loss_is_refused():
    loss = torch.ones((), requires_grad=True) * 1j
    with pytest.raises(TypeError, match=r"loss of task 'a' is torch.complex64, expected a real number: take \.real"):
        backward({"a": loss}, MGDA(), features=torch.ones(1, requires_grad=True))


class Words(nn.Module):
    """Two kinds of shared embeddings, and one that a head owns."""

    def __init__(self, *, sparse):
        super().__init__()
        torch.manual_seed(0)
        self.word = nn.Embedding(9, 6, sparse=sparse)
        self.bag = nn.EmbeddingBag(9, 6, sparse=sparse, mode="sum")
        self.own = nn.Embedding(4, 1, sparse=sparse)
        self.heads = nn.ModuleDict({task: nn.Linear(6, 1) for task in "ab"})

    def losses(self):
        first, second = torch.tensor([0, 1, 1, 2]), torch.tensor([2, 3, 3, 4])
        a = self.heads["a"](self.word(first) + self.bag(first[:, None])) - 1
        b = self.heads["b"](self.word(second) + self.bag(second[:, None])) + 2
        return {"a": a.square().mean(), "b": 1.5 * (b + self.own(torch.tensor([0, 1, 1, 2]))).square().mean()}

    def shared(self):
        return [*self.word.parameters(), *self.bag.parameters()]


@pytest.mark.parametrize(
    "options", [{}, {"heads": "weighted"}, {"memory": "recompute"}, {"every": 2}, {"scale": 0.5}], ids=str
)
@pytest.mark.parametrize("weighting", [MGDA(), DiBS(), Nash(), Uniform()], ids=lambda w: type(w).__name__)
def test_sparse_gradients_stay_sparse_and_are_those_of_dense_ones(weighting, options):
    sparse, dense = Words(sparse=True), Words(sparse=False)
    for words in (sparse, dense):
        own = copy.deepcopy(weighting)
        for _ in range(3):  # accumulated: into nothing, then into what is there
            backward(words.losses(), own, shared=words.shared(), **options)
    for (name, one), (_, other) in zip(sparse.named_parameters(), dense.named_parameters(), strict=True):
        assert one.grad.is_sparse == (not name.startswith("heads"))
        torch.testing.assert_close(one.grad.to_dense(), other.grad)
    assert sparse.word.weight.grad.coalesce().indices().tolist() == [[0, 1, 2, 3, 4]]


def test_sparse_adam_steps_as_on_the_gradient_of_the_weighted_sum():
    balanced, plain = Words(sparse=True), Words(sparse=True)
    record = backward(balanced.losses(), DiBS(), shared=balanced.word, heads="weighted")
    sum(weight * loss for weight, loss in zip(record.weights.tolist(), plain.losses().values(), strict=True)).backward()
    for words in (balanced, plain):
        torch.optim.SparseAdam([words.word.weight, words.own.weight], lr=0.1).step()
    torch.testing.assert_close(balanced.word.weight, plain.word.weight)
    torch.testing.assert_close(balanced.own.weight, plain.own.weight)


def test_a_gradient_is_dense_where_one_of_its_parts_is():
    """As in an ordinary backward pass: tied to an output layer, or added to what an optimizer's dense zeros left."""
    words = Words(sparse=True)
    tied = words.losses()
    tied["a"] = tied["a"] + 0.1 * words.word.weight.square().sum()
    backward(tied, MGDA(), shared=words.word)
    assert not words.word.weight.grad.is_sparse
    words = Words(sparse=True)
    words.word.weight.grad = torch.ones(9, 6)
    backward(words.losses(), MGDA(), shared=words.word)
    assert not words.word.weight.grad.is_sparse
    assert bool((words.word.weight.grad[5:] == 1).all())
    words = Words(sparse=True)
    backward(words.losses(), Uniform(), shared=words.word)
    dense = {"a": words.word.weight.square().sum()}
    expected = words.word.weight.grad.to_dense() + 2 * words.word.weight.detach()
    backward(dense, Uniform(), shared=words.word)
    torch.testing.assert_close(words.word.weight.grad, expected)


def test_a_skipped_task_leaves_no_rows_behind():
    words = Words(sparse=True)
    losses = words.losses()
    losses["b"] = losses["b"] * torch.inf
    assert backward(losses, MGDA(), shared=words.word, on_nonfinite="skip").skipped == ("b",)
    assert words.word.weight.grad.coalesce().indices().tolist() == [[0, 1, 2]]

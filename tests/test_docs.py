"""What docs/*.md prints works as printed, and trains what a loop written by hand would train."""

import copy
import re
import subprocess
import sys
import warnings
from pathlib import Path

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import BertConfig, BertModel, Trainer, TrainerCallback, TrainingArguments

from counterpoint import MGDA, FanOut

from .warm import launch

DOCS = Path(__file__).parents[1] / "docs"
# Fences marked otherwise, such as "python no-run", are not run.
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(page, block, id=f"{page.stem}-{number}")
    for page in sorted(DOCS.glob("*.md"))
    if page.name != "ranks.md"  # one program for two processes
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), start=1)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_blocks_run_by_themselves(page, block, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        exec(compile(block, str(page), "exec"), namespace)  # noqa: S102  (our own text)
    assert capsys.readouterr().out, "prints nothing"
    assert not list(tmp_path.iterdir()), "leaves files behind"
    if page.name == "loops.md":
        assert 0 < namespace["after"] < namespace["before"] / 3, "does not train"


def test_every_loop_has_a_block():
    text = (DOCS / "loops.md").read_text(encoding="utf-8")
    sections = re.split(r"(?m)^## ", text)[1:]
    assert [len(BLOCK.findall(section)) for section in sections] == [1] * 8
    anchors = {section.splitlines()[0].lower().replace(" ", "-") for section in sections}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) == anchors


def test_transformed_losses_train_the_same(capsys):
    block = next(block for block in BLOCK.findall((DOCS / "loops.md").read_text(encoding="utf-8")) if "DiBS" in block)
    namespace = {}
    with torch.random.fork_rng():
        exec(compile(block, "loops.md", "exec"), namespace)  # noqa: S102  (our own text)
    assert capsys.readouterr().out
    assert namespace["after_of_logarithm"] == pytest.approx(namespace["after"], rel=1e-3)


def test_the_page_on_ranks_is_a_program_for_two_processes(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("\n".join(BLOCK.findall((DOCS / "ranks.md").read_text(encoding="utf-8"))), encoding="utf-8")
    codes, said = launch(program, tmp_path)
    assert codes == [0, 0], said
    shown = "".join(said).split("tensor")[1:]
    assert len(shown) == 4, said  # two lines by each rank
    assert shown[0].split(")")[0] in "".join(shown[1:])


class TwoHeads(nn.Module):
    """A tiny BERT that remembers its micro-batches, and its weighting the Gram matrices."""

    def __init__(self, told=True):
        super().__init__()
        config = BertConfig(
            vocab_size=20,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            hidden_dropout_prob=0.0,  # so that the same micro-batch gives the same gradient again
            attention_probs_dropout_prob=0.0,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})
        self.fan = FanOut(self.weigh, tasks=["a", "b"])
        self.told = told
        self.batches, self.grams, self.weights = [], [], []

    def weigh(self, gram):
        self.grams.append(gram)
        self.weights.append(MGDA()(gram))
        return self.weights[-1]

    def losses(self, z, labels):
        return {task: nn.functional.cross_entropy(self.heads[task](z[task]), labels[task]) for task in ("a", "b")}

    def forward(self, input_ids, attention_mask, labels_a, labels_b):
        if self.training:
            self.batches.append((input_ids, attention_mask, {"a": labels_a, "b": labels_b}))
        z = self.fan(self.encoder(input_ids, attention_mask).last_hidden_state[:, 0])
        losses = self.losses(z, {"a": labels_a, "b": labels_b})
        return {"loss": self.fan.sum(losses) if self.told else losses["a"] + losses["b"]}


def by_hand(network, batches):
    """The mean over micro-batches of balanced gradients into ``.grad``, in separate passes; Gram matrices, weights."""
    network.zero_grad()
    grams, weights = [], []
    for ids, mask, labels in batches:
        features = network.encoder(ids, mask).last_hidden_state[:, 0]
        losses = network.losses({"a": features, "b": features}, labels)
        a, b = (torch.autograd.grad(losses[task], features, retain_graph=True)[0] for task in ("a", "b"))
        share = float(((b - a) * b).sum() / (b - a).square().sum())  # Sener & Koltun 2018, Eq. 4
        share = min(1.0, max(0.0, share))
        features.backward((share * a + (1 - share) * b) / len(batches), retain_graph=True)
        for task, head in network.heads.items():
            own = torch.autograd.grad(losses[task] / len(batches), tuple(head.parameters()), retain_graph=True)
            for parameter, gradient in zip(head.parameters(), own, strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        grams.append(torch.stack([(a * a).sum(), (a * b).sum(), (a * b).sum(), (b * b).sum()]).view(2, 2))
        weights.append(torch.tensor([share, 1 - share]))
    return grams, weights


def rows(count):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 20, (count, 6), generator=generator)
    return [
        {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels_a": int(ids[0] % 2),
            "labels_b": int(ids[1] % 3),
        }
        for ids in tokens
    ]


class Snapshots:
    """Copies of the network as the optimizer finds it."""

    def __init__(self, network):
        self.network, self.taken = network, []

    def take(self):
        gradients = {name: p.grad.clone() for name, p in self.network.named_parameters() if p.grad is not None}
        self.taken.append((copy.deepcopy(self.network.state_dict()), gradients))


def train_with_hugging_face(network, data, snapshots, folder):
    class BeforeStep(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):  # noqa: ARG002
            snapshots.take()

    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        learning_rate=1e-2,
        max_grad_norm=0.0,  # no clipping
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    Trainer(network, arguments, train_dataset=data, callbacks=[BeforeStep()]).train()


def train_with_lightning(network, data, snapshots, folder):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network

        def training_step(self, batch, batch_idx):  # noqa: ARG002
            return self.network(**batch)["loss"]

        def on_before_optimizer_step(self, optimizer):  # noqa: ARG002
            snapshots.take()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=2,
        accumulate_grad_batches=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(Module(), DataLoader(data, batch_size=4))


@pytest.mark.parametrize("told", [True, False], ids=["fan.sum", "plain sum"])
@pytest.mark.parametrize(
    ("train", "micro_batches"),
    # The last update of an epoch of five has one micro-batch, which Hugging Face does not divide by two.
    [(train_with_hugging_face, [2, 2, 1]), (train_with_lightning, [2, 2])],
    ids=["Hugging Face", "Lightning"],
)
def test_accumulation_equals_a_loop_by_hand(train, micro_batches, told, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TwoHeads(told).double()
        snapshots = Snapshots(network)
        train(network, rows(4 * sum(micro_batches)), snapshots, tmp_path)
    sizes = micro_batches * 2  # two epochs
    assert len(snapshots.taken) == len(sizes)
    assert len(network.batches) == len(network.weights) == sum(sizes)
    assert len({float(weights[0]) for weights in network.weights}) == sum(sizes), "each micro-batch has its own weights"
    reference = TwoHeads().double()
    position = 0
    for (state, gradients), size in zip(snapshots.taken, sizes, strict=True):
        reference.load_state_dict(state)
        now = slice(position, position + size)
        grams, weights = by_hand(reference, network.batches[now])
        expected = {name: p.grad for name, p in reference.named_parameters() if p.grad is not None}
        torch.testing.assert_close(gradients, expected, rtol=1e-7, atol=1e-12)
        torch.testing.assert_close(torch.stack(network.weights[now]), torch.stack(weights).double(), rtol=1e-7, atol=0)
        # Only fan.sum knows what the Trainer divided the loss by, and takes it out.
        scale = 1 if told else 1 / size
        measured = torch.stack(network.grams[now])
        torch.testing.assert_close(measured, torch.stack(grams) * scale**2, rtol=1e-7, atol=1e-12)
        position += size


def test_hugging_face_evaluates(tmp_path):
    arguments = TrainingArguments(tmp_path, report_to="none", disable_tqdm=True, use_cpu=True)
    network = TwoHeads()
    result = Trainer(network, arguments, eval_dataset=rows(8)).evaluate()
    data = rows(8)
    batch = {name: torch.stack([torch.as_tensor(row[name]) for row in data]) for name in data[0]}
    network.told = False
    with torch.no_grad():
        assert result["eval_loss"] == pytest.approx(float(network(**batch)["loss"]), rel=1e-5)


def test_the_tables_of_vision_are_those_of_the_benchmark():
    benchmarks = DOCS.parent / "benchmarks"
    command = [sys.executable, str(benchmarks / "vision_tables.py"), str(benchmarks / "results" / "vision.json")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("\n###") == 5, "a section a part"
    assert printed.strip() in (DOCS / "vision.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "script"), [("trajectory.md", "explain"), ("study.md", "study")])
def test_the_findings_are_those_of_the_benchmark(page, script):
    benchmarks = DOCS.parent / "benchmarks"
    saved = sorted(map(str, (benchmarks / "results").glob(f"{script}_*.json")))
    command = [sys.executable, str(benchmarks / f"{script}.py"), "--tables", *saved]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tables = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(tables) > 10
    written = (DOCS / page).read_text(encoding="utf-8").splitlines()
    assert [line for line in tables if line not in written] == []

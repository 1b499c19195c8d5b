"""The Hugging Face Trainer saves models whose weighting remembers, with safetensors, and resumes from what it saved."""

import pytest
import torch
from torch import nn

from counterpoint import FanOut, get_weighting

transformers = pytest.importorskip("transformers")


class Net(nn.Module):
    def __init__(self, name, seed=0, **options):
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Linear(4, 8)
        self.heads = nn.ModuleDict({task: nn.Linear(8, 1) for task in "ab"})
        self.fan = FanOut(get_weighting(name, **options), ["a", "b"])

    def forward(self, x, labels_a, labels_b):
        z = self.fan(self.encoder(x))
        labels = {"a": labels_a, "b": labels_b}
        return {"loss": self.fan.sum({t: (self.heads[t](z[t])[:, 0] - labels[t]).square().mean() for t in "ab"})}


def trainer_of(net, folder, epochs=2):
    torch.manual_seed(1)
    rows = [{"x": row, "labels_a": row[0], "labels_b": row[1]} for row in torch.randn(32, 4)]
    arguments = transformers.TrainingArguments(
        folder,
        num_train_epochs=epochs,
        save_strategy="epoch",
        lr_scheduler_type="constant",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        logging_strategy="no",
    )
    return transformers.Trainer(net, arguments, train_dataset=rows)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mgda", {}),
        ("upgrad", {}),
        ("gradnorm", {}),
        ("uw", {}),
        ("gradvac", {}),
        ("crmogm", {"weighting": "pcd"}),
    ],
)
def test_a_checkpoint_is_saved_and_resumed_from(name, options, tmp_path):
    whole = Net(name, **options)
    trainer_of(whole, tmp_path).train()
    (first, *_) = sorted(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert (first / "model.safetensors").exists()
    resumed = Net(name, seed=5, **options)
    trainer_of(resumed, tmp_path).train(resume_from_checkpoint=str(first))
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=0, atol=0, equal_nan=True)

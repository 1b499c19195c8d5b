"""Raw outputs for every row, in order, and the module is left as it was."""

import pytest
import torch
from torch import nn

from counterpoint import MultiTaskModel, Task
from counterpoint.data import Split
from counterpoint.training import MultiTaskModule
from counterpoint.training.predictions import predict_split


def made():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    heads = {"b": nn.Linear(8, 3), "a.b": nn.Linear(8, 1)}
    module = MultiTaskModule(
        MultiTaskModel(encoder, heads), [Task.classification("b", 3), Task.regression("a.b", partial=True)]
    )
    return module.train()


def test_every_row_in_order_as_in_evaluation():
    module, x = made(), torch.randn(23, 4)
    module.model.encoder[1].eval()  # frozen
    found = predict_split(module, Split(x, {"b": torch.zeros(23)}), 5)
    assert all(part.training for part in (module, module.model.encoder[2]))
    assert not module.model.encoder[1].training
    module.eval()
    with torch.no_grad():
        expected = module.model(x)
    assert list(found) == ["b", "a.b"]
    for task, outputs in expected.items():
        torch.testing.assert_close(found[task], outputs)
        assert not found[task].requires_grad


def test_outputs_leave_the_device_batch_by_batch(monkeypatch):
    """Dense outputs of all rows would fill a GPU: nothing waits there for the last batch."""
    waiting, most = [], []
    module = made()
    forward = module.model.forward

    class OnDevice(torch.Tensor):
        def cpu(self):
            waiting.remove(self.number)
            return torch.Tensor(self)

    def counted(inputs, *rest):
        outputs = forward(inputs, *rest)
        for name, own in outputs.items():
            outputs[name] = own.as_subclass(OnDevice)
            outputs[name].number = len(most), name
            waiting.append(outputs[name].number)
        most.append(len(waiting))
        return outputs

    monkeypatch.setattr(module.model, "forward", counted)
    found = predict_split(module, Split(torch.randn(12, 4), {}), 4)
    assert (most, waiting) == ([2, 2, 2], [])
    assert found["b"].shape == (12, 3)


def test_no_rows_get_one_line():
    with pytest.raises(ValueError, match="the split has no rows, expected at least one"):
        predict_split(made(), Split(torch.zeros(0, 4), {}))

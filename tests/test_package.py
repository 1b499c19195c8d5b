"""What a user meets first: imports, names, docstrings."""

import inspect
import subprocess
import sys

import pytest

import counterpoint


def modules_after(statement):
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_costs_little():
    """The package itself loads nothing; its names load torch, never the libraries of the extras."""
    assert "torch" not in modules_after("import counterpoint")
    loaded = modules_after("import counterpoint; counterpoint.FanOut, counterpoint.MultiTaskModel, counterpoint.Task")
    assert "torch" in loaded
    assert not loaded & {"lightning", "pandas", "torchjd", "torchmetrics", "plotly", "matplotlib", "rich"}
    assert "torch" not in modules_after("import counterpoint.cli, counterpoint.report")


def test_every_public_name_is_there():
    for name in counterpoint.__all__:
        assert getattr(counterpoint, name) is not None
        assert name in dir(counterpoint)
    with pytest.raises(AttributeError, match="no attribute 'Gradients'"):
        _ = counterpoint.Gradients


@pytest.mark.parametrize("name", counterpoint.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(counterpoint, name)
    text = inspect.getdoc(value)
    assert text
    assert len(text.splitlines()[0]) <= 120
    if name not in {"NonFiniteGradientError", "MinNormPoint"}:  # shown in the examples of what makes them
        assert ">>>" in text, f"{name} has no example"

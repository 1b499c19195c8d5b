"""What is read off finished results needs no torch."""

import subprocess
import sys

import pytest

import counterpoint.trajectory


@pytest.mark.parametrize("name", ["conflict", "generalization_gap"])
def test_no_torch_where_none_is_needed(name):
    code = f"import sys; from counterpoint import {name}; assert callable({name}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_name_is_there():
    for name in counterpoint.trajectory.__all__:
        assert callable(getattr(counterpoint.trajectory, name))
        assert name in dir(counterpoint.trajectory)
    with pytest.raises(AttributeError, match="no attribute 'sharpness'"):
        _ = counterpoint.trajectory.sharpness

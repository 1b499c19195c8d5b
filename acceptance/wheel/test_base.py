"""``pip install counterpoint``: the first three questions, types, and no library of the extras."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

GROUPING = """
from counterpoint import group_tasks
grouping = group_tasks([[0, 3, -1], [3, 0, -1], [-1, -1, 0]], tasks=["price", "rent", "stars"], networks=2)
print(grouping.status, *("+".join(network.tasks) for network in grouping.networks))
"""

GAP = """
import numpy as np
from counterpoint import Trajectory, generalization_gap
loss = np.linspace(2.0, 0.2, 40)
random = np.random.default_rng(0)
def runs(gain):
    return [Trajectory(loss, 0.9 + gain - 0.2 * loss + random.normal(0, 0.001, 40)) for _ in range(3)]
gap = generalization_gap(runs(0.0), runs(0.05))
print(0.045 < gap.estimate.mean < 0.055, gap.interval[0] > 0)
"""

CURVATURE = """
import torch
from counterpoint import Probe, hessian_trace
torch.manual_seed(0)
layer = torch.nn.Linear(4, 1)
x, y = torch.randn(64, 4), torch.randn(64, 1)
print(hessian_trace(Probe(lambda x, y: (layer(x) - y).square().mean(), x, y), layer, draws=20).value > 0)
"""

TYPED = """
from counterpoint import MGDA, FanOut, group_tasks
fan = FanOut(MGDA(), tasks=["a", "b"])
reveal_type(fan.last)
reveal_type(group_tasks([[0.0, 1.0], [1.0, 0.0]], tasks=["a", "b"], networks=1).score)
FanOut(MGDA(), tasks=3)
"""


def test_it_brings_torch_numpy_scipy_and_torchjd_and_nothing_of_the_extras(base):
    base.pip("check")
    installed = {line.partition("==")[0].lower() for line in base.pip("list", "--format=freeze").split()}
    assert {"counterpoint", "torch", "numpy", "scipy", "torchjd"} <= installed
    unwanted = {"lightning", "torchmetrics", "pandas", "pyarrow", "scikit-learn", "plotly", "rich", "ray"}
    assert not installed & unwanted


def test_it_is_the_wheel_that_runs(base):
    where = base.does("import counterpoint; print(counterpoint.__file__, counterpoint.__version__)").split()
    assert where[0].startswith(str(base.path))
    assert where[1] == "0.1.0"


def test_the_readme_s_fanout_runs(base):
    (snippet, *_) = [snippet for snippet in SNIPPETS if "FanOut(" in snippet]
    assert "tensor" in base.does(snippet)


def test_tasks_are_grouped(base):
    assert base.does(GROUPING).split() == ["optimal", "price+rent", "stars"]


def test_a_gap_is_found(base):
    assert base.does(GAP).split() == ["True", "True"]


def test_curvature_is_measured(base):
    assert base.does(CURVATURE).split() == ["True"]


def test_every_public_name_loads_or_says_what_to_install(base):
    said = base.does(
        "import counterpoint\n"
        "for name in counterpoint.__all__:\n"
        "    try: getattr(counterpoint, name)\n"
        "    except ImportError as error: print(name, error)\n"
    )
    assert {line.split()[0] for line in said.splitlines()} <= {"Study", "load_bundle"}
    assert all("pip install 'counterpoint[study]'" in line for line in said.splitlines()), said


def test_importing_loads_no_library_of_the_extras(base):
    program = "import sys, counterpoint; counterpoint.FanOut, counterpoint.group_tasks; print(*sys.modules)"
    loaded = set(base.does(program).split())
    assert "torch" in loaded
    assert not loaded & {"lightning", "pandas", "torchjd", "torchmetrics", "plotly", "rich"}


def test_the_command_says_in_one_line_what_to_install(base):
    for arguments in (["--help"], ["study", "table.csv", "--targets", "a,b"], []):
        said, complaint = base.run("counterpoint", *arguments, code=2)
        assert not said
        assert complaint.splitlines() == [
            "counterpoint: the command line needs the extra 'study': pip install 'counterpoint[study]'"
        ]


def test_a_type_checker_reads_its_types(base):
    """mypy sees them only because of py.typed; what is wrong is found in the user's own line."""
    (base.desk / "program.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(base.python), "program.py"]
    (base.desk / "mypy.ini").write_text("[mypy]\n[mypy-torch.*,torchjd.*,scipy.*]\nfollow_imports = skip\n")  # minutes
    command += ["--config-file", "mypy.ini", "--cache-dir", str(base.desk / "cache")]
    checked = subprocess.run(command, cwd=base.desk, capture_output=True, text=True, check=False)
    revealed = re.findall(r'note: Revealed type is "(.*)"', checked.stdout)
    assert [name.replace("builtins.", "").rpartition("balancing.")[2] for name in revealed] == [
        "step_record.StepRecord | None",
        "float",
    ], checked.stdout
    (error,) = [line for line in checked.stdout.splitlines() if " error: " in line]
    assert error.startswith("program.py:6: error:")
    assert "[arg-type]" in error

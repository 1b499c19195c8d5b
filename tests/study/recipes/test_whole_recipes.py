"""Every recipe's rehearsal from the command line: generated data in the real layout, trainings, results, page."""

import re

import pytest

from counterpoint.cli import main
from counterpoint.study.group_results import GroupResults
from counterpoint.study.recipes.recipe import load_recipe, recipe_names
from counterpoint.study.recipes.results import RecipeResults

KINDS = {name: load_recipe(name).kind for name in recipe_names()}
# Coverage follows these of the recipes that compare: the others differ by their data, whose readers have their tests.
TRACED = {"cityscapes-depth", "scenes"}
COMPARED = [
    pytest.param(name, marks=() if name in TRACED else pytest.mark.no_cover)
    for name, kind in KINDS.items()
    if kind == "compare"
]


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return ended.value.code


@pytest.mark.parametrize("name", COMPARED)
def test_rehearsals_of_recipes_that_compare(name, tmp_path, capsys):
    recipe = load_recipe(name, tiny=True)
    assert run("recipe", name, "--tiny", "--out", tmp_path, "--workers", 1) == 0
    results = RecipeResults.load(tmp_path)
    assert results.about["failed"] == []
    assert results.about["tiny"]
    assert list(results.scores["method"].unique()) == [method.key for method in recipe.methods]
    tasks = recipe.tasks or tuple(results.scores["task"].unique())
    main_rows = results.scores[results.scores["main"]]
    assert len(main_rows) == len(recipe.methods) * recipe.seeds * len(tasks), "one main metric a method, seed and task"
    assert main_rows["value"].notna().all()
    if recipe.seeds == 1:
        epochs = results.history.groupby(["run", "task"])["epoch"].nunique()
        assert (epochs == recipe.fit.epochs).all()
    dense = {"cityscapes", "cityscapes-depth", "nyuv2", "scenes"}
    assert (len(results.pictures) > 0) == (name in dense)
    if name in dense:
        kinds = results.pictures.groupby("example")["kind"].value_counts().unstack()
        assert (kinds["input"] == 1).all()
        assert (kinds["target"] == len(tasks)).all()
        assert all(png.startswith(b"\x89PNG") for png in results.pictures["png"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert recipe.title in page
    assert re.search("rehearsal", page, re.IGNORECASE), "nobody may take these numbers for results"
    assert "rehearsal" in capsys.readouterr().out.lower()


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind == "group"])
def test_rehearsals_of_recipes_that_group(name, tmp_path, capsys):
    assert run("recipe", name, "--tiny", "--out", tmp_path, "--workers", 1) == 0
    results = GroupResults.load(tmp_path)
    assert set(results.affinity.tasks) == set(load_recipe(name, tiny=True).tasks)
    assert {candidate.family for candidate in results.candidates} >= {"single", "together", "tag"}
    assert "rehearsal" in capsys.readouterr().out.lower()
    assert (tmp_path / "report.html").is_file()


def test_again_trains_nothing_and_gives_the_same(tmp_path, capsys, monkeypatch):
    arguments = ("recipe", "digits", "--tiny", "--methods", "single,uniform,tuned", "--out", tmp_path, "--workers", 1)
    assert run(*arguments) == 0
    first = RecipeResults.load(tmp_path)
    monkeypatch.setattr("counterpoint.study.recipes.job.fit", lambda *_, **__: pytest.fail("trained again"))
    assert run(*arguments) == 0
    again = RecipeResults.load(tmp_path)
    assert again.scores.equals(first.scores)
    assert again.about["scales"] == first.about["scales"]
    capsys.readouterr()
    assert run("report", tmp_path) == 0
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("celebra",), "no recipe is called 'celebra', expected"),
        (("celeba",), "data 'celeba' need --root, expected the folder that holds CelebA"),
        (("celeba", "--root", "nowhere"), "nowhere"),
        (("celeba", "--root", "x", "--tiny"), "--root and --tiny are both given"),
        (("digits", "--root", "x"), "are made, not read, expected no --root"),
        (("digits", "--cache", "x"), "are made, not read, expected no --cache"),
        (("scenes", "--decoders", "2"), "are made, not read, expected no --decoders"),
        (("digits", "--networks", "2"), "groups no tasks"),
        (("celeba-groups", "--tiny", "--methods", "mgda"), "groups tasks, expected it for recipes that compare"),
        (("digits", "--methods", "mgdaa"), "unknown weighting 'mgdaa'"),
        (("digits", "--tiny", "--workers", "0"), "workers is 0"),
        (("digits", "--tiny", "--epochs", "0"), "epochs is 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("recipe", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_list_and_the_text_of_recipes(capsys):
    assert run("recipe") == 0
    listed = capsys.readouterr().out
    for name in recipe_names():
        assert name in listed
    assert run("recipe", "celeba", "--show") == 0
    assert "source: celeba" in capsys.readouterr().out

"""Recipes as files: what they say, what they refuse, what a rehearsal and the command line change."""

import json

import pytest
import yaml

from counterpoint.study.recipes.methods import RecipeMethod, methods_of
from counterpoint.study.recipes.recipe import Changed, Recipe, load_recipe, recipe_names, recipe_text

PLAIN = {
    "title": "Two digits",
    "data": {"source": "digits"},
    "encoder": {"name": "lenet"},
    "head": {"name": "lenet"},
    "methods": ["uniform", "mgda"],
}


def test_every_recipe_that_comes_along_can_be_read_and_rehearsed():
    names = recipe_names()
    assert {"digits", "celeba", "cityscapes", "celeba-groups", "nyuv2", "cityscapes-depth", "scenes"} <= set(names)
    for name in names:
        recipe, tiny = load_recipe(name), load_recipe(name, tiny=True)
        assert recipe.paper, name
        assert recipe.question, name
        assert tiny.fit.epochs == 1, name
        assert recipe.kind == tiny.kind
        assert recipe.data["source"] == tiny.data["source"], f"{name}: a rehearsal is of the same layout"
        folder = recipe.data["source"] in {"celeba", "cityscapes", "nyuv2", "taskonomy"}
        assert bool(tiny.generated) == folder, f"{name}: data are generated where folders are read"


def test_the_papers_settings():
    """Numbers that the papers and their code give; a slip here would go unnoticed for 100 epochs."""
    celeba, cityscapes, nyuv2 = (load_recipe(name) for name in ("celeba", "cityscapes", "nyuv2"))
    assert (celeba.fit.epochs, celeba.fit.batch_size, celeba.data["size"]) == (100, 256, 64)
    assert (celeba.optimizer.name, celeba.optimizer.lr, celeba.optimizer.decay_every) == ("adam", 0.0005, 10)
    assert (cityscapes.data["size"], cityscapes.data["classes"], cityscapes.tasks) == (
        [256, 512],
        19,
        ("segmentation", "offsets", "depth"),
    )
    assert (celeba.encoder["stem"], celeba.encoder["grid"], celeba.head) == ("small", 2, {"name": "linear"})
    assert (cityscapes.encoder["depth"], cityscapes.encoder["dilated"], cityscapes.head) == (
        50,
        True,
        {"name": "pyramid"},
    )
    assert (nyuv2.fit.epochs, nyuv2.fit.batch_size, nyuv2.optimizer.lr) == (200, 2, 0.0001)
    assert (nyuv2.optimizer.decay, nyuv2.optimizer.decay_every) == (0.5, 100)
    assert load_recipe("cityscapes-depth").losses == {"depth": Changed(power=4)}
    groups = load_recipe("celeba-groups")
    assert (groups.kind, groups.method, groups.every, len(groups.tasks)) == ("group", "lookahead", 10, 9)
    assert (groups.optimizer.name, groups.optimizer.momentum) == ("sgd", 0.9)
    assert (groups.optimizer.lr, groups.optimizer.decay, groups.optimizer.decay_every) == (0.0005, 0.5, 15)


def test_a_recipe_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    text = recipe_text("scenes")
    assert yaml.safe_load(text)["data"]["source"] == "scenes"
    file.write_text(text.replace("title: Generated scenes", "title: Mine"), encoding="utf-8")
    mine = load_recipe(str(file), {"seeds": 7, "fit": {"epochs": 2}})
    assert (mine.name, mine.title, mine.seeds) == ("mine", "Mine", 7)
    assert mine.fit.epochs == 2
    assert mine.fit.batch_size == load_recipe("scenes").fit.batch_size, "what is not changed stays"
    assert load_recipe(str(file), tiny=True).fit.epochs == 1


def test_changes_replace_a_part_of_another_kind_as_a_whole():
    recipe = load_recipe("cityscapes", {"encoder": {"name": "unet", "widths": [8, 16]}, "data": {"classes": 7}})
    assert recipe.encoder == {"name": "unet", "widths": [8, 16]}, "nothing of the other encoder's options"
    assert (recipe.data["source"], recipe.data["classes"]) == ("cityscapes", 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methodes": ["uniform"]}, "has 'methodes', expected names among .*: did you mean 'methods'"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["uniform", "uniform"]}, "'uniform' is given twice"),
        ({"methods": ["mgdaa"]}, "unknown weighting 'mgdaa'"),
        ({"methods": [{"weighting": "mgda", "normalise": "l2"}]}, "does not take these options|normalise"),
        ({"methods": [{"weighting": "mgda", "heads": "none"}]}, "has heads='none', expected 'own' or 'weighted'"),
        ({"methods": [{"label": "x"}]}, "names no weighting"),
        ({"kind": "cook"}, "is of kind 'cook', expected 'compare' or 'group'"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": "three"}, "seeds is 'three', expected a whole number"),
        ({"seeds": 2.5}, "seeds is 2.5, expected a whole number"),
        ({"trials": -1}, "trials is -1, expected a whole number, at least 0"),
        ({"methods": "single"}, "has methods: 'single', expected a list"),
        ({"methods": [None]}, "method None names no weighting"),
        ({"tasks": "left"}, "has tasks: 'left', expected a list"),
        ({"losses": {"left": 4}}, "has losses: left: 4, expected factor and power"),
        ({"losses": {"left": {"power": "much"}}}, "power is 'much', expected a number"),
        ({"fit": {"epochs": "many"}}, "epochs is 'many', expected a whole number"),
        ({"optimizer": {"lr": "fast"}}, "lr is 'fast', expected a number"),
        ({"methods": ["tuned@parameters"]}, "is no weighting but sums of losses, expected 'tuned' without options"),
        ({"methods": [{"weighting": "single", "key": "alone"}]}, "is no weighting but a network for each task"),
        ({"methods": [{"weighting": "mgda", "key": "single"}]}, "the key 'single', which stands for another method"),
        ({"methods": [{"weighting": "mgda", "key": "uniform"}]}, "the key 'uniform', which stands for another method"),
        ({"methods": ["excessmtl"]}, "works only at level 'parameters'"),
        ({"methods": ["sdmgrad"]}, "works neither in FanOut nor in backward"),
        ({"methods": [{"weighting": "graddrop", "heads": "weighted"}]}, "expected heads='own'"),
        ({"fit": {"epochs": 0}}, "epochs is 0"),
        ({"fit": {"epoch": 1}}, "has 'epoch', expected names among .*: did you mean 'epochs'"),
        ({"fit": 3}, "has fit: 3, expected names with values"),
        ({"optimizer": {"name": "lbfgs"}}, "lbfgs"),
        ({"losses": {"left": {"power": 0}}}, "both above 0"),
        ({"data": {}}, "without a source"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        Recipe.of("mine", {**PLAIN, **change})
    assert "\n" not in str(caught.value)


def test_numbers_without_a_dot_are_numbers():
    """YAML reads 1e-4 as text."""
    document = {**PLAIN, **yaml.safe_load("optimizer: {lr: 1e-4}\nlosses: {left: {factor: 1e3}}")}
    assert isinstance(document["optimizer"]["lr"], str)
    recipe = Recipe.of("mine", document)
    assert (recipe.optimizer.lr, recipe.losses["left"]) == (1e-4, Changed(factor=1000.0))


def test_heads_are_their_own_where_there_are_no_weights():
    assert RecipeMethod.of("graddrop").heads == "own"


@pytest.mark.parametrize("missing", ["title", "data", "encoder", "head"])
def test_what_is_missing_is_named(missing):
    document = {key: value for key, value in PLAIN.items() if key != missing}
    with pytest.raises(ValueError, match=f"has no '{missing}'"):
        Recipe.of("mine", document)


def test_unknown_recipes_and_broken_files(tmp_path):
    with pytest.raises(ValueError, match=r"no recipe is called 'celebra', expected .*did you mean 'celeba'\?"):
        load_recipe("celebra")
    with pytest.raises(ValueError, match=r"cannot read recipe '.*nothing.yaml': No such file"):
        load_recipe(str(tmp_path / "nothing.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("title: [")
    with pytest.raises(ValueError, match=r"broken.yaml' is no YAML") as caught:
        load_recipe(str(broken))
    assert "\n" not in str(caught.value)
    broken.write_text("just words")
    with pytest.raises(ValueError, match="holds no recipe"):
        load_recipe(str(broken))
    broken.write_text(json.dumps(PLAIN))
    with pytest.raises(ValueError, match="says nothing under 'tiny'"):
        load_recipe(str(broken), tiny=True)


def test_ways_have_the_papers_names_and_heads():
    full, upper, tuned, dibs = methods_of(["mgda@parameters", "mgda", "tuned", "dibs"])
    assert (full.label, full.level, full.heads) == ("MGDA", "parameters", "own")
    assert (upper.label, upper.level, upper.heads) == ("MGDA-UB", "features", "own")
    assert (tuned.label, tuned.weighting, tuned.heads) == ("Tuned loss scales", "uniform", "weighted")
    assert (dibs.label, dibs.heads) == ("DiBS", "weighted"), "without, transformed losses change what heads learn"
    assert RecipeMethod.of({"weighting": "mgda", "normalize": "loss+", "key": "b", "label": "B"}).content == {
        "weighting": "mgda",
        "level": "features",
        "heads": "own",
        "options": '{"normalize": "loss+"}',
    }

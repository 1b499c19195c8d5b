"""Weightings as people write them."""

import pytest

from counterpoint import Study
from counterpoint.study.comparison import Comparison
from counterpoint.study.explain.study import weighting_key
from counterpoint.study.recipes.methods import RecipeMethod
from counterpoint.study.source import SOURCES
from counterpoint.study.weighting_choice import choice_of, weighting_of, written


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("mgda", "mgda", {}),
        ("MGDA( normalize = 'l2' )", "mgda", {"normalize": "l2"}),
        ("crmogm(weighting=mgda, alpha=.9)", "crmogm", {"weighting": "mgda", "alpha": 0.9}),
        ("constant(weights=[1, 2])", "constant", {"weights": [1, 2]}),
    ],
)
def test_what_is_written_is_read_and_written_in_one_way(text, name, options):
    assert choice_of(text) == (name, options)
    assert choice_of(written(text)) == (name, options)
    assert written(written(text)) == written(text)


@pytest.mark.parametrize("text", ["cagrad(c)", "cagrad(c=0.4", "cagrad(c=1, c=2)", "", "cagrad()c"])
def test_other_forms_get_one_line(text):
    with pytest.raises(ValueError, match="weighting") as caught:
        choice_of(text)
    assert "\n" not in str(caught.value)


def test_an_option_that_is_missing_is_asked_for_as_it_is_to_be_written():
    with pytest.raises(ValueError, match=r"needs the option 'c': cagrad\(c=\.\.\.\)"):
        weighting_of("cagrad")


def test_options_reach_the_network_and_tell_runs_apart():
    fan = SOURCES["yeast"].build(("class-1", "class-2"), "mgda(normalize=l2)", 0).model.fan_out
    assert fan.weighting.normalize == "l2"
    assert Comparison(weightings=("cagrad(c=0.4)", "CAGrad(c=0.2)")).weightings == ("cagrad(c=0.4)", "cagrad(c=0.2)")
    with pytest.raises(ValueError, match="given twice"):
        Comparison(weightings=("cagrad(c=0.4)", "cagrad( c=.4)"))
    assert weighting_key("IMTL-G") == "imtlg"
    assert weighting_key("Torchjd-MGDA(norm_eps=0.1)") == "torchjdmgda(norm_eps=0.1)"


def test_a_study_refuses_options_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="normalise"):
        Study("t.csv", ["a", "b"], weightings=["mgda(normalise=l2)"], out=tmp_path)


def test_a_recipe_takes_the_same_words_as_its_yaml():
    short, long = RecipeMethod.of("cagrad(c=0.4)"), RecipeMethod.of({"weighting": "cagrad", "c": 0.4})
    assert short.content == long.content
    assert (short.key, short.label) == ("cagrad(c=0.4)", "CAGrad (c=0.4)")
    assert RecipeMethod.of("mgda(normalize=l2)@parameters").level == "parameters"

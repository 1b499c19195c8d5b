"""What the pages hand to plotly.js is what plotly knows: Drawing itself checks nothing."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from counterpoint.report import render, render_explanation, render_groups, render_recipe, render_study
from counterpoint.report.drawing import Drawing

from .fabricated_recipes import ATTRIBUTES, fabricate_recipe
from .fabricated_studies import fabricate_study
from .parsed_page import Page


@pytest.fixture
def pages(fabricate, fabricate_groups, fabricate_trajectories):
    five = tuple("abcde")  # more than four tasks draw maps
    return {
        "demo": lambda: render(fabricate(tasks=five, steps=20)),
        "group": lambda: render_groups(fabricate_groups(tasks=5, status="feasible")),
        "explain": lambda: render_explanation(fabricate_trajectories(tasks=("left", "right"))),
        "study": lambda: render_study(fabricate_study(gains={"uniform": (1.0, 1.2, 0.9)})),
        "recipe": lambda: render_recipe(fabricate_recipe()),
        "recipe of many tasks": lambda: render_recipe(fabricate_recipe(tasks=dict(list(ATTRIBUTES.items())[:8]))),
    }


@pytest.mark.parametrize("name", ["demo", "group", "explain", "study", "recipe", "recipe of many tasks"])
def test_plotly_knows_every_property_of_every_figure(pages, name):
    figures = Page(pages[name]()).figures
    assert figures
    for figure in figures:
        go.Figure(figure)  # raises on what plotly does not know


def test_plotly_would_complain():
    drawing = Drawing()
    drawing.add_scatter(x=[1], y=[2], colour="red")
    with pytest.raises(ValueError, match="colour"):
        go.Figure(json.loads(drawing.to_json()))


def test_two_axes_given_as_one_are_two():
    axis = {"title": {"standoff": 6}}
    drawing = Drawing(xaxis=axis, yaxis=axis)
    drawing.update_xaxes(title_text="step", range=[0, 1])
    assert drawing.layout["yaxis"] == axis == {"title": {"standoff": 6}}


def test_what_is_not_finite_is_a_gap():
    drawing = Drawing()
    drawing.add_scatter(x=[1, 2, 3], y=[float("inf"), float("nan"), 0.5], error_y=None)
    assert json.loads(drawing.to_json())["data"] == [{"type": "scatter", "x": [1, 2, 3], "y": [None, None, 0.5]}]

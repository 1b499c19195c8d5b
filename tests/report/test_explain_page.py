"""The page of an explain study shows what the trajectories hold, for few and many tasks, methods and factors."""

from __future__ import annotations

import functools
import re
import subprocess
import sys

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs
from scipy import stats

from counterpoint.report import ReportError, explain_page, render_explanation, write_explanation
from counterpoint.report.wording import NOTHING, signed
from counterpoint.study.explain.factors import FACTORS
from counterpoint.study.explain.findings import findings
from counterpoint.study.explain.results import ExplainResults

from .parsed_page import Page, plain

TASKS = ("left", "right", "sum", "even")
SECTIONS = (
    "Did sharing help?",
    "The two trajectories of each task",
    "Does it train more slowly?",
    "What went along with it",
    "Do they explain it?",
    "What did the weightings change?",
    "What limits this",
)
GAPS = {("uniform", "left"): 0.04, ("uniform", "right"): -0.03, ("mgda", "left"): 0.06}
HOSTILE = ("<script>alert(1)</script>", 'a<b>&"c"', "</td><img src=x onerror=alert(2)>")


@functools.cache
def made(fabricate):
    results = fabricate(tasks=TASKS, gaps=GAPS, seeds=3, noise=0.004, about={"title": "Digits"})
    # Tasks and seeds differ in how slowly they are learned together.
    points = results.points
    shared = (points["method"] != "single") & (points["quantity"] == "train_loss")
    slower = 1 + 0.03 * points["task"].map(TASKS.index) + 0.01 * points["seed"]
    points.loc[shared, "value"] *= slower[shared]
    found = findings(results)
    return results, found, render_explanation(results, found)


@pytest.fixture
def study(fabricate_trajectories):
    return made(fabricate_trajectories)


def render(results):
    return Page(render_explanation(results))


def values(results, method, quantity, task):
    """[steps, seeds], and the steps."""
    points = results.points
    rows = points[(points["method"] == method) & (points["quantity"] == quantity) & (points["task"] == task)]
    table = rows.pivot_table(index="step", columns="seed", values="value")
    return table.to_numpy(), table.index.to_numpy(dtype=float)


def interval(by_seed):
    """Mean and 95 % interval over the last axis."""
    by_seed = np.asarray(by_seed)
    n = by_seed.shape[-1]
    half = stats.t.ppf(0.975, n - 1) * by_seed.std(axis=-1, ddof=1) / np.sqrt(n)
    return by_seed.mean(axis=-1), by_seed.mean(axis=-1) - half, by_seed.mean(axis=-1) + half


def table_rows(text, label):
    """The cells of a table as lists of words, by the label of its region."""
    region = text.split(f'aria-label="{label}"')[1].split("</table>")[0]
    rows = region.split("<tr>")[2:]
    return [
        [" ".join(plain(re.sub("<[^>]*>", " ", f"<t{cell}")).split()) for cell in row.split("<t")[1:]] for row in rows
    ]


def figure_with(page, name):
    """The figure whose description begins so."""
    plots = [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    return next(f for f, attrs in zip(page.figures, plots, strict=True) if attrs["aria-label"].startswith(name))


def lines_of(figure, axis="y"):
    """Lines with a name, by name, on one of the vertical axes."""
    return {t["name"]: t for t in figure["data"] if "name" in t and t.get("yaxis", "y") == axis}


def test_the_sections_come_in_the_order_of_the_questions(study):
    page = Page(study[2])
    assert [word for word in page.words if word in SECTIONS] == list(SECTIONS)
    assert "<title>Digits</title>" in study[2]
    assert "4 tasks, 2 ways of sharing, 3 seeds and 18 trainings" in page.text


def test_the_tables_numbers_are_those_of_the_trajectories(study):
    results, _, text = study
    rows = table_rows(text, "Tasks table")
    assert len(rows) == len(TASKS) * 2
    for row, (task, method) in zip(rows, [(t, m) for t in TASKS for m in results.methods], strict=True):
        alone, together = (values(results, name, "test_metric", task)[0] for name in ("single", method))
        if method == "uniform":
            assert row[0].startswith(task)
            assert row[1].startswith(f"{100 * alone[-1].mean():.2f} ± {100 * alone[-1].std(ddof=1):.2f}")
        assert results.methods[method] in row[2]
        losses = [values(results, name, "train_loss", task)[0] for name in ("single", method)]
        mean, low, high = interval((losses[1] - losses[0]).mean(axis=0))
        said = [float(word) for word in row[6].replace("to", "").split()[:3]]
        assert said == pytest.approx([mean, low, high], abs=0.006)
        mean, low, high = interval(100 * (together[-1] - alone[-1]))
        words = "no difference found" if low <= 0 <= high else "better" if low > 0 else "worse"
        assert row[7] == plain(f"{signed(mean)} {signed(low)} to {signed(high)} {words}")
        levels = np.linspace(min(run[0].min() for run in losses), max(run[-1].max() for run in losses), 25)
        read = [
            np.stack([np.interp(levels, x[::-1, s], y[::-1, s]) for s in range(3)])
            for x, y in zip(losses, (alone, together), strict=True)
        ]
        gap, *_ = interval(100 * (read[1] - read[0]).mean(axis=1))
        assert float(row[3].split()[0]) == pytest.approx(gap, abs=0.25)  # straight lines instead of cubics
    assert "better" in rows[0][3]
    assert "worse" in rows[2][3]


def test_the_steps_from_which_a_gap_is_clear_stand_in_the_table(study):
    results, found, text = study
    rows = table_rows(text, "Tasks table")
    onsets = [found.comparisons[method][task].gap.onset for task in TASKS for method in results.methods]
    assert any(onset is None for onset in onsets)
    for row, onset in zip(rows, onsets, strict=True):
        if onset is None:
            assert row[5] == NOTHING
        else:
            word = "better" if onset.better else "worse"
            assert row[5] == f"{onset.loss:.3g} step {onset.multi_step:.0f}, alone {onset.single_step:.0f} {word}"


def test_training_losses_and_deficits_are_drawn_as_means_over_tasks(study):
    results, _, text = study
    figure = figure_with(Page(text), "Mean over tasks.")
    losses = {
        name: np.mean([values(results, name, "train_loss", task)[0] for task in TASKS], axis=0)
        for name in ("single", "uniform")
    }
    steps = values(results, "single", "train_loss", "left")[1]
    above, below = lines_of(figure), lines_of(figure, "y2")
    assert above["Uniform"]["x"] == steps[1:].tolist()  # 0 has no place on a logarithmic axis
    assert above["Uniform"]["y"] == pytest.approx(losses["uniform"].mean(axis=1)[1:], rel=1e-3)
    assert above["Each task alone"]["y"] == pytest.approx(losses["single"].mean(axis=1)[1:], rel=1e-3)
    mean, low, high = interval(losses["uniform"] - losses["single"])
    assert below["Uniform"]["y"] == pytest.approx(mean[1:], rel=1e-3)
    bands = [t["y"] for t in figure["data"] if t.get("yaxis") == "y2" and "name" not in t]
    assert bands[0] == pytest.approx(low[1:], rel=1e-2)
    assert bands[1] == pytest.approx(high[1:], rel=1e-2)


def test_a_ratio_is_drawn_as_a_geometric_mean_and_said_in_the_sentence(study):
    results, _, text = study
    page = Page(text)
    logs = [
        np.log2(values(results, "uniform", "sharpness", task)[0] / values(results, "single", "sharpness", task)[0])
        for task in TASKS
    ]
    over_tasks = np.mean(logs, axis=0)
    plots = [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    both = [f for f, a in zip(page.figures, plots, strict=True) if a["aria-label"].startswith("Sharpness. ")]
    drawn = lines_of(both[1])["Uniform"]
    assert both[1]["layout"]["yaxis"]["type"] == "log"
    assert drawn["y"] == pytest.approx(2 ** over_tasks.mean(axis=1), rel=2e-3)
    mean, low, _ = (2**value for value in interval(over_tasks.mean(axis=0)))
    assert low > 1
    assert f"at equal steps, sharpness with Uniform was {mean:.1f} times as high (95 % interval {low:.1f}" in page.text


def test_the_training_loss_falls_to_the_right_and_the_gap_has_its_interval(study):
    results, found, text = study
    figure = figure_with(Page(text), "Test accuracy \N{MULTIPLICATION SIGN} 100 along the training loss for left")
    axis = figure["layout"]["xaxis"]
    assert axis["type"] == "log"
    assert axis["range"][0] > axis["range"][1]
    gap = found.comparisons["mgda"]["left"].gap
    line = lines_of(figure, "y2")["MGDA-UB"]
    assert line["x"] == pytest.approx(gap.losses, rel=1e-3)
    assert line["y"] == pytest.approx(100 * gap.differences.mean(axis=0), rel=1e-3, abs=1e-3)
    path = lines_of(figure)["Each task alone"]
    metric, losses = (values(results, "single", quantity, "left")[0] for quantity in ("test_metric", "train_loss"))
    assert path["y"][0] == pytest.approx(100 * metric[0].mean(), rel=1e-3)
    assert path["y"][-1] == pytest.approx(100 * metric[-1].mean(), rel=1e-3)
    assert path["x"][-1] == pytest.approx(losses[-1].mean(), rel=1e-3)


def test_dots_are_rank_correlations_filled_where_their_interval_excludes_zero(study):
    results, found, text = study
    figure = figure_with(Page(text), "With the optimization deficit, factors at equal steps")
    names = figure["layout"]["yaxis"]["ticktext"]
    deficits = [
        (values(results, "uniform", "train_loss", t)[0] - values(results, "single", "train_loss", t)[0]).mean(axis=0)
        for t in TASKS
    ]
    cosines = [values(results, "uniform", "cosine", t)[0].mean(axis=0) for t in TASKS]
    expected = stats.spearmanr(np.ravel(cosines), np.ravel(deficits)).statistic
    dots = figure["data"][0]
    assert dots["x"][names.index("Gradient cosine")] == pytest.approx(expected, abs=6e-4)
    assert len(names) == len(FACTORS)
    for name, x, color in zip(names, dots["x"], dots["marker"]["color"], strict=True):
        key = next(factor.key for factor in FACTORS.values() if factor.label == name)
        correlation = found.association("uniform", key, "step", "deficit")
        assert x == pytest.approx(correlation.value, abs=6e-4)
        assert (color != "white") == (correlation.low > 0 or correlation.high < 0)


def test_the_weightings_table_says_what_changed(study):
    _, found, text = study
    ((name, *cells),) = table_rows(text, "Weightings table")
    assert name.strip() == "MGDA-UB"
    for cell, answer in zip(cells, found.answers, strict=True):
        estimate = answer.estimate
        nothing = estimate.low <= 0 <= estimate.high or abs(estimate.mean) < 1e-9
        assert ("no difference found" in cell) == nothing
    assert "points" in cells[2]
    assert "points" not in cells[0] + cells[1]


def test_figures_are_valid_have_a_caption_and_a_description(study):
    page = Page(study[2])
    for figure in page.figures:
        go.Figure(figure)  # raises on what plotly does not know
    plots = [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    assert len(plots) == len(page.figures) == 4 + 1 + 4 + 2 * len(FACTORS) + 4
    assert all(len(attrs["aria-label"]) > 40 for attrs in plots)
    captions = [tag for tag, _ in page.tags if tag == "figcaption"]
    assert len(captions) == len([tag for tag, _ in page.tags if tag == "figure"])


def test_fourteen_tasks_stay_readable_and_light(fabricate_trajectories):
    tasks = tuple(f"class {i}" for i in range(14))
    gaps = {("uniform", "class 9"): 0.05, ("uniform", "class 12"): -0.05}
    results = fabricate_trajectories(
        tasks=tasks, methods=("uniform",), gaps=gaps, noise=0.0, slowness=1.0, quantities=("cosine", "sharpness")
    )
    text = render_explanation(results)
    order = [text.index(f"along the training loss for {task}, and the gap") for task in tasks]
    assert order[9] < order[12] < min(o for i, o in enumerate(order) if i not in {9, 12})
    fold = text.index("<summary>8 more tasks, for which no difference was found</summary>")
    assert sum(place < fold for place in order) == 6
    assert len(text) < len(get_plotlyjs()) + 400_000
    assert text.count(get_plotlyjs()[:2000]) == 1


def test_factors_that_were_not_measured_are_left_out_and_named(fabricate_trajectories):
    quantities = ("cosine", "sharpness")
    page = render(fabricate_trajectories(tasks=("a", "b", "c"), methods=("uniform",), quantities=quantities))
    headings = [word for word in page.words if word in {factor.label for factor in FACTORS.values()}]
    assert headings[:2] == ["Gradient cosine", "Sharpness"]
    assert "Gradient norm" not in headings
    assert "Not measured often enough, so not shown: the share of conflicting tasks," in page.text
    assert "and the empirical Fisher trace." in page.text
    assert "Curvature is estimated" in page.text
    bare = render(fabricate_trajectories(tasks=("a", "b", "c"), methods=("uniform",), quantities=()))
    assert "No factor was measured often enough to correlate it" in bare.text
    assert "was not measured for Uniform" in bare.text
    assert "Curvature is estimated" not in bare.text


def test_two_tasks_two_seeds_and_one_way_of_sharing_make_a_page(fabricate_trajectories):
    page = render(fabricate_trajectories(tasks=("a", "b"), methods=("uniform",), seeds=2, quantities=("cosine",)))
    assert "Correlations need at least three tasks." in page.text
    assert "What did the weightings change?" not in page.words
    assert "Shared with" not in page.text
    assert "With two seeds intervals are wide" in page.text


def test_tasks_without_a_common_range_are_shown_without_a_gap(fabricate_trajectories):
    results = fabricate_trajectories(tasks=("a", "b", "c"), methods=("uniform",), quantities=(), gaps=0.05)
    points = results.points
    points.loc[
        (points["method"] == "uniform") & (points["task"] == "b") & (points["quantity"] == "train_loss"), "value"
    ] += 9
    text = render_explanation(results)
    rows = table_rows(text, "Tasks table")
    assert rows[1][2] == f"{NOTHING} no common range"
    page = Page(text)
    assert "b (Uniform): the trajectories have no common range of training losses" in page.text
    figure = figure_with(page, "Test accuracy \N{MULTIPLICATION SIGN} 100 along the training loss for b")
    assert set(lines_of(figure)) == {"Each task alone", "Uniform"}
    assert lines_of(figure, "y2") == {}


def test_training_losses_below_zero_have_a_linear_axis(fabricate_trajectories):
    results = fabricate_trajectories(tasks=("a", "b"), methods=("uniform",), quantities=())
    results.points.loc[results.points["quantity"] == "train_loss", "value"] -= 1.0
    axis = figure_with(render(results), "Test accuracy \N{MULTIPLICATION SIGN} 100 along")["layout"]["xaxis"]
    assert "type" not in axis
    assert axis["range"][0] > axis["range"][1]


def test_hostile_names_are_shown_literally_and_do_nothing(fabricate_trajectories):
    results = fabricate_trajectories(
        tasks=HOSTILE, methods=("uniform", HOSTILE[1]), quantities=("cosine",), metric=HOSTILE[0]
    )
    page = render(results)
    for name in HOSTILE:
        assert name in page.text
    assert not any(tag in {"img", "b"} and "src" in attrs for tag, attrs in page.tags)
    assert len([tag for tag, attrs in page.tags if tag == "script" and "type" not in attrs]) == 2
    said = [trace["name"] for figure in page.figures for trace in figure["data"] if "name" in trace]
    assert 'a&lt;b&gt;&amp;"c"' in said
    assert HOSTILE[1] not in said
    titles = [figure["layout"]["yaxis"]["title"].get("text", "") for figure in page.figures]
    assert any(title.startswith("&lt;script&gt;") for title in titles)
    assert not any("<" in title for title in titles)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "1 seed gives no interval, expected at least 2 seeds: run more of them"),
        ({"methods": ()}, "the results hold no shared network; explain at least one weighting"),
    ],
)
def test_studies_that_cannot_be_explained_are_refused_in_one_line(fabricate_trajectories, change, message):
    with pytest.raises(ReportError) as raised:
        render_explanation(fabricate_trajectories(quantities=(), **change))
    assert str(raised.value) == message


def test_a_run_that_recorded_too_little_is_refused_in_one_line(fabricate_trajectories):
    results = fabricate_trajectories(quantities=())
    rest = results.points[(results.points["method"] != "mgda") | (results.points["step"] == 0)]
    with pytest.raises(ReportError, match="1 of 1 points set a new lowest training loss") as raised:
        render_explanation(ExplainResults(rest, results.runs, results.about))
    assert "\n" not in str(raised.value)


def test_findings_that_are_known_are_not_computed_again(study, monkeypatch, tmp_path):
    results, found, text = study
    monkeypatch.setattr(explain_page, "findings", lambda _: pytest.fail("computed again"))
    path = write_explanation(results, tmp_path / "new" / "report.html", found)
    assert path.read_text(encoding="utf-8") == text


def test_results_read_back_from_disk_give_the_same_page(study, tmp_path):
    results, _, text = study
    results.save(tmp_path)
    assert render_explanation(ExplainResults.load(tmp_path)) == text


def test_rendering_imports_no_torch():
    code = "import sys; import counterpoint.report.explain_page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The page is one harmless file that shows what the study holds."""

from __future__ import annotations

import re
import subprocess
import sys

import pandas as pd
import pytest

from counterpoint.estimate import Estimate
from counterpoint.report import ReportError, render, write_report
from counterpoint.study.results import Results
from counterpoint.study.summary import delta_m, task_delta

from . import parsed_page

HOSTILE = ("<script>alert(1)</script>", 'a<b>&"c"')


class Page(parsed_page.Page):
    """With its attributes."""

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]


def labels_of(figure):
    """Every string that plotly would read as HTML."""
    axes = [figure["layout"].get("xaxis", {}), figure["layout"].get("yaxis", {})]
    titles = [axis.get("title", {}).get("text", "") for axis in axes]
    ticks = [text for axis in axes for text in axis.get("ticktext", [])]
    custom = [text for trace in figure["data"] for row in trace.get("customdata", []) for text in row]
    return titles + ticks + custom + [trace.get("name", "") for trace in figure["data"]]


@pytest.fixture(scope="module")
def demo(fabricate):
    values = {"single": (0.80, 0.82), "uniform": (0.81, 0.80), "mgda": (0.85, 0.88)}
    tasks = {"left": 0.0, "right": 0.05}
    scores = {(m, s, t): values[m][s] + tasks[t] * (1 + s / 9) for m in values for s in (0, 1) for t in tasks}
    return fabricate(scores=scores)


def test_the_page_requests_nothing(fabricate):
    page = Page(render(fabricate()))
    links = page.attributes("src") + page.attributes("href")
    assert links
    assert all(link.startswith("data:") for link in links)
    assert not re.search(r"@import|url\(", next(code for code in page.code if "--serif" in code))
    policy = next(content for content in page.attributes("content") if "script-src" in content)
    assert policy.startswith("default-src 'none'")
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_hostile_names_are_shown_literally_and_do_nothing(fabricate):
    study = fabricate(tasks=HOSTILE, metric="<img src=x onerror=alert(3)>", methods=("single", "uniform", "<i>x</i>"))
    about = {**study.about, "title": "</title><script>alert(2)</script>", "command": "<b>run</b>"}
    about["settings"] = {"<u>": "</dd><script>"}
    text = render(Results(study.scores, study.history, study.examples, about))
    page = Page(text)
    assert sum(tag == "script" and "type" not in attrs for tag, attrs in page.tags) == 2  # plotly.js and ours
    assert not {"b>", "i", "u"} & {tag for tag, _ in page.tags}
    assert all("onerror" not in attrs for _, attrs in page.tags)
    for name in (*HOSTILE, "</title><script>alert(2)</script>", "<b>run</b>", "</dd><script>", "<I>X</I>"):
        assert name in page.text
    assert any(HOSTILE[0] in label for label in page.attributes("aria-label"))
    for figure in page.figures:
        assert not any("<" in label for label in labels_of(figure))


def test_hostile_names_reach_plotly_as_entities_in_ticks_and_legends(fabricate):
    tasks = (*HOSTILE, "c", "d", "e")  # more than four tasks draw a map with task names along its sides
    page = Page(render(fabricate(tasks=tasks, methods=("single", "<i>"), steps=20)))
    labels = {label for figure in page.figures for label in labels_of(figure)}
    assert 'a&lt;b&gt;&amp;"c"' in labels
    assert "&lt;I&gt;" in labels


def test_the_tables_numbers_are_those_of_the_scores(demo):
    text = Page(render(demo)).text
    scores = demo.scores
    for (_, _task), rows in scores.groupby(["method", "task"]):
        mean, spread = rows["value"].mean(), rows["value"].std(ddof=1)
        assert f"{mean:.4f} ± {spread:.4f}" in text
    for method in ("uniform", "mgda"):
        estimate = Estimate.of(list(delta_m(scores, method).values()))
        written = f"{estimate.mean:+.1f} % {estimate.low:+.1f} to {estimate.high:+.1f}"
        assert written in text
        for task in ("left", "right"):
            change = f"{pd.Series(task_delta(scores, method, task)).mean():+.1f} %"
            assert change in text
    # Single-task training needs a model a task: seconds and parameters are those of both.
    assert "Training time all networks of one seed 9.0 s ± 1.4 s 6.5 s ± 0.7 s" in text
    assert "Networks to train and serve 2 1 1" in text
    assert "Parameters of all networks 2,000 1,200 1,200" in text


def test_curves_are_means_over_seeds_with_the_range_as_band(demo):
    page = Page(render(demo))
    figures = dict(
        zip([a for a in page.attributes("aria-label") if "training steps" in a], page.figures[1:], strict=True)
    )
    figure = next(value for key, value in figures.items() if key.startswith("left, Validation accuracy"))
    rows = demo.history[
        (demo.history["task"] == "left")
        & (demo.history["split"] == "validation")
        & (demo.history["quantity"] == "metric")
    ]
    rows = rows[rows["method"] == "mgda"].groupby("step")["value"]
    line = next(trace for trace in figure["data"] if trace.get("name") == "MGDA-UB")
    assert line["y"] == pytest.approx(list(rows.mean()), rel=1e-3)
    bands = [trace["y"] for trace in figure["data"] if "name" not in trace]
    assert any(band == pytest.approx(list(rows.max()), rel=1e-3) for band in bands)
    assert any(band == pytest.approx(list(rows.min()), rel=1e-3) for band in bands)


def test_a_method_has_one_colour_on_the_whole_page(demo):
    colors = {}
    for figure in Page(render(demo)).figures:
        for trace in figure["data"]:
            if "name" in trace:
                colors.setdefault(trace["name"], set()).add(trace["line"]["color"])
    assert set(colors) == {"Single-task", "Uniform", "MGDA-UB"}
    assert all(len(found) == 1 for found in colors.values())
    assert len(set.union(*colors.values())) == 3


def test_right_and_wrong_are_marked_by_more_than_colour(fabricate):
    study = fabricate(pictures=1)
    study.examples["prediction"] = ["7", "0", "0", "1", "1", "1"]  # single errs on left, whose target is 0
    text = Page(render(study)).text
    assert "left 0 7 ✗ 0 ✓ 0 ✓" in text
    assert "right 1 1 ✓ 1 ✓ 1 ✓" in text


def test_measured_targets_are_neither_right_nor_wrong(fabricate):
    study = fabricate(pictures=1)
    study.examples["target"], study.examples["prediction"] = 2.3, 2.31
    text = Page(render(study)).text
    assert "2.31" in text
    assert text.count("✗") == 1  # the explanation


def test_fourteen_tasks_stay_close_to_the_size_of_plotly(fabricate):
    tasks = tuple(f"task {t}" for t in range(14))
    study = fabricate(tasks=tasks, methods=("single", "uniform", "mgda", "dibs"), steps=500, direction="minimize")
    text = render(study)
    page = Page(text)
    assert len(text) < 1.3 * max(len(code) for code in page.code)
    assert all(page.text.count(task) > 3 for task in tasks)
    assert len(page.figures) == 1 + 3 * 14 + 14 + 14 + 3  # change, curves, weights, cosines, one map a sharing method
    assert all(len(trace["x"]) <= 200 for figure in page.figures for trace in figure["data"])
    assert "accuracy ↓" in page.text


def test_smaller_is_better_where_the_metric_says_so(fabricate):
    scores = {(m, s, t): v for m, v in (("single", 2.0), ("uniform", 1.0)) for s in (0, 1) for t in ("left", "right")}
    text = Page(render(fabricate(methods=("single", "uniform"), direction="minimize", scores=scores))).text
    assert "Δm mean relative change, 95 % interval 0 the reference +50.0 %" in text


def test_absent_weights_baseline_seeds_pictures_and_facts(fabricate):
    page = Page(render(fabricate(methods=("uniform", "mgda"), seeds=1, weights=False, pictures=0, about={})))
    assert "No weights were recorded." in page.text
    assert "No cosines were recorded." in page.text
    assert "Δm" not in page.text
    assert "±" not in page.text
    assert "What the networks see" not in page.text
    assert "One seed, so there is no spread." in page.text
    assert len(page.figures) == 6


def test_every_figure_has_a_caption_and_a_description(demo):
    text = render(demo)
    page = Page(text)
    plots = [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    assert len(plots) == len(page.figures) == 10
    assert all(len(attrs["aria-label"]) > 20 for attrs in plots)
    for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
        assert re.search(r"<figcaption>[^<]{20,}\.</figcaption>", figure)
    assert all(attrs["alt"] for tag, attrs in page.tags if tag == "img")


def test_the_page_is_written_completely_or_not_at_all(demo, tmp_path):
    path = write_report(demo, tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == render(demo)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_is_named_in_one_line(demo, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReportError, match=r"^cannot write the report to '.*file/report\.html'.*choose another file$"):
        write_report(demo, tmp_path / "file" / "report.html")


def test_results_without_scores_are_refused(demo):
    with pytest.raises(ReportError, match="no scores"):
        render(Results(demo.scores.iloc[:0], demo.history, demo.examples, demo.about))


def test_results_read_back_from_disk_give_the_same_page(demo, tmp_path):
    demo.save(tmp_path)
    assert render(Results.load(tmp_path)) == render(demo)


def test_rendering_imports_no_torch():
    code = "import sys, counterpoint.report; assert not {'torch', 'lightning', 'torchjd'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""The page of a recipe is one harmless file whose numbers are those of its scores."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from counterpoint.report import ReportError, render_recipe, write_recipe_report
from counterpoint.report.methods import methods_of
from counterpoint.report.recipe_changes import changes_against
from counterpoint.report.recipe_curves import epochs_groups, over_tasks
from counterpoint.report.recipe_figures import dots_group, improvement_group, task_groups
from counterpoint.report.recipe_many import summaries
from counterpoint.report.recipe_pictures import MAX_EXAMPLES, recipe_pictures
from counterpoint.report.recipe_scores import best, columns_of
from counterpoint.report.recipe_tables import detail_table, metrics_table, recipe_methods_table
from counterpoint.report.wording import NOTHING
from counterpoint.study.recipes.results import PICTURES, RecipeResults
from counterpoint.terminal import RecipeProgress, recipe_table

from . import recipe_by_hand as by_hand
from .fabricated_recipes import ATTRIBUTES, HOSTILE, LABELS, SCENES, around, fabricate_recipe, png
from .parsed_page import Page, plain
from .test_study_page import Tables, numbers

SECTIONS = (
    "What came out",
    "Every metric on test rows",
    "What the networks see and say",
    "Validation by epoch",
    "How it was made",
)
SOME = ("single", "uniform", "mgda", "dibs")
OTHERS = [method for method in LABELS if method != "single"]


@pytest.fixture(scope="module")
def recipe():
    random = np.random.default_rng(3)
    means = dict(zip(OTHERS, (-2.0, 1.5, 0.5, -1.0, 4.0, 2.0), strict=True))
    gains = {(method, task): tuple(random.normal(means[method], 1.2, 3)) for method in OTHERS for task in SCENES}
    return fabricate_recipe(gains=gains | {("mgda", "normals"): around(9.0)})


@pytest.fixture(scope="module")
def text(recipe):
    return render_recipe(recipe)


@pytest.fixture(scope="module")
def forty():
    random = np.random.default_rng(4)
    gains = {(method, task): tuple(random.normal(1.0, 1.5, 3)) for method in SOME[1:] for task in ATTRIBUTES}
    return fabricate_recipe(tasks=ATTRIBUTES, methods=SOME, gains=gains, pictures=0, epochs=3)


@pytest.fixture(scope="module")
def forty_text(forty):
    return render_recipe(forty)


def label(key):
    return LABELS[key]


def shown(cell):
    """The numbers that a reader sees in a cell of a parsed table."""
    return [float(number.replace(",", "")) for number in re.findall(r"[+-]?[\d,]*\.?\d+", plain(cell[1]))]


def test_every_section_is_there_in_order(text):
    page = Page(text)
    assert page.headings(SECTIONS) == list(SECTIONS)
    assert "banner" not in {attrs.get("class") for _, attrs in page.tags}
    assert "3 tasks, 7 methods, 3 seeds and 27 runs" in page.text


def test_the_methods_table_is_recomputed_from_the_scores(recipe, text):
    rows = dict(Tables(text).tables["Methods"])
    assert list(rows) == list(LABELS.values())
    runs = recipe.scores.drop_duplicates("run")
    seconds = runs.groupby(["method", "seed"])["seconds"].sum().unstack()
    for method in LABELS:
        alone, plain_sum, time, seeds, trainings = rows[label(method)]
        for cell, against in ((alone, "single"), (plain_sum, "uniform")):
            if method == against:
                assert "the reference" in cell[1]
                continue
            mean, low, high = expected = by_hand.interval(by_hand.change(recipe, method, against))
            raw = numbers(cell)
            assert (raw["value"], raw["low"], raw["high"]) == pytest.approx(expected)
            assert shown(cell) == pytest.approx([mean, low, high], abs=0.051)
            word = {1: "better", -1: "worse", 0: "no difference found"}
            assert cell[1].endswith(word[by_hand.side(by_hand.change(recipe, method, against))])
        assert numbers(time)["value"] == pytest.approx(seconds.loc[method].mean())
        if method != "uniform":
            ratio = (seconds.loc[method] / seconds.loc["uniform"]).mean()
            assert numbers(time)["ratio"] == pytest.approx(ratio)
            assert f"{ratio:.2f} times the plain sum" in plain(time[1])
        assert numbers(seeds)["value"] == 3
        assert numbers(trainings)["value"] == 3 * (list(LABELS).index(method) + 1)


def test_the_metrics_table_is_recomputed_from_the_scores(recipe, text):
    rows = dict(Tables(text).tables["Metrics"])
    columns = [(task, metric) for task, metrics in SCENES.items() for metric, *_ in metrics]
    spans = [(attrs["scope"], int(attrs["colspan"])) for _, attrs in Page(text).tags if "colspan" in attrs]
    assert spans == [("colgroup", 2), ("colgroup", 2), ("colgroup", 5)]
    for method in LABELS:
        for (task, metric), cell in zip(columns, rows[label(method)], strict=True):
            mean, low, high = by_hand.interval(by_hand.values(recipe, method, task, metric).to_numpy())
            raw = numbers(cell)
            assert (raw["value"], raw["half"]) == pytest.approx((mean, (high - low) / 2))
            assert shown(cell) == pytest.approx([mean, (high - low) / 2], abs=0.0051 if mean > 1 else 6e-5)


def test_best_is_only_what_beats_every_other_method_beyond_the_interval(recipe, text):
    table = dict(Tables(text).tables["Metrics"])
    rows = {name: table[name] for name in LABELS.values()}
    marked = 0
    for place, column in enumerate(columns_of(recipe.scores)):
        winners = []
        for method in LABELS:
            sign = 1 if column.direction == "maximize" else -1
            own = by_hand.values(recipe, method, column.task, column.metric).to_numpy()
            others = [by_hand.values(recipe, m, column.task, column.metric).to_numpy() for m in LABELS if m != method]
            if all(by_hand.side(sign * (own - other)) == 1 for other in others):
                winners.append(label(method))
        assert [name for name, cells in rows.items() if "best" in cells[place][1]] == winners
        marked += len(winners)
    assert marked >= 5  # normals by MGDA-UB


def test_ties_and_methods_that_cannot_be_compared_leave_no_best():
    (column,) = columns_of(fabricate_recipe(tasks={"a": SCENES["depth"][:1]}, methods=("single",)).scores)
    same = {0: 0.5, 1: 0.6}
    worse = {0: 0.7, 1: 0.81}
    cases = {
        "a": {"a": same, "b": worse},
        None: {"a": same, "b": same},
    }
    for winner, values in cases.items():
        assert best(dataclasses.replace(column, values=values)) == winner
    for other in ({0: 0.9}, {5: 0.9, 6: 0.9}, {0: 0.9, 1: np.nan}, {0: 0.4, 1: 0.9}):
        assert best(dataclasses.replace(column, values={"a": same, "b": worse, "c": other})) is None


def test_changes_are_those_of_the_results_store(recipe):
    for against in ("single", "uniform"):
        mine = changes_against(recipe.scores, against)
        theirs = recipe.improvement(against)
        for (method, seed), value in theirs.set_index(["method", "seed"])["value"].items():
            if method != against:
                assert mine.mean(method)[seed] == pytest.approx(value)


def test_figures_show_the_means_the_intervals_and_the_seeds(recipe):
    groups = [(improvement_group(recipe), None), *zip(task_groups(recipe), SCENES, strict=True)]
    for group, task in groups:
        (figure,) = Page(f'<script type="application/json">{group.plots[0].json}</script>').figures
        traces = figure["data"]
        for row, method in enumerate(OTHERS):
            change = by_hand.change(recipe, method, "single", task)
            bar, seeds, mean = traces[3 * row : 3 * row + 3]
            assert mean["x"] == pytest.approx([change.mean()])
            assert seeds["x"] == pytest.approx(change)
            assert bar["x"] == pytest.approx(by_hand.interval(change)[1:])
        assert group.title == (task or "")


def test_captions_of_tasks_name_each_method_with_its_outcome(recipe):
    for group in task_groups(recipe):
        said = {}
        for clause in group.caption.rstrip(".").split(". "):
            words, _, names = clause.partition(": ")
            said[words] = names.split(", ")
        sides = {label(m): by_hand.side(by_hand.change(recipe, m, "single", group.title)) for m in OTHERS}
        words = {1: "Better than alone", -1: "Worse than alone", 0: "No difference was found"}
        assert said == {
            words[side]: [name for name, own in sides.items() if own == side] for side in set(sides.values())
        }


def test_courses_are_means_over_seeds_of_the_history(recipe):
    groups = epochs_groups(recipe)
    assert [group.title for group in groups] == list(SCENES)
    for group in groups:
        for plot, quantity in zip(group.plots, ("validation_loss", "validation_value"), strict=True):
            (figure,) = Page(f'<script type="application/json">{plot.json}</script>').figures
            lines = [trace for trace in figure["data"] if trace.get("name")]
            history = recipe.history[recipe.history["task"] == group.title]
            expected = history.pivot_table(index="method", columns="epoch", values=quantity)
            assert [line["name"] for line in lines] == list(LABELS.values())
            for line, method in zip(lines, LABELS, strict=True):
                assert line["x"] == list(range(1, 13))
                assert line["y"] == pytest.approx(expected.loc[method].to_numpy(), rel=1e-3)


def test_a_single_epoch_is_no_course():
    assert epochs_groups(fabricate_recipe(methods=SOME[:2], epochs=1, pictures=0)) == []


def test_tasks_that_stop_early_do_not_change_what_a_mean_is_of():
    rows = [
        ("single", 0, epoch, task, 10.0 * (task == "b") + epoch, 0.5)
        for task, epochs in (("a", 3), ("b", 2))
        for epoch in range(epochs)
    ]
    columns = ["method", "seed", "epoch", "task", "validation_loss", "validation_value"]
    means = over_tasks(pd.DataFrame(rows, columns=columns))
    assert means[["epoch", "validation_loss"]].to_numpy().tolist() == [[0, 5.0], [1, 6.0]]


def test_pictures_stand_in_their_place_with_words_for_those_who_cannot_see_them(recipe, text):
    methods, examples = recipe_pictures(recipe)
    assert [method.key for method in methods] == ["single", "uniform", "mgda"]
    images = [attrs for tag, attrs in Page(text).tags if tag == "img"]
    assert len(images) == len(recipe.pictures) == 3 * (1 + 3 * (1 + 3))
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in images)
    assert len({attrs["alt"] for attrs in images}) == len(images)
    assert [line.task for line in examples[0].tasks] == list(SCENES)
    assert {"Test image 1", "depth, test image 2: target", "normals, test image 3: MGDA-UB"} <= {
        attrs["alt"] for attrs in images
    }


def test_missing_pictures_leave_a_gap_and_many_are_cut(recipe):
    rows = [(n, "input", None, None, None, png(np.random.default_rng(n))) for n in range(20)]
    rows.append((0, "prediction", "depth", "mgda", "MGDA-UB", png(np.random.default_rng(9))))
    rows.append((0, "prediction", "depth", "uniform", "Uniform", None))
    methods, examples = recipe_pictures(dataclasses.replace(recipe, pictures=pd.DataFrame(rows, columns=PICTURES)))
    assert [method.key for method in methods] == ["mgda"]
    assert len(examples) == MAX_EXAMPLES
    (line,) = examples[0].tasks
    assert line.target.source == ""
    assert line.predictions[0].source
    assert not examples[1].tasks


def test_forty_tasks_are_summarized_and_listed_in_rows(forty, forty_text):
    tables = Tables(forty_text).tables
    assert "Metrics" not in tables
    rows = dict(tables["accuracy over tasks"])
    for method in SOME:
        values = np.array([by_hand.values(forty, method, task, "accuracy").to_numpy() for task in ATTRIBUTES])
        mean, *points, better, worse = rows[label(method)]
        center, low, high = by_hand.interval(values.mean(axis=0))
        assert (numbers(mean)["value"], numbers(mean)["half"]) == pytest.approx((center, (high - low) / 2))
        expected = np.quantile(values.mean(axis=1), [0, 0.25, 0.5, 0.75, 1])
        assert [numbers(point)["value"] for point in points] == pytest.approx(expected)
        assert [shown(point)[0] for point in points] == pytest.approx(expected, abs=6e-4)
        if method != "single":
            sides = [by_hand.side(by_hand.change(forty, method, "single", task)) for task in ATTRIBUTES]
            assert [numbers(better)["value"], numbers(worse)["value"]] == [sides.count(1), sides.count(-1)]
    details = tables["Tasks and methods"]
    assert [name.split(" accuracy")[0] for name, _ in details] == list(ATTRIBUTES)
    for task, (_, cells) in zip(ATTRIBUTES, details, strict=True):
        for method, cell in zip(SOME, cells, strict=True):
            assert numbers(cell)["value"] == pytest.approx(by_hand.values(forty, method, task, "accuracy").mean())
            if method != "single":
                change = by_hand.change(forty, method, "single", task)
                assert numbers(cell)["change"] == pytest.approx(change.mean())
                word = {1: " better", -1: " worse", 0: ""}[by_hand.side(change)]
                assert re.search(r"[\d.]+ %(.*)$", plain(cell[1]))[1] == word


def test_the_dots_of_forty_tasks_are_their_changes_in_order(forty):
    assert task_groups(forty) == []
    group = dots_group(forty)
    (figure,) = Page(f'<script type="application/json">{group.plots[0].json}</script>').figures
    changes = pd.DataFrame(
        {
            method: {task: by_hand.change(forty, method, "single", task).mean() for task in ATTRIBUTES}
            for method in SOME[1:]
        }
    )
    order = changes.mean(axis=1).sort_values(ascending=False).index
    assert figure["layout"]["yaxis"]["ticktext"] == list(order)
    for trace, method in zip(figure["data"], SOME[1:], strict=True):
        assert trace["x"] == pytest.approx(changes.loc[order, method].to_numpy())
        assert [round(row) for row in trace["y"]] == list(range(40))
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < changes.to_numpy().min() < changes.to_numpy().max() < high


def test_the_course_of_forty_tasks_is_their_mean(forty):
    (group,) = epochs_groups(forty)
    assert group.title == "Mean over 40 tasks"
    (figure,) = Page(f'<script type="application/json">{group.plots[1].json}</script>').figures
    line = next(trace for trace in figure["data"] if trace.get("name") == "MGDA-UB")
    expected = forty.history[forty.history["method"] == "mgda"].groupby("epoch")["validation_value"].mean()
    assert line["y"] == pytest.approx(expected.to_numpy(), rel=1e-3)


def test_tasks_of_different_metrics_are_summarized_apart():
    tasks = {f"{kind} {n}": SCENES[kind] for n in range(3) for kind in ("segmentation", "normals")}
    made = summaries(fabricate_recipe(tasks=tasks, pictures=0))
    assert [(summary.metric, summary.arrow, summary.tasks) for summary in made][:3] == [
        ("mIoU", "↑", 3),
        ("pixel accuracy", "↑", 3),
        ("mean angle", "↓", 3),
    ]


@pytest.fixture(scope="module")
def hostile():
    tasks = dict.fromkeys(HOSTILE, (("<i>", "minimize", 0.4), ("</script>", "maximize", 0.5)))
    results = fabricate_recipe(
        tasks=tasks, methods=("single", "uniform", "mgda"), labels={"mgda": "<b>mgda</b>"}, epochs=3
    )
    results.about["differences"] = "<script>alert(3)</script>"
    results.about["changes"] = "<u>depth</u>"
    results.about["failed"] = [{"label": "<b>", "seed": 0, "training": "<b>, seed 0", "error": "<oom>"}]
    results.about["tried"] = [{"scales": dict.fromkeys(HOSTILE, 0.5), "score": score} for score in (0.25, np.nan, 0.5)]
    return results


@pytest.fixture(scope="module")
def hostile_text(hostile):
    return render_recipe(hostile)


def test_hostile_names_are_shown_literally_and_do_nothing(hostile_text):
    page = Page(hostile_text)
    assert sum(tag == "script" and "type" not in attrs for tag, attrs in page.tags) == 2  # plotly.js and ours
    assert not {"oom", "i", "u"} & {tag for tag, _ in page.tags}
    assert all("onerror" not in attrs for _, attrs in page.tags)
    for name in (*HOSTILE, "<b>mgda</b>", "<i>", "<script>alert(3)</script>", "<oom>", "<u>depth</u>"):
        assert name in page.text
    for figure in page.figures:
        ticks = [name for axis in ("xaxis", "yaxis") for name in figure["layout"].get(axis, {}).get("ticktext", [])]
        assert not any("<" in name for name in ticks)


def test_scales_that_were_tried_and_trainings_that_failed_are_listed(hostile_text):
    assert [name for name, _ in Tables(hostile_text).tables["Loss scales"]] == ["0.5000", "0.2500", "not finite"]
    assert "1 training failed and is left out (<b>)." in Page(hostile_text).text


def test_one_seed_gives_numbers_without_intervals():
    text = render_recipe(fabricate_recipe(seeds=1, epochs=2, pictures=0, methods=SOME))
    page = Page(text)
    assert "One seed was trained, so nothing can be said about differences between methods" in page.text
    assert "±" not in page.text
    assert " better than alone" not in page.text.lower()
    tables = Tables(text).tables
    for name, cells in tables["Methods"]:
        if name != "Single-task":
            assert "one seed cannot tell" in cells[0][1]
    assert not any("half" in numbers(cell) for _, cells in tables["Metrics"] for cell in cells)
    assert not any("best" in cell[1] for _, cells in tables["Metrics"] for cell in cells)


def test_a_rehearsal_says_so_and_claims_nothing():
    tiny = fabricate_recipe(methods=SOME[:3], gains={"mgda": around(5.0)}, epochs=1, pictures=0)
    tiny.about["tiny"] = True
    page = Page(render_recipe(tiny))
    assert sum(attrs.get("class") == "banner" for _, attrs in page.tags) == 1
    assert "these numbers mean nothing" in page.text
    verdict = page.text[page.text.index("This is a rehearsal") : page.text.index("3 tasks, 3 methods")]
    assert "did better" not in verdict
    assert "did worse" not in verdict


def test_a_missing_reference_is_said_and_another_one_is_named():
    none = fabricate_recipe(methods=("uniform", "mgda"), pictures=0, epochs=0)
    page = Page(render_recipe(none))
    assert "No task was trained alone, so this recipe cannot say whether sharing helps." in page.text
    assert "not trained" in page.text
    assert improvement_group(none) is None
    assert task_groups(none) == []
    assert "Validation by epoch" not in page.text
    other = dataclasses.replace(none, about=none.about | {"reference": "uniform"})
    text = render_recipe(other)
    page = Page(text)
    assert "Against the plain sum of losses (Uniform)" in page.text
    assert "Against each task alone" not in page.text
    assert improvement_group(other) is not None
    mean = by_hand.change(other, "mgda", "uniform").mean()
    assert numbers(dict(Tables(text).tables["Methods"])["MGDA-UB"][0])["value"] == pytest.approx(mean)


def test_undefined_scores_are_not_written_as_numbers_nor_left_out_of_means(recipe):
    scores = recipe.scores.copy()
    scores.loc[(scores["method"] == "mgda") & (scores["seed"] == 0) & (scores["metric"] == "mIoU"), "value"] = np.nan
    single = (scores["method"] == "single") & (scores["seed"] == 1) & (scores["task"] == "depth")
    scores.loc[single, "value"] = 0.0
    broken = dataclasses.replace(recipe, scores=scores)
    rows = recipe_methods_table(broken) + metrics_table(broken, columns_of(scores)).rows + detail_table(broken)
    for cell in (cell for row in rows for cell in row.cells):
        assert not re.search(r"\b(nan|inf)\b", f"{cell.value} {cell.spread} {cell.note}")
    methods = {row.name: row.cells for row in recipe_methods_table(broken)}
    assert all(methods[label(key)][0].note == "undefined" for key in OTHERS)
    assert methods["MGDA-UB"][1].note == "undefined"
    assert methods["DiBS"][1].note != "undefined"
    assert "NaN" not in "".join(plot.json for group in task_groups(broken) for plot in group.plots)
    assert improvement_group(broken) is None
    many = summaries(broken)
    quartiles = next(row.cells[1:6] for row in many[0].rows if row.name == "MGDA-UB")
    assert {cell.value for cell in quartiles} == {NOTHING}


def test_seeds_without_all_tasks_do_not_count(recipe):
    scores = recipe.scores
    lost = (scores["method"] == "single") & (scores["seed"] == 2) & (scores["task"] == "depth")
    fewer = dataclasses.replace(recipe, scores=scores[~lost])
    expected = by_hand.interval(by_hand.change(recipe, "mgda", "single")[:2])
    methods = {row.name: row.cells for row in recipe_methods_table(fewer)}
    assert methods["MGDA-UB"][0].raw["value"] == pytest.approx(expected[0])
    assert methods["MGDA-UB"][0].raw["high"] == pytest.approx(expected[2])


def test_results_without_facts_make_a_page_and_without_scores_an_error(tmp_path):
    bare = fabricate_recipe(seeds=2, about={}, pictures=0, epochs=0, methods=("single", "uniform"))
    written = write_recipe_report(bare, tmp_path / "new" / "report.html")
    assert Page(written.read_text(encoding="utf-8")).headings(SECTIONS) == [SECTIONS[0], SECTIONS[1], SECTIONS[4]]
    empty = dataclasses.replace(bare, scores=bare.scores.iloc[:0])
    with pytest.raises(ReportError, match="no scores; run a recipe first"):
        render_recipe(empty)
    with pytest.raises(ReportError, match="every training failed, the first with out of memory"):
        render_recipe(dataclasses.replace(empty, about={"failed": [{"error": "out of memory"}]}))


def test_the_page_survives_saving(hostile, hostile_text, tmp_path):
    hostile.save(tmp_path)
    assert render_recipe(RecipeResults.load(tmp_path)) == hostile_text


def test_no_two_methods_look_the_same():
    labels = {f"m{n}": f"Method {n}" for n in range(12)}
    frame = pd.DataFrame({"method": list(labels), "label": list(labels.values())})
    looks = [(method.color, method.dash) for method in methods_of(frame)]
    assert len(set(looks)) == 12


@pytest.mark.parametrize("width", [80, 100])
def test_the_terminal_fits_and_says_what_the_scores_say(recipe, forty, hostile, width):
    for results in (recipe, forty, hostile):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(recipe_table(results))
        lines = console.export_text().splitlines()
        assert all(len(line) <= width for line in lines)
        assert len(lines) < 20
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(recipe_table(recipe))
    (line,) = [line for line in console.export_text().splitlines() if "MGDA-UB" in line]
    mean, low, high = by_hand.interval(by_hand.change(recipe, "mgda", "single"))
    against = by_hand.change(recipe, "mgda", "uniform")
    assert f"{mean:+.1f}% [{low:+.1f}, {high:+.1f}]" in line
    assert f" {against.mean():+.1f}%{'*' if by_hand.side(against) else ''} " in line
    assert f" {by_hand.values(recipe, 'mgda', 'depth', 'absolute error').mean():.4f} " in line


def test_progress_takes_reports_in_any_order():
    with RecipeProgress() as progress:
        progress.stage("Training", ["[b]MGDA-UB, seed 0", "Uniform, seed 0"])
        progress.progress(0, 0.5)
        (bar,) = progress._progress.tasks
        assert (bar.completed, bar.total) == (0.5, 2)
        assert "MGDA-UB, seed 0" in bar.description
        progress.done(0, float("nan"))
        progress.progress(0, 0.7)  # late
        assert bar.completed == 1.0
        assert bar.description == ""

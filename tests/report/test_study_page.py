"""The page of a study is one harmless file whose numbers are those of the runs."""

from __future__ import annotations

import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from counterpoint import cli
from counterpoint.report import ReportError, render_study
from counterpoint.report.methods import methods_of
from counterpoint.report.study_figures import change_group
from counterpoint.report.study_groups import groups_section
from counterpoint.report.study_tables import methods_table, tasks_table
from counterpoint.study.summary import BASELINE
from counterpoint.terminal import decision_table

from . import by_hand
from .fabricated_studies import HOSTILE, around, fabricate_study, large_study, troubled_study
from .parsed_page import Page, plain

SECTIONS = (
    "The data",
    "The decision",
    "The plan",
    "Affinity and groups",
    "Trajectories",
    "How to reproduce",
)


class Tables(HTMLParser):
    """The tables of a page by their label: rows of (name, [(attributes, text) of each cell])."""

    def __init__(self, text):
        super().__init__()
        self.tables, self._label, self._row, self._in = {}, "", None, ""
        self.feed(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("role") == "group":
            self._label = attrs["aria-label"]
            self.tables.setdefault(self._label, [])
        elif tag == "tr":
            self._row = ["", []]
        elif tag == "th" and self._row is not None:
            self._in = "th"
        elif tag == "td" and self._row is not None:
            self._in = "td"
            self._row[1].append([attrs, ""])

    def handle_endtag(self, tag):
        if tag in {"th", "td"}:
            self._in = ""
        elif tag == "tr" and self._row[1]:
            self.tables[self._label].append((self._row[0].split("  ")[0].strip(), self._row[1]))

    def handle_data(self, data):
        if self._in == "th":
            self._row[0] += data
        elif self._in == "td":
            self._row[1][-1][1] += data


@pytest.fixture(scope="module")
def study():
    random = np.random.default_rng(1)
    gains = {
        (method, task): random.normal(mean, 1.0, 3)
        for method, mean in (("uniform", 1.0), ("mgda", 4.0), ("tuned", -2.0), ("groups-2", 2.0))
        for task in ("price", "cut", "clarity")
    }
    return fabricate_study(
        gains=gains, validation={"mgda": around(4.0), "groups-2": around(1.0), "tuned": around(-1.0)}
    )


@pytest.fixture(scope="module")
def text(study):
    return render_study(study)


@pytest.fixture(scope="module")
def troubled():
    return render_study(troubled_study())


def numbers(cell):
    return {name.removeprefix("data-"): float(value) for name, value in cell[0].items() if name.startswith("data-")}


def test_every_section_is_there_in_order(text):
    page = Page(text)
    assert page.headings(SECTIONS) == list(SECTIONS)
    assert "Train all 3 tasks together in one network (price, cut and clarity), balanced by MGDA-UB." in page.text
    assert page.text.index("chosen on validation rows; test rows took no part") < page.text.index("37,758")


def test_the_decision_table_is_recomputed_from_the_runs(study, text):
    rows = dict(Tables(text).tables["Methods"])
    assert next(iter(rows)).startswith("MGDA-UB")
    for method in study.methods:
        test, validation, networks, adds, parameters, seconds, search = next(
            cells for name, cells in rows.items() if name.startswith(method.label)
        )
        if method.key != BASELINE:
            for cell, split in ((test, "test"), (validation, "validation")):
                mean, low, high = by_hand.interval(by_hand.change(study, method.key, BASELINE, split=split))
                raw = numbers(cell)
                assert (raw["value"], raw["low"], raw["high"]) == pytest.approx((mean, low, high))
                shown = [float(number) for number in re.findall(r"[+-]?\d+\.\d+", plain(cell[1]))]
                assert shown == pytest.approx([mean, low, high], abs=0.051)
        served = study.served[method.key].values()
        runs = study.runs.drop_duplicates("run").set_index("run")
        per_seed = [runs.loc[list(names)] for names in served]
        assert numbers(networks)["value"] == len(next(iter(served)))
        assert numbers(adds)["value"] == pytest.approx(np.mean([part["multiply_adds"].sum() for part in per_seed]))
        assert numbers(parameters)["value"] == pytest.approx(np.mean([part["parameters"].sum() for part in per_seed]))
        assert numbers(seconds)["value"] == pytest.approx(np.mean([part["seconds"].sum() for part in per_seed]))
        assert numbers(search)["value"] == study.decision.costs[method.key].search_seconds
        assert parameters[1].replace(",", "") == f"{numbers(parameters)['value']:.0f}"


def test_the_tasks_table_is_recomputed_from_the_runs(study, text):
    rows = Tables(text).tables["Tasks and methods"]
    assert [name.split()[0] for name, _ in rows] == study.tasks
    order = [BASELINE, "mgda", "uniform", "tuned", "groups-2"]
    for task, (_, cells) in zip(study.tasks, rows, strict=True):
        for method, cell in zip(order, cells, strict=True):
            sample, raw = list(by_hand.values(study, method, task).values()), numbers(cell)
            assert raw["value"] == pytest.approx(np.mean(sample))
            assert raw["spread"] == pytest.approx(np.std(sample, ddof=1))
            shown = re.match(r"([\d.]+) ± ([\d.]+)", plain(cell[1]))
            assert [float(part) for part in shown.groups()] == pytest.approx([raw["value"], raw["spread"]], abs=6e-5)
            if method == BASELINE:
                continue
            change = by_hand.change(study, method, BASELINE, task)
            expected = by_hand.interval(change)
            assert (raw["change"], raw["low"], raw["high"]) == pytest.approx(expected)
            written = re.search(r"([+-]?[\d.]+) % \(([+-]?[\d.]+) to ([+-]?[\d.]+)\)( better| worse)?", plain(cell[1]))
            assert [float(part) for part in written.groups()[:3]] == pytest.approx(expected, abs=0.051)
            assert written[4] == {1: " better", -1: " worse", 0: None}[by_hand.side(change)]


def test_the_chart_shows_both_splits_of_every_method(study):
    others = [method for method in methods_of(study.scores("test")) if method.key != BASELINE]
    (plot,) = change_group(study, others).plots
    (figure,) = Page(f'<script type="application/json">{plot.json}</script>').figures
    means = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    expected = [
        by_hand.change(study, method.key, BASELINE, split=split).mean()
        for method in others
        for split in ("test", "validation")
    ]
    assert [trace["x"][0] for trace in means] == pytest.approx(expected)
    assert {trace["marker"]["symbol"] for trace in means} == {"diamond", "diamond-open"}


def test_hostile_names_are_shown_literally_and_do_nothing(troubled):
    page = Page(troubled)
    assert sum(tag == "script" and "type" not in attrs for tag, attrs in page.tags) == 2  # plotly.js and ours
    assert not {"oom", "id"} & {tag for tag, _ in page.tags}
    assert all("onerror" not in attrs for _, attrs in page.tags)
    for name in (*HOSTILE, "<b>id</b>", "RuntimeError: <oom>", "row <id>"):
        assert name in page.text
    for figure in page.figures:
        ticks = [label for axis in ("xaxis", "yaxis") for label in figure["layout"].get(axis, {}).get("ticktext", [])]
        assert not any("<" in label for label in ticks)


def test_data_plan_and_warnings_are_told(troubled):
    page = Page(troubled)
    assert sum(attrs.get("class") == "warning" for _, attrs in page.tags) == 2  # with the verdict, and with the data
    tables = Tables(troubled).tables
    assert [numbers(cell).get("value") for cell in tables["Tasks"][1][1][2:]] == [1200, 0, 31]
    for words in (
        "5 classes",
        "learned as logarithm; inferred: 11,602 different numbers",
        "every row has another value, so it is an identifier",
        "the budget of 10 minutes was spent",
        "budget 10 min 0 s",
        "time estimated 5 min 10 s",
        "2 of 3",
        "ruled out: has 2 of 3 seeds",
        "counterpoint predict runs/study/bundle new.csv -o out.parquet",
        "date 1 March 2026, 14:05 UTC",
        "seeds 0, 1, 2",
    ):
        assert words in page.text, words
    tried = [(plain(cells[0][1]), numbers(cells[0])["value"]) for _, cells in tables["Loss scales"]]
    assert [value for _, value in tried] == pytest.approx([-1.4, -0.4, -0.9])  # more seeds first, then the better
    assert [said.endswith(("2 seeds", "1 seed")) for said, _ in tried] == [True] * 3


def test_a_study_without_facts_plan_and_history_makes_a_page():
    bare = fabricate_study(seeds=1, about={}, plan={}, measured=False, curves=False, methods=("single", "uniform"))
    page = Page(render_study(bare))
    assert page.headings(SECTIONS) == ["The data", "The decision", "How to reproduce"]
    assert "one seed cannot tell" in page.text
    alone = fabricate_study(tasks=("price",), methods=("single",), about={"table": None, "data": {}}, plan={})
    assert "nothing to share" in Page(render_study(alone)).text
    with pytest.raises(ReportError, match="no runs"):
        render_study(dataclasses.replace(bare, runs=bare.runs.iloc[:0]))


def test_undefined_numbers_are_not_written_as_numbers(study):
    runs = study.runs.copy()
    runs.loc[runs["run"] == "single/0/0", "test_value"] = 0.0
    runs.loc[runs["run"] == "mgda/0/1", "test_value"] = np.inf
    contrasts = tuple(
        dataclasses.replace(c, test=dataclasses.replace(c.test, mean=np.nan, low=-np.inf, high=np.inf),
                            tasks={t: dataclasses.replace(e, mean=np.nan) for t, e in c.tasks.items()})
        for c in study.decision.contrasts
    )  # fmt: skip
    decision = dataclasses.replace(study.decision, contrasts=contrasts, verdict="undecided")
    broken = dataclasses.replace(study, runs=runs, decision=decision)
    rows = methods_table(broken) + tasks_table(broken, methods_of(broken.scores("test")))
    for cell in (cell for row in rows for cell in row.cells):
        assert not re.search(r"\b(nan|inf)\b", f"{cell.value} {cell.spread} {cell.note}")
    assert any("undefined" in cell.note for row in rows for cell in row.cells)
    others = [method for method in methods_of(broken.scores("test")) if method.key != BASELINE]
    (plot,) = change_group(broken, others).plots  # validation rows are left
    assert "NaN" not in plot.json


def test_many_tasks_and_methods_keep_their_groups():
    results = large_study(20)
    section = groups_section(results)
    assert [method.key for method, *_ in section.methods] == ["groups-3", "groups-5"]
    assert [shown for *_, shown in section.methods] == [True, False]
    measured = [plain(words) for _, words, _, _ in section.methods]
    for key, words in zip(("groups-3", "groups-5"), measured, strict=True):
        mean, low, high = by_hand.interval(by_hand.change(results, key, BASELINE))
        assert f"Δm {mean:+.1f} %, 95 % interval {low:+.1f} to {high:+.1f}: better." in words
    assert measured[0].endswith("Recommended.")
    assert "Not proven" in section.methods[0][2].proof
    assert "Proven: no grouping with at most 5 networks" not in section.methods[0][2].proof
    squares = Page(f'<script type="application/json">{section.affinity.map.plots[0].json}</script>').figures[0]
    assert len(squares["layout"]["shapes"]) == 3


def test_the_page_survives_saving_and_the_command_line_writes_it(study, text, tmp_path, capsys):
    study.save(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["report", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    written = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert written == text


def test_the_terminal_marks_what_was_chosen_and_fits(study):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(decision_table(study))
    lines = console.export_text().splitlines()
    mean, low, high = by_hand.interval(by_hand.change(study, "mgda", BASELINE))
    (chosen,) = [line for line in lines if line.strip().startswith("*") and "MGDA-UB" in line]
    assert f"{mean:+.1f}% [{low:+.1f}, {high:+.1f}]" in chosen
    assert all(len(line) <= 80 for line in lines)

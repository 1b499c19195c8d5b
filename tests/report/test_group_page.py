"""The grouping report chooses on validation data, judges on test data, and shows every name as it is."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from counterpoint.affinity import Affinity
from counterpoint.estimate import Estimate
from counterpoint.grouping import Network
from counterpoint.report import (
    ReportError,
    chosen_candidate,
    group_verdict,
    method_rows,
    render_groups,
    write_group_report,
)
from counterpoint.report.affinity_map import affinity_map, extremes
from counterpoint.report.group_figures import cost_and_quality, span_of
from counterpoint.study.group_results import Candidate, GroupResults
from counterpoint.study.summary import delta_m

from .parsed_page import Page, plain

HOSTILE = ("<script>alert(1)</script>", 'a<b>&"c"', "</td><img src=x onerror=alert(2)>", "d", "e")
STEADY = [0.0, 0.1, -0.1, 0.05, -0.05]


SECTIONS = ("Groups", "Affinity", "How many networks", "Methods: quality and cost", "Every task", "How it was made")


def say(results):
    return [plain(sentence) for sentence in group_verdict(results)]


def around(*means):
    """Percent per seed close to each mean, for 5 seeds."""
    return tuple([mean + wiggle for wiggle in STEADY] for mean in means)


@pytest.fixture(scope="module")
def study(fabricate_groups):
    return fabricate_groups(families=("tag", "cs", "hoa", "random"))


def test_the_choice_is_made_on_validation_losses_not_on_test_data(fabricate_groups):
    losses = {("tag", 2): around(9.0, 1.0), ("tag", 3): around(-4.0, 3.0), "together": around(5.0, 0.5)}
    results = fabricate_groups(seeds=5, sizes=(2, 3), losses=losses, gains={"tag": around(-1)[0], "together": [0.0]})
    verdict = say(results)
    assert verdict[0].startswith("Validation losses favour 3 networks grouped by task affinity (reduced by +3.0 %")
    assert "worse in the metric (Δm -1.0 %" in verdict[2]
    assert "loss (reduced by -4.0 %" in verdict[2]
    assert chosen_candidate(results).method == "tag-3"


@pytest.mark.parametrize(
    ("gain", "word"), [(3.0, "better in"), (-3.0, "worse in"), (0.0, "no difference was found in")]
)
def test_test_data_are_judged_by_their_interval_on_both_sides_of_zero(fabricate_groups, gain, word):
    losses = {"tag": around(gain, 3.0), "together": around(0.0, 1.0)}
    verdict = say(fabricate_groups(seeds=5, sizes=(3,), losses=losses, gains={"tag": around(gain)[0], "together": [0]}))
    alone = next(sentence for sentence in verdict if "each task alone:" in sentence)
    estimate = Estimate.of(around(gain)[0])
    assert f": {word} the metric (Δm {gain:+.1f} %".replace("+0.0", "0.0") in alone
    assert f"{estimate.low:+.1f} to {estimate.high:+.1f}" in alone
    assert ("3 networks are cheaper to serve than one for each task" in alone) == (gain == 0)


def test_no_difference_from_fewer_networks_is_said_with_their_price(fabricate_groups):
    noisy = [3.0, -2.0, 1.5, -1.0, 0.5]
    results = fabricate_groups(
        seeds=5,
        sizes=(2, 3),
        losses={("tag", 3): (noisy, [x + 0.3 for x in noisy]), ("tag", 2): ([0.0], [0.0]), "together": ([0.0], [-1.0])},
        gains={"tag": noisy, "together": [0.0]},
    )
    last = say(results)[-1]
    assert last.startswith("Neither validation nor test data show a difference between this and all tasks together")
    assert "fewer networks are cheaper to serve" in last


def test_a_cheaper_option_that_test_data_tell_apart_is_not_named(fabricate_groups):
    losses = {"tag": around(4.0, 4.0), "together": around(1.0, 1.0)}
    verdict = " ".join(say(fabricate_groups(seeds=5, sizes=(3,), losses=losses)))
    assert "cheaper" not in verdict
    assert "Compared with all tasks together: better in the metric" in verdict


def test_one_seed_cannot_tell(fabricate_groups):
    verdict = say(fabricate_groups(seeds=1, losses={"tag": [50.0], "together": [0.0]}))
    assert "one seed cannot tell about the metric" in verdict[2]
    assert "interval" not in " ".join(verdict)
    assert "better" not in " ".join(verdict)
    assert "One seed gives no interval" in Page(render_groups(fabricate_groups(seeds=1))).text


def test_single_tasks_and_all_together_can_be_the_choice(fabricate_groups):
    harmful = {"tag": around(-3.0)[0], "together": around(-5.0)[0]}
    verdict = say(fabricate_groups(seeds=5, losses=harmful, gains=harmful))
    assert verdict[0] == "Validation losses favour each task alone: no other option had lower ones."
    assert verdict[1].startswith("That is 14 networks to serve. If that is too many, ")
    assert "grouped by task affinity did best on validation data (losses reduced by -3.0 %" in verdict[1]
    assert verdict[2].startswith("The networks: (1) serves")
    assert verdict[3].startswith("On test data, compared with all tasks together: better in")
    together = fabricate_groups(seeds=5, losses={"tag": around(1.0)[0], "together": around(3.0)[0]})
    assert say(together)[0].startswith("Validation losses favour all tasks together in one network (reduced by +3.0 %")
    assert chosen_candidate(together).family == "together"


@pytest.mark.parametrize("family", ["single", "together"])
def test_a_reference_that_breaks_the_rules_is_compared_with_but_never_chosen(fabricate_groups, family):
    losses = {"single": [0.0], "together": [5.0, 5.1] if family == "together" else [-2.0, -2.1], "tag": [-1.0, -1.1]}
    results = fabricate_groups(losses=losses, families=("tag",), sizes=(2,))
    favoured = "each task alone" if family == "single" else "all tasks together in one network"
    assert f"Validation losses favour {favoured}" in group_verdict(results)[0]
    marked = tuple(dataclasses.replace(c, follows_rules=c.family != family) for c in results.candidates)
    results = dataclasses.replace(results, candidates=marked)
    verdict = group_verdict(results)
    other = "each task alone" if family == "together" else "2 networks grouped by task affinity"
    assert f"Validation losses favour {other}" in verdict[0]
    assert verdict[-1] == f"The rules given forbid {favoured}: it was trained for comparison only."
    assert "one network is cheaper" not in " ".join(verdict)
    assert "breaks the rules: for comparison only" in render_groups(results)


def test_equal_options_lead_to_the_fewest_networks(fabricate_groups):
    same = around(2.0)[0]
    results = fabricate_groups(seeds=5, sizes=(2, 3), losses={"tag": same, "together": [0.0]})
    assert chosen_candidate(results).method == "tag-2"


def test_without_single_tasks_nothing_is_claimed(fabricate_groups):
    results = fabricate_groups(seeds=2)
    rest = tuple(candidate for candidate in results.candidates if candidate.family != "single")
    text = Page(render_groups(dataclasses.replace(results, candidates=rest))).text
    assert "No task was trained alone, so this study cannot say whether grouping helps." in text


def test_an_untrained_grouping_shows_the_proof_and_no_measurements(fabricate_groups):
    results = fabricate_groups(trained=False)
    verdict = say(results)
    assert verdict[0].startswith("The networks: (1) serves class 0, class 4, class 8 and class 12, with the help of")
    assert "Proven: no grouping with at most 4 networks scores more." in verdict[1]
    assert verdict[-1].startswith("No network was trained")
    page = Page(render_groups(results))
    assert page.headings(SECTIONS) == ["Groups", "Affinity", "How many networks", "How it was made"]
    assert len(page.figures) == 2
    assert "14 tasks, 17 groupings, nothing trained" in page.text


def test_a_search_that_stopped_early_names_its_gap(fabricate_groups):
    results = fabricate_groups(trained=False, status="feasible", sizes=(2,), families=("tag",))
    text = Page(render_groups(results)).text
    assert "Predicted score 0.0064. Not proven to be the best: the search stopped early." in text
    assert "scores more than 0.0069, so this one is short of the best by at most 0.0005, 7.2 % of it." in text
    score = next(
        trace for trace in Page(render_groups(results)).figures[1]["data"] if trace["hovertemplate"].startswith("score")
    )
    assert score["marker"]["color"] == ["white"]


def test_random_draws_are_averaged_within_seeds_and_their_spread_is_shown(fabricate_groups):
    results = fabricate_groups(seeds=5, sizes=(3,))
    scores = results.scores
    row = next(method for method in method_rows(results) if method.family == "random")
    draws = [delta_m(scores, f"random-3.{draw}") for draw in range(3)]
    by_seed = [float(np.mean([draw[seed] for draw in draws])) for seed in range(5)]
    assert row.delta == Estimate.of(by_seed)
    assert row.delta.seeds == 5
    assert [draw.delta for draw in row.draws] == pytest.approx([np.mean(list(draw.values())) for draw in draws])
    low, high = min(draw.delta for draw in row.draws), max(draw.delta for draw in row.draws)
    text = Page(render_groups(results)).text
    assert f"draws {low:+.1f} to {high:+.1f}" in text
    assert "Random groups, 3 mean of 3 draws" in text
    assert text.count("Random groups, 3") == 1  # no draw has a row of its own


def test_cost_counts_each_network_once_and_the_search(fabricate_groups):
    results = fabricate_groups(sizes=(3,))
    row = next(method for method in method_rows(results) if method.family == "tag")
    networks = next(candidate for candidate in results.candidates if candidate.method == "tag-3").networks
    assert row.search == 34.0
    assert row.seconds.mean == pytest.approx(34.0 + sum(2.0 + 0.3 * len(network.tasks) for network in networks))
    assert row.parameters == (sum(1000 + 10 * len(network.tasks) for network in networks),) * 2
    single = next(method for method in method_rows(results) if method.family == "single")
    assert (single.networks, single.search, single.delta) == ((14, 14), 0.0, None)


def test_a_seed_that_lacks_a_task_is_left_out(fabricate_groups):
    results = fabricate_groups(seeds=3, sizes=(3,), families=("tag",))
    run = next(candidate for candidate in results.candidates if candidate.family == "together").networks[0]
    lost = (results.networks["seed"] == 1) & (results.networks["run"] == json.dumps([*sorted(run.tasks), 1]))
    assert lost.sum() == 14
    partial = dataclasses.replace(results, networks=results.networks[~lost | (results.networks["task"] != "class 3")])
    together = next(method for method in method_rows(partial) if method.family == "together")
    assert together.delta.seeds == 2


def test_a_larger_loss_change_is_the_mean_of_the_tasks_changes(fabricate_groups):
    results = fabricate_groups(seeds=5, sizes=(2,), losses={"tag": around(7.0)[0]})
    row = next(method for method in method_rows(results) if method.family == "tag")
    assert row.reduction.mean == pytest.approx(7.0)
    assert row.validation.mean == pytest.approx(7.0)


def test_served_subsets_leave_the_helpers_out_of_the_results(fabricate_groups):
    results = fabricate_groups(serves=("class 1", "class 4", "class 7"), sizes=(2,))
    page = Page(render_groups(results))
    assert (
        "(1) serves class 1 and class 7, with the help of class 2; (2) serves class 4, with the help of class 5."
        in (page.text)
    )
    every = page.text.split("Every task")[1].split("How it was made")[0]
    assert "class 4 average precision" in every
    assert "class 2 average precision" not in every
    rows = re.findall(r"<tr.*?>.*?</tr>", render_groups(results).split('class="matrix"')[1].split("</table>")[0])
    assert len(rows) == 1 + 14


def test_hostile_names_are_shown_literally_and_do_nothing(fabricate_groups):
    results = fabricate_groups(tasks=HOSTILE, sizes=(2,), about={"title": "</title><script>alert(3)</script>"})
    text = render_groups(results)
    page = Page(text)
    assert sum(tag == "script" and "type" not in attrs for tag, attrs in page.tags) == 2  # plotly.js and ours
    assert not {"b>", "img"} & {tag for tag, _ in page.tags}
    assert all(name in page.text for name in (*HOSTILE, "</title><script>alert(3)</script>"))
    heat = page.figures[0]
    shown = [*heat["layout"]["xaxis"]["ticktext"], *(cell for row in heat["data"][0]["customdata"] for cell in row)]
    assert not any(re.search(r"<(?!/?b>|br>)", label) for label in shown)
    assert any("&lt;script&gt;" in label for label in shown)
    policy = next(attrs["content"] for _, attrs in page.tags if "script-src" in attrs.get("content", ""))
    assert policy.startswith("default-src 'none'")


def test_the_heat_map_follows_the_groups_and_leaves_the_diagonal_out():
    tasks = ("a", "b", "c", "d")
    values = np.arange(16, dtype=float).reshape(4, 4) - 8
    networks = (Network(("c", "a"), ("c",)), Network(("b", "d", "a"), ("b", "a")))
    plot = affinity_map(Affinity(values, tasks), networks)
    figure = json.loads(plot.json)
    assert figure["layout"]["yaxis"]["ticktext"] == figure["layout"]["xaxis"]["ticktext"] == ["c", "a", "b", "d"]
    z = figure["data"][0]["z"]
    assert z[0] == [None, values[2, 0], values[2, 1], values[2, 3]]  # row = the task that steps
    squares = [(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"]]
    assert squares == [(-0.5, 0.5), (0.5, 2.5), (2.5, 3.5)]
    assert figure["data"][0]["zmin"] == -figure["data"][0]["zmax"]


def test_the_strongest_pairs_are_named_with_their_noise():
    values, error = [[0, 0.3, 0.1], [-0.2, 0, 0.0], [0.1, 0.05, 0]], np.full((3, 3), 0.11)
    said = plain(extremes(Affinity(values, ("a", "b", "c"), 5, error)))
    assert "A step on a helps b most (affinity 0.3, standard error 0.11)." in said
    assert "A step on b harms a most (affinity -0.2, standard error 0.11, not told apart from zero)." in said
    assert extremes(Affinity([[0.5, math.nan], [math.nan, 0.5]], ("a", "b"))) == "No affinity was measured."


def test_seeds_that_disagree_are_shown_side_by_side(fabricate_groups):
    results = fabricate_groups(seeds=3, by_seed=True, sizes=(2,), losses={"tag": [3.0], "together": [0.0]})
    page = Page(render_groups(results))
    assert "The seeds led to 2 different groupings; this one is of seeds 0 and 2." in page.text
    assert page.text.count("Seeds 0, 2") == 1
    assert page.text.count("Seed 1") == 1


def test_forty_tasks_in_ten_networks_stay_readable(fabricate_groups):
    results = fabricate_groups(tasks=40, sizes=(5, 10), families=("tag",))
    text = render_groups(results)
    assert text.count('<i class="serves"></i><span') == 80
    assert "(1) serves" not in say(results)[1]  # not in a sentence, but in the list
    assert len(text) < 6e6


def test_points_span_the_picture_even_where_two_seeds_give_huge_intervals(study):
    methods = method_rows(study)
    wide = [dataclasses.replace(m, delta=m.delta and dataclasses.replace(m.delta, low=-90, high=90)) for m in methods]
    low, high = span_of(wide, "delta")
    assert -5 < low < 0 < high < 5
    text = Page(render_groups(study)).text
    assert "Up is better, left is cheaper." in text


def test_cost_is_logarithmic_where_it_spans_more_than_tenfold(study):
    methods = method_rows(study)
    axis = json.loads(cost_and_quality(methods, "delta").json)["layout"]["xaxis"]
    assert "type" not in axis
    costly = [
        dataclasses.replace(m, seconds=Estimate.of([9000.0, 9001.0])) if m.family == "hoa" else m for m in methods
    ]
    axis = json.loads(cost_and_quality(costly, "delta").json)["layout"]["xaxis"]
    assert axis["type"] == "log"
    assert "hours" in axis["title"]["text"]


def test_every_method_and_task_is_on_the_page(study):
    page = Page(render_groups(study))
    assert page.headings(SECTIONS) == list(SECTIONS)
    assert len(page.figures) == 1 + 3 + 2
    for label in ("Each task alone", "All together", "Task affinity (TAG), 3", "All pairs (HOA), 4"):
        assert label in page.text
    plots = [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    assert all(len(attrs["aria-label"]) > 20 for attrs in plots)


def test_the_page_survives_saving_and_is_written_completely(study, tmp_path):
    study.save(tmp_path / "results")
    path = write_group_report(GroupResults.load(tmp_path / "results"), tmp_path / "page" / "report.html")
    assert path.read_text(encoding="utf-8") == render_groups(study)


def test_results_without_groupings_are_refused(study):
    with pytest.raises(ReportError, match="no grouping"):
        render_groups(dataclasses.replace(study, candidates=()))


def test_one_task_and_one_network_make_a_page(fabricate_groups):
    results = fabricate_groups(tasks=2, sizes=(1,), families=("tag",))
    assert "Groups" in Page(render_groups(results)).words
    lone = GroupResults(
        results.networks.iloc[:0],
        (Candidate("tag", 1, (Network(("x",), ("x",)),), score=0.0, bound=0.0),),
        Affinity([[0.1]], ("x",)),
    )
    assert say(lone)[0] == "One network serves x alone."
    assert "Affinity" not in Page(render_groups(lone)).words


def test_rendering_imports_no_torch():
    code = "import sys, counterpoint.report; assert not {'torch', 'lightning', 'torchjd'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

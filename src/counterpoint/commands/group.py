"""counterpoint group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from counterpoint.commands.command_line import command_line
from counterpoint.commands.lists import names

if TYPE_CHECKING:
    from counterpoint.study.proposals import GroupingRules


def group(  # noqa: PLR0917  (the command's options)
    affinity: Path | None = None,
    data: Literal["yeast", "digits"] | None = None,
    networks: int = 3,
    seeds: int = 2,
    serve: str = "",
    singletons: Literal["neutral", "forbid"] = "neutral",
    largest: int | None = None,
    apart: str = "",
    time_limit: float = 60.0,
    compare: str = "cs,random",
    method: Literal["first-order", "last-layer", "lookahead", "features"] = "first-order",
    every: int = 10,
    weighting: str = "uniform",
    epochs: int | None = None,
    replicates: bool = False,
    out: Path | None = None,
    workers: int | None = None,
) -> None:
    """Find out which tasks should share a network.

    With --data: trains all tasks together once while measuring whose step helps whom, computes the best grouping for
    every number of networks, trains and tests its networks, and compares with single tasks, all together and other ways
    of grouping. With a saved affinity: computes the best grouping only.

    Args:
        affinity: a saved affinity (JSON), to be grouped as it is.
        data: what to train on, yeast or digits.
        networks: the most networks that you would serve.
        seeds: trainings of each network; intervals need at least 2.
        serve: tasks to be served, separated by commas; all by default. The others may only help.
        singletons: whether a network may have a single task, which scores 0.
        largest: the most tasks in a network.
        apart: pairs that must not share a network, for example a+b,c+d.
        time_limit: seconds for one search.
        compare: what else to try, separated by commas: cs (gradient cosines), random, hoa (trains every pair), optimal
            (trains every set; at most 5 tasks); none with "".
        method: how affinities are measured; last-layer is first-order at the encoder's last layer, for deep encoders.
        every: training steps from one measurement to the next.
        weighting: how tasks that share a network are balanced, such as mgda or cagrad(c=0.4).
        epochs: passes over the training rows; by default what suits the data.
        replicates: each seed splits the rows, measures and groups by itself; for comparing methods.
        out: folder for results, report, logs and checkpoints; by default runs/group, nothing for a saved affinity.
        workers: trainings side by side, by default one a core.
    """
    options = dict(locals())
    from counterpoint.study.proposals import GroupingRules  # noqa: PLC0415

    rules = GroupingRules(names(serve), singletons, largest, _pairs(apart), time_limit)
    if (affinity is None) == (data is None):
        given = "neither a saved affinity nor --data is" if affinity is None else "both a saved affinity and --data are"
        raise ValueError(f"{given} given, expected one of them: a JSON file, or --data yeast")
    if affinity is not None:
        _group_saved(affinity, networks, rules, out)
        return
    from dataclasses import replace  # noqa: PLC0415

    from counterpoint.report import chosen_candidate, group_verdict, write_group_report  # noqa: PLC0415
    from counterpoint.study.comparison import MeterSettings  # noqa: PLC0415
    from counterpoint.study.execution import cores  # noqa: PLC0415
    from counterpoint.study.group import GroupStudy  # noqa: PLC0415
    from counterpoint.study.source import SOURCES  # noqa: PLC0415
    from counterpoint.terminal import GroupProgress, console, methods_table, networks_table  # noqa: PLC0415

    source = SOURCES[str(data)]
    study = GroupStudy(
        source,
        networks,
        seeds,
        names(compare),
        rules,
        fit=source.fit if epochs is None else replace(source.fit, epochs=epochs),
        weighting=weighting,
        meter=MeterSettings(method, every),
        pooled=not replicates,
        out=out or Path("runs/group"),
        workers=workers if workers is not None else cores(),
    )
    console.print(f"up to {study.runs} trainings, {study.workers} side by side, into {study.out}", soft_wrap=True)
    with GroupProgress() as progress:
        results = study.run(command_line(group, options), progress)
    page = write_group_report(results, study.out / "report.html").resolve()
    console.print(methods_table(results))
    chosen = chosen_candidate(results)
    if chosen is not None:
        console.print(networks_table(chosen))
    for sentence in group_verdict(results):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def _group_saved(path: Path, networks: int, rules: GroupingRules, out: Path | None) -> None:
    import pandas as pd  # noqa: PLC0415

    from counterpoint.affinity import Affinity  # noqa: PLC0415
    from counterpoint.study.group_results import NETWORKS, GroupResults  # noqa: PLC0415
    from counterpoint.study.proposals import for_every_size  # noqa: PLC0415
    from counterpoint.terminal import console, groupings_table, networks_table  # noqa: PLC0415

    affinity = Affinity.load(path)
    sizes = range(min(1, networks), networks + 1)
    found = for_every_size("tag", affinity, sizes, rules, search={}, seed=None)
    about = {
        "title": "Which tasks should share a network?",
        "question": f"Grouped from {path.name}; nothing was trained.",
    }
    results = GroupResults(pd.DataFrame(columns=NETWORKS), tuple(found), affinity, about)
    console.print(groupings_table(results))
    console.print(networks_table(found[-1]))
    if out is not None:
        from counterpoint.report import write_group_report  # noqa: PLC0415

        results.save(out)
        page = write_group_report(results, out / "report.html").resolve()
        console.print(f"Report: {page}", markup=False, soft_wrap=True)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in names(text):
        parts = [name.strip() for name in pair.split("+")]
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"--apart {pair!r} is not a pair, expected two tasks such as a+b")
        pairs.append((parts[0], parts[1]))
    return tuple(pairs)

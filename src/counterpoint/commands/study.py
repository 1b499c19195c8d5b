"""``counterpoint study``: a table in, a decision and a servable model out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from counterpoint.commands.command_line import command_line
from counterpoint.commands.lists import names


def study(  # noqa: PLR0917  (options of a command line)
    table: str | None = None,
    targets: list[str] | str = "",
    task: list[str] = [],  # noqa: B006  (read only; what the command line shows as the default)
    networks: int | None = None,
    minutes: float | None = None,
    weightings: list[str] | str = "mgda,dibs",
    seeds: int = 3,
    scale_trials: int = 4,
    architecture: Literal["mlp", "mmoe", "ple"] = "mlp",
    hidden: str | int = "256,256",
    features: list[str] | str = "",
    drop: list[str] | str = "",
    split: Literal["auto", "random", "stratified", "grouped", "time"] = "auto",
    group_by: str | None = None,
    time_by: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    split_seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 1e-3,
    method: Literal["first-order", "last-layer", "lookahead", "features"] = "first-order",
    every: int = 10,
    data: str | dict[str, Any] | None = None,
    encoder: dict[str, Any] | None = None,
    heads: dict[str, Any] | None = None,
    out: Path = Path("runs/study"),
    workers: int | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    devices: int = 1,
    nodes: int = 1,
) -> None:
    """Which tasks to train together, how, and what that gains over a network for each task, on your own table.

    Trains each target alone, all together, with several weightings and loss scales, and in the groups that measured
    affinities suggest. Chooses on validation rows, confirms on test rows, and writes a report and a bundle that
    predicts. A study that was stopped goes on where it was when it is started again.

    Args:
        table: the table: CSV, .csv.gz or Parquet.
        targets: columns to predict, separated by commas; one with a comma in its name in double quotes.
        task: what targets are where that is not to be inferred, such as price:regression:log or visits:count.
        networks: the most networks to serve; by default no limit.
        minutes: the time to stay within; what is least useful is dropped first, and said.
        weightings: what to balance tasks with besides the plain sum of their losses, separated by commas; options of
            one in brackets, such as cagrad(c=0.4).
        seeds: trainings of each network.
        scale_trials: vectors of loss scales to try.
        architecture: the network for tables.
        hidden: widths of its hidden layers, separated by commas.
        features: the only columns to use, separated by commas; by default all others.
        drop: columns not to use, separated by commas.
        split: how rows are split; auto is stratified by classes, or by group or time where one is named.
        group_by: rows with the same value in this column stay in one split.
        time_by: the oldest rows by this column train, the newest test.
        validation: share of the rows to choose with.
        test: share of the rows to test with.
        split_seed: seed of the split.
        epochs: passes over the training rows; by default what suits their number, with early stopping.
        batch_size: rows a step; by default what suits their number.
        lr: learning rate of Adam.
        method: how affinities are measured.
        every: training steps from one measurement to the next.
        data: for config files, the table; or class_path and init_args of a torch Dataset or a LightningDataModule.
        encoder: class_path and init_args of the shared part, for a Dataset.
        heads: class_path and init_args of a head by task, for a Dataset.
        out: folder for runs, results, report and bundle.
        workers: trainings side by side, by default one a core.
        executor: where trainings run; ray needs the extra 'ray'.
        address: an existing Ray cluster, such as auto or ray://host:10001; by default one on this machine.
        devices: processes that train each network together.
        nodes: machines that train each network together; start it with torchrun on each.
    """
    options = dict(locals())
    if (table is None) == (data is None):
        given = "neither a table nor --data is" if table is None else "both a table and --data are"
        example = "counterpoint study table.csv --targets price,cut; a config file says 'data: table.csv'"
        raise ValueError(f"{given} given, expected one: {example}")
    from counterpoint.study.comparison import MeterSettings  # noqa: PLC0415
    from counterpoint.study.execution import RanksExecutor, launched, ranks, relaunch  # noqa: PLC0415
    from counterpoint.study.study import Study  # noqa: PLC0415

    asked = Study(
        data=data if table is None else table,
        tasks=_tasks(names(targets), task),
        encoder=encoder,
        heads=heads,
        networks=networks,
        weightings=names(weightings),
        seeds=seeds,
        scale_trials=scale_trials,
        minutes=minutes,
        architecture=architecture,
        hidden=_widths(hidden),
        features=names(features),
        drop=names(drop),
        split=split,
        group_by=group_by,
        time_by=time_by,
        validation=validation,
        test=test,
        split_seed=split_seed,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        meter=MeterSettings(method, every),
        out=out,
        workers=workers,
        executor=executor,
        address=address,
        devices=devices,
        nodes=nodes,
    )
    command = command_line(study, options, "table")
    if not launched():
        if devices * nodes == 1:
            _run(asked, command)
            return
        if nodes == 1:
            asked.subject()  # what is wrong with the data is said here, in one line, and not amid torchrun's words
        code = relaunch(devices, nodes)
        if code:
            raise SystemExit(code)
        return
    if (started := int(os.environ["WORLD_SIZE"])) != devices * nodes:
        raise ValueError(
            f"torchrun started {started} processes, expected {devices * nodes} (devices {devices} x nodes {nodes}): "
            "say --devices and --nodes as there"
        )
    from dataclasses import replace  # noqa: PLC0415

    with ranks() as place:
        if place.leader:
            _run(replace(asked, executor=RanksExecutor(place)), command)
        else:
            place.follow()


def _run(asked: Any, command: str) -> None:
    from counterpoint.report import study_verdict, write_study_report  # noqa: PLC0415
    from counterpoint.terminal import InvestigationProgress, console, decision_table  # noqa: PLC0415

    with console.status("Preparing the data") as status:
        subject = asked.subject(status.update)
    for sentence in _about(subject):
        console.print(sentence, markup=False, soft_wrap=True)
    with InvestigationProgress() as progress:
        results = asked.run(command, progress, subject)
    page = write_study_report(results, asked.folder / "report.html").resolve()
    console.print(decision_table(results))
    for sentence in study_verdict(results):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)
    if results.about.get("bundle"):
        console.print(
            f"Bundle: {asked.folder / results.about['bundle']}  ({results.about['predict']})",
            markup=False,
            soft_wrap=True,
        )


def _about(subject: Any) -> list[str]:
    """What people should know of their data before hours of training."""
    rows = subject.source.about()["rows"]
    facts = subject.facts()
    lines = [f"Rows: {', '.join(f'{count:,} {split}' for split, count in rows.items())}"]
    for task in facts.get("tasks", ()):
        missing = sum(task["missing"].values())
        classes = f" of {task['classes']} classes" if task["classes"] and task["kind"] == "multiclass" else ""
        transform = f", {task['transform']}" if task["transform"] != "none" else ""
        lines.append(
            f"Task {task['name']}: {task['kind']}{classes}{transform}"
            + (f", {missing:,} labels missing" if missing else "")
        )
    lines += [f"Not used: {each['column']}: {each['reason']}" for each in facts.get("dropped", ())]
    lines += [f"Note: {sentence}" for sentence in facts.get("notes", ())]
    lines += [f"Warning: {leak['sentence']}" for leak in facts.get("leaks", ())]
    return lines


def _tasks(targets: tuple[str, ...], overrides: list[str]) -> list[str]:
    """Targets with what was said of them."""
    from counterpoint.study.named_tasks import named_tasks  # noqa: PLC0415

    said: dict[str, str] = {}
    for text in overrides:
        # A column's name may have a colon in it: the longest target that fits is meant.
        name = max((name for name in targets if text.startswith(f"{name}:")), key=len, default=None)
        if name is None:
            raise ValueError(f"task {text!r} is of no target, expected one of {', '.join(targets)} and a kind")
        if not named_tasks([text])[1]:
            raise ValueError(
                f"task {text!r}: {text.removeprefix(f'{name}:')!r} is no kind, expected regression, count, binary or "
                f"multiclass: --task {name}:regression"
            )
        if name in said:
            raise ValueError(f"task {name!r} is given twice, expected each target once")
        said[name] = text
    return [said.get(name, name) for name in targets]


def _widths(text: str | int) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in names(str(text)))
    except ValueError:
        raise ValueError(f"hidden is {text!r}, expected widths such as 256,256") from None

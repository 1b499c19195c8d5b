"""counterpoint recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.commands.command_line import command_line
from counterpoint.commands.lists import names

if TYPE_CHECKING:
    from counterpoint.study.recipes.recipe import Recipe
    from counterpoint.study.recipes.recipe_study import RecipeStudy
    from counterpoint.study.source import Source


def recipe(  # noqa: PLR0917  (the command's options)
    name: str = "",
    root: Path | None = None,
    tiny: bool = False,
    show: bool = False,
    methods: str = "",
    seeds: int | None = None,
    epochs: int | None = None,
    networks: int | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    decoders: int = 0,
    workers: int | None = None,
) -> None:
    """Run a published experiment on images: your copy of its data, or a rehearsal on generated data.

    Without a name: lists the recipes. Ends with a table, the results as Parquet files, and a report with pictures.
    Trainings that are finished are not done again when the command is repeated.

    Args:
        name: a recipe, or a .yaml file of your own (start from --show).
        root: the folder of the data, as downloaded.
        tiny: rehearse every line on little generated data in the same layout, in under a minute; the numbers mean
            nothing.
        show: print the recipe's YAML and do nothing.
        methods: what to compare instead, separated by commas, for example single,uniform,mgda,mgda@parameters,dibs.
        seeds: trainings of each, instead of the recipe's.
        epochs: passes over the training images, instead of the recipe's.
        networks: the most networks to serve, for recipes that group tasks.
        out: folder for results, report and runs; by default runs/NAME.
        cache: folder for decoded images, which saves decoding them in every epoch.
        decoders: processes that decode images beside each training.
        workers: trainings side by side; by default one a core, and one where there is a GPU.
    """
    options = dict(locals())
    from counterpoint.study.recipes.recipe import load_recipe, recipe_text  # noqa: PLC0415

    if not name:
        _list()
        return
    if show:
        print(recipe_text(name), end="")  # noqa: T201
        return
    changes: dict[str, Any] = {"methods": list(names(methods))} if methods else {}
    changes |= {key: value for key, value in (("seeds", seeds), ("networks", networks)) if value is not None}
    if epochs is not None:
        changes["fit"] = {"epochs": epochs}
    chosen = load_recipe(name, changes, tiny=tiny)
    if networks is not None and chosen.kind != "group":
        raise ValueError(
            f"--networks is given and recipe {chosen.name!r} groups no tasks, expected it for recipes that do"
        )
    if methods and chosen.kind == "group":
        raise ValueError(
            f"--methods is given and recipe {chosen.name!r} groups tasks, expected it for recipes that compare"
        )
    from counterpoint.study.recipes.recipe_study import RecipeStudy  # noqa: PLC0415
    from counterpoint.terminal import console  # noqa: PLC0415

    folder = out if out is not None else Path("runs") / f"{chosen.name}{'-tiny' if tiny else ''}"
    study = RecipeStudy(chosen, root, folder, tiny, cache, decoders, workers if workers is not None else _workers())
    with console.status("Looking at the data"):
        source = study.source()
    rows = source.about()["rows"]
    console.print(f"Rows: {', '.join(f'{count:,} {split}' for split, count in rows.items())}", markup=False)
    command = command_line(recipe, options, "name")
    if chosen.kind == "group":
        _group(study, source, command)
    else:
        _compare(study, source, command)


def _list() -> None:
    from counterpoint.study.recipes.recipe import load_recipe, recipe_names  # noqa: PLC0415
    from counterpoint.terminal import console  # noqa: PLC0415

    names = recipe_names()
    width = max(map(len, names))
    for each in names:
        known: Recipe = load_recipe(each)
        console.print(f"[bold]{each:{width}}[/]  {known.title} ({known.paper})", soft_wrap=True)
    console.print("Rehearse one: counterpoint recipe NAME --tiny. Read one: counterpoint recipe NAME --show.")


def _compare(study: RecipeStudy, source: Source, command: str) -> None:
    from counterpoint.report import recipe_verdict, write_recipe_report  # noqa: PLC0415
    from counterpoint.terminal import RecipeProgress, console, recipe_table  # noqa: PLC0415

    with RecipeProgress() as progress:
        results = study.compare(command, progress, source)
    page = write_recipe_report(results, study.out / "report.html").resolve()
    console.print(recipe_table(results))
    for sentence in recipe_verdict(results):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def _group(study: RecipeStudy, source: Source, command: str) -> None:
    from counterpoint.report import chosen_candidate, group_verdict, write_group_report  # noqa: PLC0415
    from counterpoint.terminal import GroupProgress, console, methods_table, networks_table  # noqa: PLC0415

    with GroupProgress() as progress:
        results = study.group(command, progress, source)
    page = write_group_report(results, study.out / "report.html").resolve()
    console.print(methods_table(results))
    chosen = chosen_candidate(results)
    if chosen is not None:
        console.print(networks_table(chosen))
    if study.tiny:
        console.print("This was a rehearsal on generated data: its numbers mean nothing.")
    for sentence in group_verdict(results):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def _workers() -> int:
    import torch  # noqa: PLC0415

    from counterpoint.study.execution import cores  # noqa: PLC0415

    return 1 if torch.cuda.is_available() else cores()

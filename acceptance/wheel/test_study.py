"""``pip install 'counterpoint[study]'``: the commands, from an empty folder, on a table of one's own."""

import csv
import random

import pytest

SAVE = """
import numpy as np
from counterpoint import Affinity
values = np.array([[1.0, 0.3, -0.1], [0.3, 1.0, -0.1], [-0.1, -0.1, 1.0]])
Affinity(values, ["price", "rent", "stars"]).save("affinity.json")
"""


@pytest.fixture(scope="module")
def desk(study):
    """A folder with a table: two targets that depend on the same features."""
    folder = study.desk / "study"
    folder.mkdir()
    chance = random.Random(0)  # noqa: S311
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "shop", "price", "sold"])
        for _ in range(200):
            a, b = chance.gauss(0, 1), chance.gauss(0, 1)
            price, sold = 10 + 3 * a + chance.gauss(0, 0.1), "yes" if a + b > 0 else "no"
            rows.writerow([f"{a:.3f}", f"{b:.3f}", chance.choice(["north", "south"]), f"{price:.2f}", sold])
    return folder


@pytest.fixture(scope="module")
def studied(study, desk):
    options = ["--epochs=2", "--hidden=8", "--seeds=1", "--workers=1", "--weightings=mgda", "--scale-trials=0"]
    study.run("counterpoint", "study", "table.csv", "--targets=price,sold", "--out=out", *options, desk=desk)
    return desk


def test_what_is_installed_fits_together(study):
    study.pip("check")


def test_help_names_the_commands(study):
    said, _ = study.run("counterpoint", "--help")
    for command in ("demo", "study", "group", "explain", "recipe", "predict", "report", "export"):
        assert command in said
    assert "--weightings" in study.run("counterpoint", "demo", "--help")[0]


def test_a_table_becomes_a_decision_a_report_and_predictions(study, studied):
    assert (studied / "out" / "report.html").stat().st_size > 100_000
    study.run("counterpoint", "predict", "out/bundle", "table.csv", "-o", "predicted.csv", desk=studied)
    with (studied / "predicted.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert {"price", "sold"} <= set(rows[0])


def test_the_report_is_written_again(study, studied):
    page = studied / "out" / "report.html"
    page.unlink()
    study.run("counterpoint", "report", "out", desk=studied)
    assert "<html" in page.read_text(encoding="utf-8")[:200]


def test_a_saved_affinity_is_grouped(study, desk):
    study.run("python", "-c", SAVE, desk=desk)
    said, _ = study.run("counterpoint", "group", "affinity.json", "--networks=2", "--out=groups", desk=desk)
    assert "price, rent" in said
    assert "proven optimal" in said
    assert (desk / "groups" / "report.html").is_file()


def test_recipes_are_found_in_the_wheel(study, desk):
    _, complaint = study.run("counterpoint", "recipe", "nonesuch", "--root=.", code=2, desk=desk)
    assert "celeba" in complaint
    assert len(complaint.splitlines()) == 1

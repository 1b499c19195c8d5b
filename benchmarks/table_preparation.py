"""Tables: seconds and peak memory of preparing a million rows of 50 columns, from Parquet and from CSV.

    python benchmarks/table_preparation.py [--rows 1000000] [--rounds 3] [--tables FOLDER] [--out FILE]

The table: 40 numbers, 6 categories of 5 to 1,000 values, 2 truth values, 2 times, and 3 targets (a regression, one of 5
classes, one of 2); 2 % of everything is missing. Each preparation is a process of its own with a cold library, so that
its peak is its own: `ru_maxrss`, which counts imports, too. Its time is that of `prepare` alone, checking, splitting,
fitting, searching for leaks and writing included.

Beside it, in the same run, what a careful person writes by hand: pandas reads the table, scikit-learn splits it, a
ColumnTransformer with the same parts is fitted on training rows and transforms all of them, NumPy saves the arrays.
It checks nothing, and keeps everything in memory. Parquet is also prepared at a tenth of the rows: what grows with a
table is its targets, not its features. Seconds of the processor count all threads; beside a busy
neighbour they say more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from measuring import print_table, record, round_by_round, spread, target

SECONDS, GIB = 30.0, 3.0
NUMBERS, SIZES = 40, (5, 8, 16, 60, 300, 1_000)
TARGETS = ("amount", "grade", "sold")


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(rows)
    columns: dict[str, Any] = {
        f"number{place}": np.round(rng.standard_normal(rows) + signal * (place % 3 == 0), 6) for place in range(NUMBERS)
    }
    for size in SIZES:
        names = np.array([f"level-{size}-{code}" for code in range(size)])
        columns[f"category{size}"] = names[(size * rng.random(rows) ** 2).astype(int)]
    for place in range(2):
        columns[f"flag{place}"] = rng.random(rows) < 0.3
        seconds = rng.integers(0, 10**8, rows)
        columns[f"time{place}"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(seconds, unit="s")
    columns["amount"] = np.round(np.exp(signal + rng.standard_normal(rows)), 4)
    columns["grade"] = np.array(list("ABCDE"))[np.digitize(signal + rng.standard_normal(rows), (-1.5, -0.5, 0.5, 1.5))]
    columns["sold"] = signal + rng.standard_normal(rows) > 0
    frame = pd.DataFrame(columns)
    for name in frame:
        frame[name] = frame[name].mask(rng.random(rows) < 0.02)
    return frame


def ours(path: Path, folder: Path) -> None:
    from counterpoint.data.tables import TableOptions, prepare  # noqa: PLC0415

    prepare(path, TableOptions(TARGETS), folder)


def by_hand(path: Path, folder: Path) -> None:
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler  # noqa: PLC0415

    times = [f"time{place}" for place in range(2)]
    parquet = path.suffix == ".parquet"
    frame = pd.read_parquet(path) if parquet else pd.read_csv(path, engine="pyarrow", parse_dates=times)
    features = frame.drop(columns=list(TARGETS))
    for name in times:
        when = features.pop(name)
        features[f"{name}: elapsed"] = (when - pd.Timestamp(0)) / pd.Timedelta(days=1)
        for part in ("year", "month", "dayofweek", "hour"):
            features[f"{name}: {part}"] = getattr(when.dt, part)
    for place in range(2):
        features[f"flag{place}"] = features[f"flag{place}"].astype("float64")
    few, many = ([f"category{size}" for size in SIZES if (size <= 16) == low] for low in (True, False))
    features[few + many] = features[few + many].astype(object).where(features[few + many].notna(), "missing")
    numbers = [name for name in features if name not in few + many]
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32), few),
            ("many", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=5), many),
        ]
    )
    train, rest = train_test_split(np.arange(len(frame)), test_size=0.3, random_state=0)
    validation, test = train_test_split(rest, test_size=0.5, random_state=0)
    transformer.fit(features.iloc[train])
    folder.mkdir()
    for name, rows in {"train": train, "validation": validation, "test": test}.items():
        np.save(folder / f"{name}.npy", transformer.transform(features.iloc[rows]).astype(np.float32))


def child(who: str, path: Path) -> None:
    """What runs in a process of its own: prints its seconds and its peak."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        start, cpu = time.perf_counter(), time.process_time()
        {"ours": ours, "by hand": by_hand}[who](path, Path(folder) / "prepared")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "cpu": cpu, "gib": peak}))


def measured(who: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", who, "--path", str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def compared(path: Path, rounds: int) -> list[dict[str, Any]]:
    """Both ways, in turns."""
    taken: dict[str, list[dict[str, float]]] = {"ours": [], "by hand": []}
    for _ in range(rounds):
        for who, found in taken.items():
            found.append(measured(who, path))
    seconds = {who: [one["seconds"] for one in found] for who, found in taken.items()}
    return [
        {
            "file": path.name,
            "mib on disk": path.stat().st_size / 2**20,
            "who": who,
            "seconds": {**spread(seconds[who]), "all": seconds[who]},
            "cpu seconds": spread([one["cpu"] for one in found]),
            "times by hand": spread(round_by_round(seconds[who], seconds["by hand"])),
            "peak gib": max(one["gib"] for one in found),
        }
        for who, found in taken.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", type=Path, help="a folder to keep the tables in, and to take them from")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/table_preparation.json")
    parser.add_argument("--child", choices=["ours", "by hand"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.path)
        return
    os.environ["OMP_NUM_THREADS"] = str(os.cpu_count())
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.tables or Path(temporary)
        full, tenth = folder / "table.parquet", folder / "tenth.parquet"
        if not tenth.exists():
            frame = table(options.rows)
            frame.to_parquet(full, index=False)
            frame.to_csv(full.with_suffix(".csv"), index=False)
            frame.head(options.rows // 10).to_parquet(tenth, index=False)
            del frame
        results = [
            row
            for path, rounds in ((full, options.rounds), (full.with_suffix(".csv"), options.rounds), (tenth, 1))
            for row in compared(path, rounds)
        ]
    print_table(
        ["file", "MiB", "who", "seconds", "of the processor", "times by hand", "peak GiB"],
        [
            [
                row["file"],
                f"{row['mib on disk']:.0f}",
                row["who"],
                f"{row['seconds']['median']:.1f}",
                f"{row['cpu seconds']['median']:.1f}",
                f"{row['times by hand']['median']:.2f}",
                f"{row['peak gib']:.2f}",
            ]
            for row in results
        ],
    )
    targets = [
        target(f"{row['file']}: {what}", limit, value)
        for row in results
        if row["who"] == "ours" and not row["file"].startswith("tenth")
        for what, limit, value in (
            ("seconds, slowest round", SECONDS, max(row["seconds"]["all"])),
            ("peak GiB", GIB, row["peak gib"]),
        )
    ]
    settings = {"rows": options.rows, "rounds": options.rounds}  # not the folders of whoever measured
    record(options.out, "table_preparation", settings, results, targets)


if __name__ == "__main__":
    main()

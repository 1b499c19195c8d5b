"""counterpoint export."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from counterpoint.commands.lists import names


def export(bundle: Path, to: Literal["onnx", "torch"] = "onnx", out: Path = Path("exported"), tasks: str = "") -> None:
    """Turn a bundle into programs that run without Counterpoint: ONNX or torch.export, one file a network.

    A program takes prepared rows and returns each task's raw outputs; export.json, beside them, lists the columns that
    go in, how they are prepared, and how outputs become labels.

    Args:
        bundle: the folder of the bundle, for example runs/study/bundle.
        to: onnx, which needs the extra 'export', or torch.
        out: folder for the programs.
        tasks: what to predict, separated by commas; all by default.
    """
    from counterpoint.serving import load_bundle  # noqa: PLC0415
    from counterpoint.terminal import console  # noqa: PLC0415

    for path in load_bundle(bundle).export(out, to, names(tasks) or None):
        console.print(str(path), markup=False, soft_wrap=True)

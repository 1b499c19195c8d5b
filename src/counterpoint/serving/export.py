"""Bundles as programs that run without Counterpoint: torch.export archives and ONNX."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from counterpoint.serving.errors import BundleError
from counterpoint.serving.served import ServedModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from counterpoint.serving.bundle import Bundle
    from counterpoint.serving.served import ServedNetwork

SUFFIXES = {"torch": ".pt2", "onnx": ".onnx"}
_LARGEST_IN_ONE_FILE = 2**31 - 2**20  # protobuf's limit; beyond it ONNX keeps weights in a file beside


def export_bundle(
    bundle: Bundle,
    folder: str | Path,
    format: str = "onnx",  # noqa: A002  (as torch and others call it)
    tasks: Sequence[str] | None = None,
    example: Tensor | None = None,
) -> list[Path]:
    """Writes one program a network, and ``export.json``, which says what goes in and how outputs become labels.

    A program takes the prepared input, float32 [N, D] with any N (``Bundle.inputs`` makes it; ``export.json`` lists its
    columns), and returns a task's raw outputs [N, outputs] each (``Bundle.outputs``).

    Args:
        bundle: What to export.
        folder: Where to; it is made. Files of an earlier export are replaced, others stay.
        format: ``"torch"`` writes ``network-0.pt2`` for ``torch.export.load``, ``"onnx"`` writes ``network-0.onnx``,
            which needs ``pip install 'counterpoint[export]'``.
        tasks: The tasks wanted, all by default.
        example: Two or more rows of input; needed only for networks of one's own classes.

    Returns:
        The paths written.

    Raises:
        ValueError: for an unknown format or task, or an example that is missing.
        BundleError: if a part cannot be exported, the folder cannot be written, or ONNX's packages are missing.

    Example::

        export_bundle(load_bundle("runs/study/bundle"), "programs", "onnx")
        session = onnxruntime.InferenceSession("programs/network-0.onnx")
        (price,) = session.run(["price"], {"x": inputs})
    """
    if format not in SUFFIXES:
        raise ValueError(f"format is {format!r}, expected 'torch' or 'onnx'")
    if format == "onnx" and not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        raise BundleError("ONNX needs the extra 'export': pip install 'counterpoint[export]'; or export to 'torch'")
    wanted = [target.name for target in bundle.wanted(tasks)]
    chosen = sorted({bundle.routes[task] for task in wanted})
    folder = Path(folder)
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".export."))
        about = []
        for index in chosen:
            served = [task for task in bundle.networks[index].serves if task in wanted]
            model = _part(bundle.networks[index], served)
            name = f"network-{index}{SUFFIXES[format]}"
            program = _traced(model, _example(bundle, example), f"network {index}")
            _save(program, temporary / name, served, format, f"network {index}")
            about.append({"file": name, "input": _input(served) if format == "onnx" else "x", "outputs": served})
        text = json.dumps(_sidecar(bundle, wanted, about), indent=1, ensure_ascii=False)
        (temporary / "export.json").write_text(text, encoding="utf-8")
        written = [
            path.name for path in sorted(temporary.iterdir(), key=lambda path: (path.name == "export.json", path.name))
        ]
        return [(temporary / name).replace(folder / name) for name in written]
    except OSError as error:
        raise BundleError(f"cannot export to '{folder}': {error.strerror or error}; choose another folder") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _part(network: ServedNetwork, tasks: Sequence[str]) -> ServedModel:
    whole = network.model
    heads = dict(zip(whole.tasks, whole.heads.values(), strict=True))
    return ServedModel(whole.encoder, {task: heads[task] for task in tasks})


def _example(bundle: Bundle, example: Tensor | None) -> Tensor:
    if bundle.preprocessing is not None:
        width = bundle.preprocessing.inputs + len(bundle.preprocessing.cardinalities)
        return torch.zeros(2, width)  # code 0 is one that every category column has
    if example is None or len(example) < 2:  # a program for one row would be one for one row only
        raise ValueError("these networks take tensors, expected example= with two or more rows of input")
    return example


def _traced(model: ServedModel, example: Tensor, where: str) -> torch.export.ExportedProgram:
    try:
        return _program(model, example)
    except Exception as error:  # noqa: BLE001  (tracing raises what it likes)
        reason, part = _reason(error), "heads"
        try:
            _program(model.encoder, example)
        except Exception:  # noqa: BLE001
            part = "encoder"
        raise BundleError(f"{where} cannot be exported: its {part} fails in torch.export ({reason})") from None


def _program(part: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    with _quiet():
        return torch.export.export(part, (example,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {' '.join(first.split())[:200]}"


def _save(
    program: torch.export.ExportedProgram,
    path: Path,
    tasks: Sequence[str],
    format: str,  # noqa: A002
    where: str,
) -> None:
    if format == "torch":
        torch.export.save(program, path)
        return
    with _quiet():
        try:
            converted = torch.onnx.export(
                program, (), dynamo=True, input_names=[_input(tasks)], output_names=list(tasks), verbose=False
            )
        except Exception as error:  # noqa: BLE001  (conversion raises what it likes)
            reason = _reason(error)
            raise BundleError(f"{where} cannot be exported to ONNX ({reason}); 'torch' can hold it") from None
    weights = sum(tensor.nbytes for tensor in program.state_dict.values())
    if converted is None:
        raise BundleError(f"{where} cannot be exported to ONNX; 'torch' can hold it")
    _tell_apart(converted.model.graph, tasks)
    converted.save(path, external_data=weights > _LARGEST_IN_ONE_FILE)


def _input(tasks: Sequence[str]) -> str:
    """What the input of an ONNX program is called: ``x``, unless a task is."""
    name = "x"
    while name in tasks:
        name += "_"
    return name


def _tell_apart(graph: Any, tasks: Sequence[str]) -> None:
    """Renames what is called as a task is and is not its output: a task may be called "linear", as a step is."""
    results = {id(value) for value in graph.outputs}
    values = [*(value for node in graph for value in node.outputs), *graph.initializers.values()]
    taken = {*tasks, _input(tasks)}
    known = {value.name for value in values} | taken
    for value in values:
        if value.name in taken and id(value) not in results:
            name = value.name
            while name in known:
                name += "_"
            value.name = name
            known.add(name)


def _sidecar(bundle: Bundle, wanted: Sequence[str], programs: list[dict[str, Any]]) -> dict[str, Any]:
    preprocessing = bundle.preprocessing
    return {
        "format": "counterpoint-export",
        "version": 1,
        "input": None if preprocessing is None else {"dtype": "float32", "columns": list(preprocessing.feature_names)},
        "preprocessing": None if preprocessing is None else preprocessing.to_json(),
        "programs": programs,
        "tasks": [target.to_json() for target in bundle.targets if target.name in wanted],
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch tells developers of operators about its progress; users of a bundle are not among them."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

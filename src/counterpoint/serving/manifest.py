"""bundle.json: what a bundle says of itself, and how far that is believed."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from counterpoint.serving.described import network_of, preprocessing_of, target_of, text_of, texts_of
from counterpoint.serving.errors import BundleError
from counterpoint.serving.weights import inspect_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from counterpoint.data.tables import Preprocessing, Target
    from counterpoint.models import TableNetwork
    from counterpoint.serving.custom import CustomNetwork
    from counterpoint.serving.weights import Layout

_T = TypeVar("_T")

NAME = "bundle.json"
FORMAT = "counterpoint-bundle"
VERSION = 1
LARGEST = 256 * 2**20  # bytes of bundle.json; a million categories of twenty letters take a tenth

# What reading a hostile document can raise besides what its readers say.
_BROKEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Entry:
    """One network as bundle.json describes it.

    Attributes:
        file: Its weights, a regular file inside the bundle's folder.
        sha256: The file's fingerprint, which was compared.
        weights: Type and shape of each of its tensors.
        tasks: The tasks that it was trained on.
        serves: Those that it predicts.
        network: How it is built.
    """

    file: Path
    sha256: str
    weights: Layout
    tasks: tuple[str, ...]
    serves: tuple[str, ...]
    network: TableNetwork | CustomNetwork


@dataclass(frozen=True)
class Manifest:
    """What bundle.json says.

    Attributes:
        targets: The tasks, in order.
        preprocessing: From a table to the networks' input; ``None`` if inputs are tensors.
        entries: The networks.
        about: Facts for people.
    """

    targets: tuple[Target, ...]
    preprocessing: Preprocessing | None
    entries: tuple[Entry, ...]
    about: dict[str, Any]


def read_manifest(folder: Path, trust: Sequence[str] = ()) -> Manifest:
    """Reads and checks bundle.json, looks at the weights' headers, and imports nothing that is not trusted.

    Args:
        folder: The bundle.
        trust: Packages whose classes its networks may be made of.

    Raises:
        BundleError: for anything that is not a bundle of this version that holds together.
    """
    document = read_document(folder)
    where = f"'{folder / NAME}'"
    targets = tuple(_made(f"{where}: task {n}", target_of, task) for n, task in _list(document, "tasks", where))
    given = document.get("preprocessing")
    preprocessing = None if given is None else _made(f"{where}: preprocessing", preprocessing_of, given)
    entries = tuple(
        _made(f"{where}: network {n}", lambda entry: _entry(entry, folder, trust), entry)
        for n, entry in _list(document, "networks", where)
    )
    about = document.get("about", {})
    if not isinstance(about, dict):
        raise BundleError(f"{where}: 'about' is {type(about).__name__}, expected an object")
    return Manifest(targets, preprocessing, entries, about)


def read_document(folder: Path) -> dict[str, Any]:
    """Reads bundle.json as far as its format and version.

    Raises:
        BundleError: if there is no such folder or file, or it is of another format or of a newer version.
    """
    if not folder.exists():
        raise BundleError(
            f"there is no bundle '{folder}': expected the folder that a study wrote, for example runs/study/bundle"
        )
    if not folder.is_dir():
        raise BundleError(f"'{folder}' is a file, expected a bundle's folder, the one that holds {NAME}")
    if not (folder / NAME).exists():
        raise BundleError(f"'{folder}' is no bundle: it holds no {NAME}; expected the folder that a study wrote")
    path = member(folder, NAME)
    document = _read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BundleError(f"'{path}' is not of the format '{FORMAT}', expected what write_bundle writes")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise BundleError(
            f"'{path}' is of version {version!r:.40} of the format, this counterpoint reads version {VERSION}: "
            "update counterpoint, or write the bundle again with this one"
        )
    return document


def _read_json(path: Path) -> object:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise BundleError(f"cannot read '{path}': {error.strerror}") from None
    if size > LARGEST:
        raise BundleError(f"'{path}' has {size:,} bytes, expected at most {LARGEST:,}: it is no bundle of ours")
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BundleError(f"'{path}' is not UTF-8 text, expected JSON as write_bundle writes it") from None
    except RecursionError:
        raise BundleError(f"'{path}' is nested too deeply, expected JSON as write_bundle writes it") from None
    except (ValueError, MemoryError) as error:
        reason = str(error) or "it is too large"
        raise BundleError(f"'{path}' is no JSON that can be read ({reason}); write the bundle again") from None


def member(folder: Path, name: str) -> Path:
    """A file of the bundle.

    Raises:
        BundleError: if the name is not a plain one, leads out of the folder, or is not that of a regular file.
    """
    if not name or name in {".", ".."} or set(name) & set("/\\:\0"):
        raise BundleError(f"'{folder}' names a file {name!r:.80}, expected a plain name inside the bundle's own folder")
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"'{path}' leads out of the bundle's folder: a bundle holds all of its files itself")
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise BundleError(f"'{folder}' has no file '{name}', which its {NAME} names; copy or write it again") from None
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError in Python 3.11 and 3.12
        raise BundleError(f"cannot read '{path}': {error}") from None
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        raise BundleError(f"'{path}' is no regular file, expected one of the bundle's own")
    return path


def _entry(entry: Mapping[str, Any], folder: Path, trust: Sequence[str]) -> Entry:
    path = member(folder, text_of(entry["file"]))
    sha256, tasks, serves = text_of(entry["sha256"]), texts_of(entry["tasks"]), texts_of(entry["serves"])
    weights = inspect_weights(path, sha256)
    return Entry(path, sha256, weights, tasks, serves, network_of(entry["network"], weights, trust))


def _made(where: str, make: Callable[[Any], _T], document: object) -> _T:
    if not isinstance(document, dict):
        raise BundleError(f"{where} is {type(document).__name__}, expected an object as write_bundle writes it")
    try:
        return make(document)
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from None
    except KeyError as error:
        raise BundleError(f"{where} has no {error!s:.80}, expected what write_bundle writes") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{where} is not as write_bundle writes it: {reason:.200}") from None


def _list(document: Mapping[str, Any], name: str, where: str) -> enumerate[Any]:
    found = document.get(name)
    if not isinstance(found, list) or not found:
        raise BundleError(f"{where} has no list of {name}, expected what write_bundle writes")
    return enumerate(found)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")

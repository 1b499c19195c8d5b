"""Writing a bundle: completely or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.serving.errors import BundleError
from counterpoint.serving.manifest import FORMAT, LARGEST, NAME, VERSION
from counterpoint.serving.weights import write_weights

if TYPE_CHECKING:
    from counterpoint.serving.bundle import Bundle

_README = "README.md"
_WEIGHTS = re.compile(r"network-\d+\.safetensors")


def write_bundle(folder: str | Path, bundle: Bundle) -> None:
    """Writes a bundle into a folder of its own: JSON and safetensors, no pickle.

    The folder appears when it is complete. A bundle that was there is replaced then; until then, and if writing fails,
    it stays as it was.

    Args:
        folder: Where to; there may be a bundle or an empty folder.
        bundle: What to write.

    Raises:
        BundleError: if the folder holds anything but a bundle, cannot be written (no permission, disk full), a task
            has a name that is not text, or a weight is not finite.

    Example: see :func:`load_bundle`.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (a link stays where it is; resolve() would follow it)
    check_free(folder)
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        _fill(temporary, bundle, folder.name)
        temporary.chmod(0o755)  # mkdtemp makes it private; bundles are meant to be read by others
        _put(temporary, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(f"cannot write a bundle to '{folder}': {reason}; choose another folder") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def check_free(folder: Path) -> None:
    """Looks whether a bundle may be written there, before hours of work depend on it.

    Raises:
        BundleError: if there is anything but a bundle or an empty folder.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise BundleError(f"'{folder}' is a file or a link, expected a folder to write a bundle to: choose another one")
    there = sorted(path.name for path in folder.iterdir())
    if there and NAME not in there:
        raise BundleError(f"'{folder}' holds '{there[0]}' and no bundle: choose another folder, or an empty one")
    if foreign := [name for name in there if name not in {NAME, _README} and not _WEIGHTS.fullmatch(name)]:
        raise BundleError(
            f"'{folder}' holds '{foreign[0]}' besides a bundle, and writing would remove it: choose another folder"
        )


def _fill(folder: Path, bundle: Bundle, name: str) -> None:
    networks = []
    for index, served in enumerate(bundle.networks):
        file = f"network-{index}.safetensors"
        networks.append(
            {
                "file": file,
                "sha256": write_weights(folder / file, served.model),
                "tasks": list(served.tasks),
                "serves": list(served.serves),
                "network": served.network.to_json(),
            }
        )
    document = {
        "format": FORMAT,
        "version": VERSION,
        "tasks": [target.to_json() for target in bundle.targets],
        "networks": networks,
        "preprocessing": None if bundle.preprocessing is None else bundle.preprocessing.to_json(),
        "about": _finite(bundle.about),
    }
    try:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(f"JSON cannot hold this bundle: {error}") from None
    if len(text) > LARGEST:
        raise BundleError(f"its {NAME} would have {len(text):,} bytes, at most {LARGEST:,} are read: drop text columns")
    (folder / _README).write_text(_readme(bundle, name), encoding="utf-8")
    (folder / NAME).write_bytes(text)


def _finite(value: Any) -> Any:
    """NaN, for example an interval of one seed, as null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _put(temporary: Path, folder: Path) -> None:
    """Renames a complete folder to its place. What was there stands aside meanwhile, and comes back if that fails."""
    if not folder.exists():
        temporary.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    try:
        folder.rename(aside / "bundle")
        try:
            temporary.rename(folder)
        except OSError:
            (aside / "bundle").rename(folder)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _readme(bundle: Bundle, name: str) -> str:
    return f"""# A model that predicts {", ".join(bundle.tasks)}

Written by [Counterpoint](https://pypi.org/project/counterpoint/). With `pip install 'counterpoint[study]'`:

```console
counterpoint predict {name} new.csv -o predictions.parquet
```

```python
from counterpoint import load_bundle

predictions = load_bundle("{name}").predict(frame)
```

{_indented(bundle.describe())}

`bundle.json` describes tasks, networks and preprocessing; `*.safetensors` hold the weights. There is no code in here.
"""


def _indented(text: str) -> str:
    return "\n".join(f"- {line}" for line in text.splitlines())

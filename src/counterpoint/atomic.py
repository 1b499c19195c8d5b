"""Files that are written completely or not at all. Imports no torch."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def write_atomically(target: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file beside ``target``, then renames it, so that no half file is ever seen.

    Args:
        target: The file; its folder has to be there.
        write: Fills the file whose path it is given.

    Raises:
        OSError: if that fails; a file that was there before is then as it was.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "notes.txt", lambda path: path.write_text("all of it"))
        ...     (Path(folder) / "notes.txt").read_text()
        'all of it'
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)  # mkstemp makes it private; what is written is meant to be read by others
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(target: Path, values: Any) -> None:
    """Writes plain values as JSON that people can read, completely or not at all.

    Args:
        target: The file; its folder has to be there.
        values: What JSON can hold.

    Raises:
        OSError: if that fails; a file that was there before is then as it was.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "facts.json", {"seeds": 3})
        ...     json.loads((Path(folder) / "facts.json").read_text())
        {'seeds': 3}
    """
    text = json.dumps(values, indent=1, ensure_ascii=False)
    write_atomically(target, lambda path: path.write_text(text, encoding="utf-8"))

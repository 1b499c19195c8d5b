"""What identifies a run: everything its numbers depend on, and nothing else. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from counterpoint import __version__

if TYPE_CHECKING:
    from counterpoint.training import FitSettings

# The seed is the run's own. The rest changes no number but for rounding: processes that train together share a batch,
# so a study that was begun on one device goes on with several (but BatchNorm sees the share of its process alone).
_NO_CONTENT = {"seed", "progress_bar", "logs", "devices", "nodes", "checkpoint_seconds"}


def digest(content: Any) -> str:
    """Sixteen hexadecimal digits that identify plain values; the order of keys does not matter.

    Raises:
        TypeError: for what is not plain: identity must not depend on how an object happens to print.

    Example:
        >>> digest({"seed": 0, "tasks": ["a"]}) == digest({"tasks": ["a"], "seed": 0})
        True
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def versions() -> list[str]:
    """Runs of one version are compared: a mended method beside another one's old numbers would compare versions."""
    return [__version__, version("torch").partition("+")[0]]


def content_of(fit: FitSettings) -> dict[str, Any]:
    """What a run depends on of how it is trained."""
    return {name: value for name, value in asdict(fit).items() if name not in _NO_CONTENT}

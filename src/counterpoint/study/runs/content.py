"""What identifies a run: everything its numbers depend on, and nothing else. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from typing import Any


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

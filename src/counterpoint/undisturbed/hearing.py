"""Hearing of every module that is called."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules import module as torch_modules
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_listening: list[Callable[[nn.Module], None]] = []


def _called(module: nn.Module, _: object) -> None:
    # Within a compiled region the parts are those of the compiled module, which was met before.
    if not torch.compiler.is_compiling():
        _listening[-1](module)


# One function and one key for good: compiled modules look at both, and would be compiled anew for every other.
_KEY = RemovableHandle.next_id
RemovableHandle.next_id += 1


@contextlib.contextmanager
def hearing_of_modules(meet: Callable[[nn.Module], None]) -> Iterator[None]:
    """Within it, ``meet`` hears of every module that is called, before its forward."""
    hooks = torch_modules._global_forward_pre_hooks  # noqa: SLF001  (registering would take a new key every time)
    outermost = not _listening
    _listening.append(meet)
    hooks[_KEY] = _called
    try:
        yield
    finally:
        _listening.pop()
        if outermost:
            del hooks[_KEY]


def parts_of(module: nn.Module) -> Iterable[nn.Module]:
    """The module; of a compiled or scripted one all, since its parts are not called one by one."""
    whole = hasattr(module, "_orig_mod") or isinstance(module, torch.jit.ScriptModule)
    return module.modules() if whole else (module,)

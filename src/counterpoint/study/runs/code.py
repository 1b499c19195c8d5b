"""What somebody's functions, classes and modules do, in plain values: two that differ must not pass for one run.

Imports no torch.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib"))
# Of a class: where it was written, and what Python keeps for itself.
_NOT_CODE = {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__slots__"}
_NOT_CODE |= {"__firstlineno__", "__static_attributes__", "__annotations_cache__", "__annotate_func__"}


def described(thing: Any) -> Any:
    """Plain values: equal for things with the same code in every process of one Python version, else different.

    Functions and classes are described by their compiled code, with the functions, classes and constants that it names,
    as far as they are the user's own; of a library, name and version stand for the code. Modules are described by
    structure, weights and plain attributes, other objects by class and attributes. What is reached in other ways, such
    as files that are read on the way, is not seen.

    Args:
        thing: A function, a class, a module, or another object.

    Example:
        >>> square, again, cube = (functools.partial(pow, exp=power) for power in (2, 2, 3))
        >>> described(square) == described(again), described(square) == described(cube)
        (True, False)
    """
    return _Describing().of(thing)


class _Describing:
    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # by id; kept, or an id might be given to something else

    def of(self, thing: Any) -> Any:
        if thing is None or isinstance(thing, bool | int | str):
            return thing
        if isinstance(thing, float | bytes | complex) or thing is ...:
            return repr(thing)
        if isinstance(thing, tuple | list | set | frozenset):
            parts = [self.of(part) for part in thing]
            return parts if isinstance(thing, tuple | list) else sorted(map(repr, parts))
        if id(thing) in self._seen:
            return "again"
        self._seen[id(thing)] = thing
        if isinstance(thing, Mapping):
            return [[self.of(key), self.of(value)] for key, value in thing.items()]
        return self._code_of(thing)

    def _code_of(self, thing: Any) -> Any:
        ways: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
            (types.CodeType, self._code),
            (types.FunctionType, self._function),
            (type, self._class),
            (types.BuiltinFunctionType | types.MethodDescriptorType | types.ModuleType, _name),
            (functools.partial, lambda own: ["partial", self.of((own.func, own.args, own.keywords))]),
            (types.MethodType, lambda own: ["method", self.of((own.__self__, own.__func__))]),
            (staticmethod | classmethod, lambda own: self.of(own.__func__)),
            (property, lambda own: self.of((own.fget, own.fset))),
        )
        for kind, describe in ways:
            if isinstance(thing, kind):
                return describe(thing)
        return self._object(thing)

    def _function(self, function: types.FunctionType) -> Any:
        if _is_library(function.__module__):
            return _name(function)
        closure = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
        own = function.__globals__
        named = sorted({name for code in _nested(function.__code__) for name in code.co_names if name in own})
        return [
            "function",
            self.of(function.__code__),
            self.of(function.__defaults__),
            self.of(function.__kwdefaults__),
            self.of(closure),
            [[name, self.of(own[name])] for name in named],
        ]

    def _code(self, code: types.CodeType) -> Any:
        names = [code.co_names, code.co_varnames, code.co_freevars]
        return [hashlib.sha256(code.co_code).hexdigest(), self.of(names), [self.of(part) for part in code.co_consts]]

    def _class(self, kind: type) -> Any:
        if _is_library(kind.__module__):
            return _name(kind)
        members = [[name, self.of(value)] for name, value in vars(kind).items() if name not in _NOT_CODE]
        return ["class", kind.__qualname__, members, [self.of(base) for base in kind.__bases__]]

    def _object(self, thing: Any) -> Any:
        kind = self.of(type(thing))
        numbers = _numbers(thing)
        if numbers is not None:
            return [kind, numbers]
        library = _is_library(type(thing).__module__)
        # A library's objects keep much that differs from process to process beside what they were built with.
        keep = [[name, self.of(v)] for name, v in getattr(thing, "__dict__", {}).items() if not library or _is_plain(v)]
        # What has no attributes says what it is, such as torch.float16; an address is of one process.
        text = "" if hasattr(thing, "__dict__") or " at 0x" in repr(thing) else repr(thing)
        return [kind, keep, text]


def _numbers(thing: Any) -> Any:
    """What a tensor or an array holds."""
    if all(hasattr(thing, name) for name in ("detach", "dtype", "shape")):
        thing = thing.detach().cpu().double().numpy() if thing.dtype.is_floating_point else thing.detach().cpu().numpy()
    if not all(hasattr(thing, name) for name in ("tobytes", "dtype", "shape")):
        return None
    return [str(thing.dtype), list(thing.shape), hashlib.sha256(thing.tobytes()).hexdigest()]


def _is_plain(value: Any) -> bool:
    """Values, tensors, modules, and containers of them."""
    if isinstance(value, tuple | list):
        return all(_is_plain(part) for part in value)
    if isinstance(value, Mapping):
        return all(_is_plain(part) for part in value.values())
    plain = value is None or isinstance(value, bool | int | float | str)
    return plain or _numbers(value) is not None or hasattr(value, "named_modules")


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _nested(part)


def _is_full(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # of a name that is not bound yet
        return False
    return True


def _is_library(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    if top in {"", "__main__", "__mp_main__"}:
        return not top
    if top in sys.stdlib_module_names or top == "counterpoint":
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and file.startswith(_LIBRARIES)


def _name(thing: Any) -> list[str]:
    module = str(getattr(thing, "__module__", None) or "")
    library = sys.modules.get(module.partition(".")[0])
    name = getattr(thing, "__qualname__", getattr(thing, "__name__", type(thing).__qualname__))
    return [module, str(name), str(getattr(library, "__version__", ""))]

"""Networks of a user's own classes: named by class path, built only from packages that the caller trusts."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from inspect import isfunction
from typing import TYPE_CHECKING, Any

from torch import nn

from counterpoint.serving.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ALWAYS_TRUSTED = ("counterpoint.models", "torch.nn")
_CLASS_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(frozen=True)
class ClassPath:
    """A module by the path of its class, or of a function that makes it, and the arguments of that.

    Args:
        class_path: For example ``"my_package.encoders.Tower"``.
        init_args: The arguments as JSON text, which is hashable; :meth:`of` takes a mapping.

    Example:
        >>> ClassPath.of("torch.nn.Linear", {"in_features": 3, "out_features": 1}).build()
        Linear(in_features=3, out_features=1, bias=True)
    """

    class_path: str
    init_args: str = "{}"

    @classmethod
    def of(cls, class_path: str, init_args: Mapping[str, Any] | None = None) -> ClassPath:
        """From a mapping of arguments, which JSON must be able to hold.

        Raises:
            ValueError: if it is no dotted path, or JSON cannot hold the arguments.
        """
        if not isinstance(class_path, str) or not _CLASS_PATH.fullmatch(class_path):
            raise ValueError(f"{class_path!r} is no class path, expected one such as 'my_package.encoders.Tower'")
        try:
            text = json.dumps(dict(init_args or {}), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"init_args of '{class_path}' do not fit into JSON: {error}") from None
        return cls(class_path, text)

    def build(self, trust: Iterable[str] = ()) -> nn.Module:
        """Imports the class and builds it.

        Args:
            trust: Packages that may be imported from, besides ``counterpoint.models`` and ``torch.nn``.

        Raises:
            BundleError: if the class lies elsewhere, is not there, or is no ``torch.nn.Module``; nothing was imported
                from a package that is not trusted, and no function called that was written in another.
        """
        check_trusted(self.class_path, trust)
        home, _, name = self.class_path.rpartition(".")
        try:
            found = getattr(importlib.import_module(home), name)
        except Exception as error:  # noqa: BLE001  (somebody else's code)
            raise BundleError(
                f"cannot import '{self.class_path}' ({_reason(error)}): install the package that has it"
            ) from None
        if not self._may_be_called(found, trust):
            raise BundleError(
                f"'{self.class_path}' is no torch.nn.Module class, nor a function written in a trusted package"
            )
        try:
            made = found(**json.loads(self.init_args))
        except Exception as error:  # noqa: BLE001  (somebody else's code)
            raise BundleError(
                f"cannot build '{self.class_path}' with {self.init_args:.200}: {_reason(error)}"
            ) from None
        if not isinstance(made, nn.Module):
            raise BundleError(f"'{self.class_path}' made {type(made).__name__}, expected a torch.nn.Module")
        return made

    def _may_be_called(self, found: object, trust: Iterable[str]) -> bool:
        """Whether it is a module's class, or a function, as many packages offer networks (torchvision.models.resnet50).

        A function is called only where the caller trusts the package that it was written in: torch.nn has some that do
        other things, and modules of trusted packages import what runs commands or removes files.
        """
        if isinstance(found, type):
            return issubclass(found, nn.Module)
        if not isfunction(found) or not any(self.class_path.startswith(f"{package}.") for package in trust):
            return False
        home, _, _ = self.class_path.partition(".")  # a package may gather in one module what it has in others
        return str(found.__module__).partition(".")[0] == home

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"class_path": self.class_path, "init_args": json.loads(self.init_args)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ClassPath:
        """Undoes :meth:`to_json`.

        Raises:
            ValueError: for anything else.
        """
        return cls.of(document["class_path"], document.get("init_args"))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def check_trusted(class_path: str, trust: Iterable[str] = ()) -> None:
    """Refuses classes that lie outside the trusted packages.

    Raises:
        BundleError: for such a class.

    Example:
        >>> check_trusted("my_package.towers.Tower", ["my_package"])
        >>> check_trusted("my_package2.Tower", ["my_package"])
        Traceback (most recent call last):
        ...
        counterpoint.serving.errors.BundleError: the bundle wants to import 'my_package2.Tower', which runs code of...
    """
    if not any(class_path.startswith(f"{package}.") for package in (*ALWAYS_TRUSTED, *trust)):
        raise BundleError(
            f"the bundle wants to import '{class_path}', which runs code of that package: if you trust it, "
            f"load_bundle(..., trust=['{class_path.partition('.')[0]}'])"
        )


@dataclass(frozen=True)
class CustomNetwork:
    """A network of a user's own classes; inputs are tensors, of whatever shape the encoder takes.

    Stands where a :class:`~counterpoint.models.TableNetwork` stands for tables.

    Args:
        encoder_class: What comes before the heads.
        head_classes: Each task's head, as pairs.
        trust: Packages that the classes may be imported from; not saved.

    Example:
        >>> linear = ClassPath.of("torch.nn.Linear", {"in_features": 3, "out_features": 1})
        >>> network = CustomNetwork(ClassPath.of("torch.nn.Identity"), (("a", linear),))
        >>> network.head("a", 1)
        Linear(in_features=3, out_features=1, bias=True)
    """

    encoder_class: ClassPath
    head_classes: tuple[tuple[str, ClassPath], ...]
    trust: tuple[str, ...] = ()

    def encoder(self, tasks: Sequence[str]) -> nn.Module:  # noqa: ARG002  (as TableNetwork's)
        """Builds the encoder."""
        return self.encoder_class.build(self.trust)

    def head(self, task: str, outputs: int) -> nn.Module:  # noqa: ARG002  (as TableNetwork's)
        """Builds a task's head.

        Raises:
            BundleError: for a task without one.
        """
        for name, head in self.head_classes:
            if name == task:
                return head.build(self.trust)
        raise BundleError(f"the network has no head for task {task!r}")

    def describe(self) -> str:
        """In words."""
        return f"{self.encoder_class.class_path} with a head a task"

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what is trusted."""
        heads = {task: head.to_json() for task, head in self.head_classes}
        return {"encoder": self.encoder_class.to_json(), "heads": heads}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], trust: Sequence[str] = ()) -> CustomNetwork:
        """Undoes :meth:`to_json`.

        Raises:
            BundleError: if a class lies in a package that is not trusted; nothing is imported.
        """
        encoder = ClassPath.from_json(document["encoder"])
        heads = tuple((str(task), ClassPath.from_json(head)) for task, head in document["heads"].items())
        for part in (encoder, *(head for _, head in heads)):
            check_trusted(part.class_path, trust)
        return cls(encoder, heads, tuple(trust))

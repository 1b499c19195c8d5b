"""Modules made anew for every training, from whatever somebody gave."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from counterpoint.serving import ClassPath
from counterpoint.study.runs.code import described
from counterpoint.study.runs.content import digest


@dataclass(frozen=True)
class Made:
    """Makes a module anew each time, from whatever somebody gave; can be pickled if that can.

    Attributes:
        given: A module, which is copied and started anew; a class or a callable without arguments; or a class path.
    """

    given: Any

    def __call__(self) -> nn.Module:
        """A fresh module."""
        if isinstance(self.given, ClassPath):
            return self.given.build(packages_of(self.given))
        if isinstance(self.given, nn.Module):
            made = copy.deepcopy(self.given)
            for module in made.modules():
                # A copy starts where the original stands: seeds would all start from one point.
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
            return made
        made = self.given()
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.given!r} made {type(made).__name__}, expected a torch.nn.Module")  # noqa: TRY004
        return made

    @property
    def identity(self) -> str:
        """What it makes, in plain text: structure, first weights, and the code of whatever is not a library's."""
        torch.manual_seed(0)
        return digest(described(self()))


def made(given: Any, what: str) -> Made:
    """Whatever somebody gave for a part of the network.

    Raises:
        ValueError: for what makes no module.

    Example:
        >>> made({"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 1}}, "encoder")()
        Linear(in_features=2, out_features=1, bias=True)
    """
    if isinstance(given, Mapping) and "class_path" in given:
        return Made(ClassPath.of(str(given["class_path"]), given.get("init_args")))
    if isinstance(given, nn.Module | ClassPath) or callable(given):
        return Made(given)
    raise ValueError(
        f"{what} is {given!r:.60}, expected a torch.nn.Module, a class or function that makes one, or class_path and "
        "init_args"
    )


def packages_of(path: ClassPath) -> tuple[str, ...]:
    """Whoever names a class in a study trusts its package."""
    return (path.class_path.rpartition(".")[0],)

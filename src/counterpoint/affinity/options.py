"""What an AffinityMeter is told, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import Tensor
from torch.optim import Optimizer

from counterpoint.affinity.displacement import Rule
from counterpoint.names import known, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing import StepRecord

Method = Literal["first-order", "lookahead", "features"]
Baseline = Literal["reevaluate", "given"]


@dataclass(frozen=True)
class Options:
    """See :class:`~counterpoint.AffinityMeter`."""

    method: Method = "first-order"
    every: int = 10
    rule: Rule = "sgd"
    per_lr: bool = False
    baseline: Baseline = "reevaluate"
    max_bytes: int | None = None
    sketch: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("method", Method), ("rule", Rule), ("baseline", Baseline)):
            one_of(name, getattr(self, name), get_args(kind))
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every={self.every!r}, expected a positive integer: measures every n-th step")
        for name in ("max_bytes", "seed"):
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
                raise ValueError(f"{name}={number!r}, expected an integer")
        if self.method == "features":
            for name in ("rule", "max_bytes", "sketch"):
                if getattr(self, name) != getattr(Options, name):
                    raise ValueError(
                        f"{name}={getattr(self, name)!r} with method='features', which has no gradients of parameters: "
                        "expected method='first-order' or 'lookahead'"
                    )
        if self.baseline != "reevaluate" and self.method != "lookahead":
            raise ValueError(f"baseline={self.baseline!r} with method={self.method!r}, expected method='lookahead'")
        if self.max_bytes is not None and self.sketch is not None:
            raise ValueError(
                "max_bytes and sketch are given, expected one of them: a sketch holds a gradient at a time"
            )

    @property
    def about(self) -> dict[str, Any]:
        """What is worth writing beside a result."""
        about = {"rule": self.rule, "every": self.every, "per_lr": self.per_lr}
        return about if self.sketch is None else {**about, "sketch": self.sketch, "seed": self.seed}

    def __str__(self) -> str:
        told = [(each.name, getattr(self, each.name), each.default) for each in fields(self)]
        return ", ".join(f"{n}={value!r}" for n, value, default in told if value != default or n in {"method", "every"})


def check_call(options: Options, given: Mapping[str, object]) -> None:
    """Raises ValueError for what a step lacks, or has too much of, TypeError for an optimizer that is none."""
    needs = {"first-order": "shared", "lookahead": "reevaluate", "features": "record"}[options.method]
    what = {
        "shared": "the shared parameters, or the module that holds them",
        "reevaluate": "a closure that returns {task: loss} of the same batch",
        "record": "the FanOut's .last, after backward",
    }
    for name in dict.fromkeys((needs, *(("shared",) if options.method != "features" else ()))):
        if given[name] is None:
            raise ValueError(f"{name} is missing, expected {name}={what[name]} with method={options.method!r}")
    for name in ("reevaluate", "record"):
        if name != needs and given[name] is not None:
            raise ValueError(f"{name} is given with method={options.method!r}, which has no use for it: leave it out")
    optimizer = given["optimizer"]
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}, expected a torch.optim.Optimizer")
    if options.rule != "sgd" and optimizer is None:
        raise ValueError(f"optimizer is missing, expected the one that trains with rule={options.rule!r}")
    if options.rule == "optimizer" and given["lr"] is not None:
        raise ValueError("lr is given with rule='optimizer', which steps by the optimizer's own: leave it out")


def checked_values(losses: Mapping[str, Tensor], tasks: Sequence[str], record: StepRecord) -> dict[str, Tensor]:
    """The losses of the tasks that the record knows of, with or without a graph, in the order of the tasks.

    Raises:
        TypeError: if one is not a tensor.
        ValueError: for an unknown task, or a loss that is not a scalar.
    """
    for name in record.tasks:
        known(name, tasks)
    for name, loss in losses.items():
        known(name, tasks)
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss of task {name!r} is a {type(loss).__name__}, expected a scalar tensor")
        if loss.numel() != 1:
            raise ValueError(f"loss of task {name!r} has shape {list(loss.shape)}, expected a scalar")
    absent = {*record.absent} | ({*tasks} - {*record.tasks})
    return {task: losses[task] for task in tasks if task in losses and task not in absent}

"""What a layer looks at in its first steps, because a loop that is wired otherwise trains something else."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

from counterpoint.balancing.notice import notice
from counterpoint.balancing.single_task import single_task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from weakref import ref

    from torch import Tensor

    from counterpoint.balancing.graph import Node

# Backward passes in which never two tasks met, before it is said: by then it is no accident of missing labels.
_ALONE = 8
# Told losses of which nothing arrives: the first such pass may be a rehearsal.
_NOTHING = 2
# Backward passes that count as the first: a gradient that stops coming later is most often meant.
_FIRST = 20


class FirstSteps:
    """Looks at the graphs of the first losses and at what arrives in the first backward passes; warns once of a kind.

    A layer sees gradients, not intentions. It infers from what arrives which tasks took part, and where that is wrong
    it would train something else without a word. So the first loss of each task is followed through its graph, and
    arrivals are compared until two tasks have met. Both end by themselves: later steps cost next to nothing.

    Args:
        tasks: Names of all tasks; none switches the looks at losses and arrivals off.
    """

    def __init__(self, tasks: Sequence[str] = ()) -> None:
        self._said: set[str] = set()
        self._on = len(tasks) > 1
        self._unseen = set(tasks) if self._on else set()
        self._lost: set[str] = set()  # tasks whose gradients came once and do no longer
        self._elsewhere: set[str] = set()  # tasks whose loss has nothing to do with the layer or the encoder
        self._watched = self._on  # whether it is still open that tasks ever meet
        self._running: object = None
        self._uses: list[tuple[str, ...]] = []  # tasks of each use of the layer in the running backward pass
        self._alone: dict[str, int] = {}
        self._passes = self._empty = 0
        self._one_by_one: tuple[ref[object] | None, list[set[str]]] = (None, [])

    def say(self, kind: str, message: str) -> None:
        """Warns, once of a kind."""
        if kind not in self._said:
            self._said.add(kind)
            notice(message)

    def stands_still(self, weighting: str, tasks: Sequence[str], *, told: bool) -> None:
        """Says that the shared update is zero because some tasks' gradients are, while others' are not.

        Args:
            weighting: What led to it.
            tasks: Those with gradients of zero.
            told: Whether it is known which tasks have a loss.
        """
        names = ", ".join(map(repr, tasks))
        cause = "leave a task without labels, or one that is done, out of the losses of that batch"
        if not told:
            cause = "where it has no loss in this batch, fan.sum(losses).backward() says so"
        self.say(
            "still",
            f"the gradient of task {names} is exactly zero and others' are not: with {weighting} the shared update is "
            f"then zero and the encoder stands still; {cause}, or choose a weighting that is not led by the smallest",
        )

    def look_at(self, losses: Mapping[str, Tensor], layer: object, copies: Sequence[ref[Tensor]]) -> None:
        """Follows the first loss of each task through its graph.

        Args:
            losses: Those of this step.
            layer: Whose copies it should come to.
            copies: Some of the latest copies.
        """
        fresh = self._unseen.intersection(losses) if self._unseen else ()
        if not fresh:
            return
        self._unseen.difference_update(fresh)
        walks = {task: _Walk(losses[task], layer) for task in losses if task in fresh}
        held = [copy() for copy in copies]
        layers = [node for walk in walks.values() for node in walk.layers]
        below = _below([*layers, *(copy.grad_fn for copy in held if copy is not None)])
        for task, walk in walks.items():
            if not walk.opaque:
                self._compare(task, losses[task], walk, below)
            elif task in self._lost:
                self._say_missing(task)
        self._lost.difference_update(fresh)

    def _compare(self, task: str, loss: Tensor, walk: _Walk, below: set[Node]) -> None:
        others = [other for other in walk.reached if other != task]
        past = not below.isdisjoint(walk.seen)
        if not walk.reached and not past and below:
            self._elsewhere.add(task)  # as of a head that is trained on detached features: it is meant
        if task not in walk.reached and others:
            self.say(
                "copy",
                f"the loss of task {task!r} comes from the features of {_named(others)}, expected z[{task!r}]: its "
                f"gradient counts as that of {_named(others)}; give each head the features under its own task's name",
            )
        elif task not in walk.reached and past:
            self.say(
                "past",
                f"the loss of task {task!r} does not come through the layer, expected a head fed with z[{task!r}]: its "
                "gradient reaches the encoder unweighted, beside the balanced one of the others",
            )
        elif past and task in walk.reached:
            self.say(
                "beside",
                f"the loss of task {task!r} also reaches the encoder past the layer (a skip connection, a penalty?): "
                "that part of its gradient is not balanced; hand all tensors that heads take to the layer, as in "
                "fan([z, skipped])",
            )
        if task in walk.reached and others and (shared := walk.really_reached(loss, others)):
            self.say(
                "shared",
                f"the loss of task {task!r} also depends on the features of {_named(shared)}: its gradient is split "
                f"between their copies and counts for the wrong task; compute whatever the loss of {task!r} needs from "
                f"z[{task!r}], other tasks' heads too, or call backward(losses, weighting, features=z)",
            )

    def arrived(self, running: object, present: Iterable[str]) -> None:
        """Notes the tasks of one use of the layer.

        Args:
            running: Which backward pass this is.
            present: The tasks whose gradients arrived.
        """
        if not self._on:
            return
        if running != self._running:
            self.ended()
            self._running = running
        self._uses.append(tuple(present))

    def ended(self, told: Collection[str] = (), withheld: Collection[str] = (), *, training: bool = True) -> None:
        """Compares the uses of the layer in the backward pass that has ended.

        Args:
            told: The tasks that had a loss.
            withheld: Those of them whose gradients were not computed.
            training: Whether the layer balances at all; in eval mode it hands features on.
        """
        self._passes += bool(told)
        if not self._watched and len(self._uses) == 1 and len(self._uses[0]) == len(told):
            self._uses = []
            return
        uses, self._uses = [set(present) for present in self._uses if present], []
        if not uses:
            if self._on and len(told) - len(withheld) > 1:
                self._nothing_came(training=training)
            return
        for task in set(told).difference(self._elsewhere, withheld, *uses):
            self._unseen.add(task)  # its next loss is followed through its graph
            self._lost.add(task)
            if self._passes <= _FIRST:
                self._say_missing(task)
        if self._watched:
            self._compare_uses(uses)

    def _compare_uses(self, uses: list[set[str]]) -> None:
        together = set.union(*uses)
        if any(len(present) > 1 for present in uses):
            self._watched = False
        elif len(together) > 1:
            self._watched = False
            self.say(
                "batches",
                f"gradients of {_named(sorted(together))} arrive at different uses of the layer, as with a batch of "
                "its own for each task: each use sees one task and the update is the plain sum; give one batch to all, "
                "or balance at the parameters with backward(losses, weighting, shared=encoder)",
            )
        elif together:
            (task,) = together
            self._alone[task] = self._alone.get(task, 0) + 1
            if sum(self._alone.values()) >= _ALONE and len(self._alone) > 1:
                self._watched = False
                self.say(
                    "alone",
                    f"{sum(self._alone.values())} backward passes each held the gradient of one task ("
                    f"{', '.join(map(repr, self._alone))}), so nothing was balanced and the update is the plain sum: "
                    "expected one fan.sum(losses).backward() for all; for batches of one task each collect the losses "
                    "and call backward(losses, weighting, shared=encoder)",
                )

    def _nothing_came(self, *, training: bool) -> None:
        self._empty += 1
        if self._empty == _NOTHING:
            why = "expected z = fan(features), and heads fed with z[task]"
            if not training:
                why = "it is in eval mode and hands features on, expected model.train(), or fan.train() alone"
            self.say(
                "nothing", f"losses were summed and no gradient came through the layer, so nothing is balanced: {why}"
            )

    def _say_missing(self, task: str) -> None:
        self.say(
            "missing",
            f"task {task!r} has a loss and no gradient of it came through the layer: expected a head fed with "
            f"z[{task!r}], not with another task's features or the encoder's own",
        )

    def came_to(self, use: object, present: Sequence[str]) -> None:
        """Notes that a backward pass came to a use of the layer, perhaps one of several with single tasks.

        It is said when the next use is reached: whoever measures single tasks goes backward for all of them afterwards.
        """
        if not self._watched:
            return
        before, sets = self._one_by_one
        if before is not None and before() is use:
            sets.append(set(present))
            return
        self._one_by_one = weakref.ref(use), [set(present)]
        if len(sets) > 1 and all(len(own) == 1 for own in sets) and len(together := set.union(*sets)) > 1:
            self._watched = False
            self.say(
                "one by one",
                f"backward passes for {_named(sorted(together))}, one each, came to the same features: each sees one "
                "task and the update is the plain sum; expected one fan.sum(losses).backward() for all",
            )

    def __getstate__(self) -> dict[str, Any]:
        """Without the backward pass that is running."""
        return self.__dict__ | {"_running": None, "_uses": [], "_one_by_one": (None, [])}


class _Walk:
    """Where the graph of a loss leads, up to the layer.

    Attributes:
        reached: Tasks whose copies it comes to, each with the edges.
        layers: The layer's nodes among them.
        seen: All other inner nodes.
        opaque: Whether a copy was reached through a node that mixes all its inputs and outputs, as compiled code and
            checkpoints do: then nothing is known of what depends on what.
    """

    def __init__(self, loss: Tensor, layer: object) -> None:
        self.reached: dict[str, list[tuple[Node, int]]] = {}
        self.layers: list[Node] = []
        self.seen: set[Node] = set()
        self.opaque = False
        start = loss.grad_fn
        stack: list[tuple[Node, int]] = [] if start is None else [(start, loss.output_nr)]
        while stack:
            node, output = stack.pop()
            if getattr(node, "layer", None) is layer and hasattr(node, "use"):
                if output < node.use.outputs:  # after the copies comes an anchor, which is no task's
                    self.reached.setdefault(node.use.task_of(output), []).append((node, output))
                    self.layers.append(node)
                continue
            if node in self.seen or hasattr(node, "variable"):
                continue
            self.seen.add(node)
            if _mixes(node):
                self.opaque = True
            stack.extend(edge for edge in node.next_functions if edge[0] is not None)

    def really_reached(self, loss: Tensor, tasks: Sequence[str]) -> list[str]:
        """Those of the tasks on whose copies the loss depends by numbers, too: slices of one matrix do not."""
        edges = [(task, torch.autograd.graph.GradientEdge(*edge)) for task in tasks for edge in self.reached[task]]
        with single_task("passed"):  # other layers may lie between
            gradients = torch.autograd.grad(
                loss, [edge for _, edge in edges], retain_graph=True, allow_unused=True, materialize_grads=False
            )
        found = [t for (t, _), g in zip(edges, gradients, strict=True) if g is not None and bool(g.any())]
        return list(dict.fromkeys(found))


def _mixes(node: Node) -> bool:
    """Whether a node is written in Python (compiled graphs, checkpoints): its inputs and outputs are not told apart."""
    function = getattr(node, "_forward_cls", None)
    return function is not None and not getattr(function, "transparent", False)


def _below(layers: Iterable[Node]) -> set[Node]:
    """Inner nodes of the encoder: a loss that comes to one of them has gone past the layer."""
    found: set[Node] = set()
    stack = list(layers)
    while stack:
        node = stack.pop()
        # Parameters may be tied: a head may use the encoder's, cast by autocast or computed from others.
        if node in found or _is_of_parameters(node):
            continue
        found.add(node)
        # After the features come tokens, by which a layer weights its heads.
        inputs = node.next_functions[: node.use.width] if hasattr(node, "use") else node.next_functions
        stack.extend(child for child, _ in inputs if child is not None)
    return found


def _is_of_parameters(node: Node) -> bool:
    """Whether a node computes something from parameters alone, as a cast does; tables are looked up with an input."""
    stack = [node]
    while stack:
        own = stack.pop()
        if hasattr(own, "variable"):
            continue
        children = [child for child, _ in own.next_functions]
        if not children or None in children or own.name().startswith(("Embedding", "Index", "Gather")):
            return False
        stack.extend(children)
    return True


def _named(tasks: Sequence[str]) -> str:
    return ("task " if len(tasks) == 1 else "tasks ") + ", ".join(map(repr, tasks))

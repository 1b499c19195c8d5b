"""Measures inter-task affinity while training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.affinity.affinity import Affinity
from counterpoint.affinity.displacement import LearningRate, Rule, displacement, learning_rates, one_rate, unwrapped
from counterpoint.affinity.gradients import SharedGradients
from counterpoint.affinity.measurement import check_names, features, first_order, joined, lookahead
from counterpoint.affinity.options import Baseline, Method, Options, check_call, checked_values
from counterpoint.affinity.sketch import CountSketch
from counterpoint.affinity.statistics import PhasedMoments
from counterpoint.balancing.losses import checked_losses
from counterpoint.balancing.ranks import Group, Ranks
from counterpoint.names import checked_names
from counterpoint.parameters import trainable_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch.optim import Optimizer

    from counterpoint.affinity.measurement import Measured
    from counterpoint.balancing import StepRecord
    from counterpoint.parameters import Given


class AffinityMeter:
    r"""Measures, every few training steps, how much a step on each task alone would lower each task's loss.

    The affinity of task i onto task j at shared parameters :math:`\theta` is

    .. math:: Z_{ij} = 1 - L_j(\theta_i) / L_j(\theta), \quad \theta_i = \theta - \eta \nabla_\theta L_i(\theta)

    with every head as it is, on one batch (`Fifty et al., NeurIPS 2021 <https://arxiv.org/abs/2109.04617>`_, Eq. 1),
    averaged over measured steps. The methods differ in what a measured step of T tasks costs:

    - ``"lookahead"``: that, exactly. T passes backward and T + 1 forward.
    - ``"first-order"``: :math:`Z_{ij} \approx \eta \langle g_i, g_j \rangle / L_j`. T passes backward, none forward.
    - ``"features"``: the same with gradients with respect to the features, which a :class:`FanOut` compared anyway.
      Free. Its scale is not that of the others; what it says is the order of pairs.

    A step without a measurement costs a function call. Nothing is disturbed: the graph, ``.grad``, parameters, buffers,
    random numbers and the optimizer are bit for bit as before, also when something raises.

    - Tasks may be missing from a batch: their rows and columns do not count in this step.
    - Where a loss or a gradient is not finite, the loss to divide by is exactly zero, or the gradient of the task that
      steps is (as compiled models make that of a task without labels), the entries concerned do not count and
      ``skipped`` grows. A negative loss turns the sign of its column around: affinities are meant for positive losses.
    - Through a :class:`FanOut` gradients pass unweighted: each task steps alone.

    Args:
        tasks: Names of the tasks.
        method: See above.
        every: Measures every n-th call of :meth:`step`, the first one included.
        rule: How a task steps. ``"sgd"``: by its gradient times the learning rate. ``"preconditioned"``: by its
            gradient times the learning rate over the root of the optimizer's second moments (plus eps), as Adam would
            scale it; nothing is measured before the optimizer's first step. ``"optimizer"``: by the optimizer's own
            next step, had it only this gradient: momentum, weight decay, moments, all of it, so that parts of what is
            measured are due to the past.
        per_lr: Divides by the learning rate, as the published code does.
        baseline: For ``"lookahead"``: ``"reevaluate"`` computes the losses before the step like those after it, with
            the same random numbers; ``"given"`` takes the losses that were handed over, which saves one of T + 1
            evaluations and is right for networks without dropout.
        max_bytes: For ``"first-order"``: the most that task gradients may take. Where not all fit, Gram matrices are
            gathered block by block, exactly, with more backward passes.
        sketch: Holds this many numbers a task instead of its gradient: see
            :class:`~counterpoint.affinity.sketch.CountSketch`; inner products of different tasks are then estimates.
        seed: Of the sketch.
        process_group: The ranks that train together (``"world"`` for all): losses and gradients are averaged over those
            that have the task, and every rank measures what one process would on the joined batch. Every rank has to
            call :meth:`step` as often as the others, without losses if it has none.

    Attributes:
        skipped: [T, T], how often an entry was left out because something was not finite or zero.

    Raises:
        ValueError: for no tasks, a name given twice, an unknown option, or options that do not go together.
        TypeError: if the tasks are not names.

    Example:
        >>> from counterpoint.affinity import AffinityMeter
        >>> _ = torch.manual_seed(0)
        >>> x, y = torch.randn(32, 4), torch.randn(32, 1)
        >>> encoder, heads = nn.Linear(4, 3), {"a": nn.Linear(3, 1), "b": nn.Linear(3, 1)}
        >>> meter = AffinityMeter(["a", "b"], every=1)
        >>> losses = {task: (head(encoder(x)) - y).square().mean() for task, head in heads.items()}
        >>> meter.step(losses, shared=encoder, lr=0.1)
        True
        >>> sum(losses.values()).backward()
        >>> affinity = meter.compute()
        >>> affinity.tasks, affinity.values.shape, bool(affinity["a", "a"] > 0)
        (('a', 'b'), (2, 2), True)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        method: Method = "first-order",
        *,
        every: int = 10,
        rule: Rule = "sgd",
        per_lr: bool = False,
        baseline: Baseline = "reevaluate",
        max_bytes: int | None = None,
        sketch: int | None = None,
        seed: int = 0,
        process_group: Group | Literal["world"] | None = None,
    ) -> None:
        self.tasks = checked_names(tasks)
        self.options = Options(method, every, rule, per_lr, baseline, max_bytes, sketch, seed)
        self.ranks = Ranks(process_group)
        self.skipped: NDArray[np.int64] = np.zeros((len(self.tasks),) * 2, dtype=np.int64)
        self._sketch = None if sketch is None else CountSketch(sketch, seed)
        self._affinities = PhasedMoments(len(self.tasks))
        self._cosines = PhasedMoments(len(self.tasks))
        self._wait = 0  # calls until the next measurement
        self._record: StepRecord | None = None
        self._met = False  # other ranks, and their names

    @property
    def due(self) -> bool:
        """Whether the next call of :meth:`step` measures."""
        return self._wait == 0

    @property
    def method(self) -> Method:
        """How affinity is measured."""
        return self.options.method

    @property
    def steps(self) -> int:
        """Number of measured steps."""
        return self._affinities.steps

    def step(
        self,
        losses: Mapping[str, Tensor],
        *,
        shared: Given | None = None,
        lr: LearningRate | None = None,
        optimizer: Optimizer | None = None,
        reevaluate: Callable[[], Mapping[str, Tensor]] | None = None,
        record: StepRecord | None = None,
        model: nn.Module | None = None,
    ) -> bool:
        """Call it in every training step, before ``backward()``; for ``"features"`` after it.

        Args:
            losses: The scalar loss of each task that has one for this batch, with its graph (not for ``"features"``),
                not multiplied by a loss scale.
            shared: The module that holds the shared parameters, the parameters, one of them, or param groups of an
                optimizer; those that do not require gradients are left out. Not for ``"features"``.
            lr: The learning rate; the optimizer's by default. Not for ``rule="optimizer"``, which has its own.
            optimizer: The optimizer that trains the shared parameters.
            reevaluate: For ``"lookahead"``: computes ``losses`` again, from the same batch.
            record: For ``"features"``: ``fan.last``, after this step's backward pass.
            model: For ``"lookahead"``: a module to put back with all its parts. Modules are recognized when they are
                called; this is for what is changed before.

        Returns:
            Whether this step was measured.

        Raises:
            ValueError: for an unknown task, something missing that the method needs, a loss that does not depend on
                what is shared, or a closure that returns other tasks or changes parameters.
            TypeError: for losses that are not scalar tensors, or an optimizer that is none.
            RuntimeError: after ``backward()``, which has freed the losses' graph.
        """
        if self._wait:
            self._wait -= 1
            return False
        optimizer = unwrapped(optimizer)
        if not self._met:
            check_names(self.tasks, self.ranks)
            self._met = True
        given = {"shared": shared, "lr": lr, "optimizer": optimizer, "reevaluate": reevaluate, "record": record}
        check_call(self.options, given)
        if self.method == "features":
            assert record is not None  # noqa: S101  (checked)
            measured = self._compare_features(losses, record, lr, optimizer)
        else:
            try:
                assert shared is not None  # noqa: S101  (checked)
                parameters = trainable_parameters("shared", shared)
                measured = self._step_alone(losses, parameters, lr, optimizer, reevaluate, model, shared)
            except RuntimeError as error:
                if "through the graph a second time" not in str(error):
                    raise
                # Torch would advise retain_graph=True: another order of the calls is all that is needed.
                raise RuntimeError("the losses went through backward(), expected meter.step(...) before it") from error
        if measured is None:
            return False
        affinities, cosines, known = measured.spread(self.tasks)
        self._affinities.add(affinities)
        self._cosines.add(cosines)
        self.skipped += known & ~np.isfinite(affinities)
        self._wait = self.options.every - 1
        return True

    def _compare_features(
        self, losses: Mapping[str, Tensor], record: StepRecord, lr: LearningRate | None, optimizer: Optimizer | None
    ) -> Measured | None:
        own = checked_values(losses, self.tasks, record)
        counts, values = joined(own, self.tasks, self.ranks)
        rate = 1.0 if self.options.per_lr else one_rate(learning_rates(None, lr, optimizer))
        if not counts:
            return None
        if record is self._record:
            raise ValueError(
                "record is the one that was measured last, expected fan.last after this step's backward(): nothing "
                "went backward through the FanOut since, or it is in eval mode"
            )
        self._record = record
        return features(counts, values, record, rate)

    def _step_alone(
        self,
        losses: Mapping[str, Tensor],
        shared: list[Tensor],
        lr: LearningRate | None,
        optimizer: Optimizer | None,
        reevaluate: Callable[[], Mapping[str, Tensor]] | None,
        *models: object,
    ) -> Measured | None:
        options = self.options
        rule = displacement(options.rule, shared, lr, optimizer)
        own = checked_losses(losses, self.tasks)
        counts, values = joined(own, self.tasks, self.ranks)
        if rule is None or not counts:
            return None
        together = options.max_bytes is None and options.sketch is None
        gradients = SharedGradients(own, shared, self.ranks, counts, together=together)
        if reevaluate is None:
            measured = first_order(gradients, values, rule, max_bytes=options.max_bytes, sketch=self._sketch)
        else:
            measured = lookahead(
                gradients,
                rule,
                reevaluate,
                baseline=options.baseline == "reevaluate",
                models=[model for model in models if isinstance(model, nn.Module)],
                max_bytes=options.max_bytes,
                sketch=self._sketch,
            )
        if options.per_lr:
            with np.errstate(all="ignore"):
                measured.affinities /= one_rate(learning_rates(shared, lr, optimizer))
        return measured

    def compute(self) -> Affinity:
        """The mean over all measured steps so far.

        Raises:
            RuntimeError: if nothing was measured.
        """
        return self._labelled(self._affinities, self.method)

    def cosines(self) -> Affinity:
        """Mean cosines of the angles between task gradients, a symmetric matrix.

        NaN throughout where ``"lookahead"`` did not keep the gradients, because they take more than ``max_bytes``
        (256 MiB, if nobody says).

        Raises:
            RuntimeError: if nothing was measured.
        """
        return self._labelled(self._cosines, "cosine")

    def _labelled(self, moments: PhasedMoments, method: str) -> Affinity:
        if not moments.steps:
            raise RuntimeError(
                "nothing was measured yet, expected meter.step(...) in the training loop before compute()"
            )
        about = {} if method == "cosine" else self.options.about
        phases = {
            name: Affinity(part.mean, self.tasks, steps, part.standard_error, part.counts.astype(np.int64), method)
            for name, (part, steps) in moments.phases().items()
            if steps
        }
        total = moments.total()
        counts = total.counts.astype(np.int64)
        return Affinity(total.mean, self.tasks, moments.steps, total.standard_error, counts, method, phases, about)

    @property
    def _kind(self) -> dict[str, Any]:
        """Numbers of one kind may be averaged."""
        options = self.options
        return {"tasks": list(self.tasks), "method": options.method, "rule": options.rule, "per_lr": options.per_lr}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on measuring: numbers and tensors."""
        state: dict[str, Any] = {**self._kind, "wait": self._wait}
        state["skipped"] = torch.from_numpy(self.skipped.copy())
        for name, moments in (("affinities", self._affinities), ("cosines", self._cosines)):
            own = moments.state_dict()
            state[name] = {**own, "bins": torch.from_numpy(own["bins"])}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`state_dict` was taken.

        Raises:
            ValueError: if that was of other tasks, or of another method, rule or unit.
        """
        for name, own in self._kind.items():
            if state.get(name) != own:
                raise ValueError(f"the state is of {name} {state.get(name)}, expected {own} as this meter has")
        self._wait = state["wait"]
        self.skipped = state["skipped"].cpu().numpy().copy()
        for name, moments in (("affinities", self._affinities), ("cosines", self._cosines)):
            moments.load_state_dict({**state[name], "bins": state[name]["bins"].cpu().numpy()})

    def __repr__(self) -> str:
        return f"AffinityMeter({list(self.tasks)}, {self.options}, steps={self.steps})"

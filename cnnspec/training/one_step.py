"""One training step on one image, with every number that textbooks tell of it: Rumelhart, Hinton and Williams 1986.

Forward, the error and its terms, how the gradient reaches each layer, what the update makes of the weights, and forward
again. Norms run by their running statistics and dropout is off, so that the same image can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx

from cnnspec.analysis.freezing import rate_scale
from cnnspec.data.prepare import one_hot
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph, Node
from cnnspec.training.config import TrainConfig
from cnnspec.training.criterion import make_optimizer, set_rate
from cnnspec.training.objectives.base import loss_word
from cnnspec.training.objectives.classes import ClassObjective, make_loss
from cnnspec.training.told_step import ClassTerm, LayerGradient, MovedWeight, TrainingStep
from cnnspec.training.update_rule import arithmetic, summary

__all__ = ["take_step"]

MOVED: Final = 6  # weights whose update is told, one a layer


@dataclass(frozen=True)
class _Change:
    """Every trained parameter before the update, its gradient, and after, by its name."""

    before: Mapping[str, Tensor]
    gradient: Mapping[str, Tensor]
    after: Mapping[str, Tensor]

    def of(self, node: Node) -> list[str]:
        """Those of a layer."""
        return [name for key in node.tensors if (name := node.tensor_name(key)) in self.gradient]


class _Trace(fx.Interpreter):
    """Runs a network and keeps what each layer gives, and how much of it an activation lets no gradient through."""

    def __init__(self, model: fx.GraphModule, activations: frozenset[str]) -> None:
        super().__init__(model)
        self.activations = activations
        self.values: dict[str, Tensor] = {}
        self.blocked: dict[str, Tensor] = {}  # by layer, where its derivative is zero, `(C, …)`

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        name = n.meta.get("layer")
        if name is not None and isinstance(value, Tensor):
            if value.requires_grad:
                value.retain_grad()
            self.values[name] = value
            if name in self.activations and value.requires_grad:
                given = self.env[n.all_input_nodes[0]].detach().requires_grad_()
                (slope,) = torch.autograd.grad(self.call_module(n.target, (given,), {}).sum(), given)
                self.blocked[name] = slope[0] == 0
        return value


def take_step(
    graph: Graph,
    model: fx.GraphModule,
    image: Tensor,
    label: int,
    config: TrainConfig,
    classes: Sequence[str],
    *,
    start: str,
    source: str,
) -> TrainingStep:
    """Take one step of this model on `image` `(C, …)` of class `label`, and tell it. The model's weights change.

    The rate is `config.lr`, whatever its schedule, and the optimizer remembers nothing yet. `start` and `source` say
    where weights and image come from. Raises UsageError where the network does not give one vector of scores or none
    of its weights is trained, and CnnspecError where a score is not finite.
    """
    graph = graph.network("inference")
    model.eval()
    trace = _Trace(model, frozenset(node.name for node in graph if node.op.activation and node.op.pointwise))
    scores: Tensor = trace.run(image[None])
    if not scores.isfinite().all():
        raise CnnspecError("a score of the network is not finite", hint="other weights, or an image of other values")
    labels = torch.tensor([label])
    make_loss(config, torch.ones(len(classes)), scores.device)(scores, labels).backward()  # type: ignore[no-untyped-call]
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.grad is not None}
    if not parameters:
        raise UsageError("no weight of the network is trained, so that there is no step to tell")
    change = _Change(
        {name: parameter.detach().clone() for name, parameter in parameters.items()},
        {name: parameter.grad.clone() for name, parameter in parameters.items() if parameter.grad is not None},
        {name: parameter.detach() for name, parameter in parameters.items()},
    )
    optimizer = make_optimizer(config, model, scores.device, fused=False)
    set_rate(optimizer, config.lr)
    optimizer.step()
    with torch.no_grad():
        again: Tensor = model(image[None])
    target = one_hot(labels, len(classes), scores.dtype)[0]
    terms, terms_after = (_terms(each.detach()[0], target, config) for each in (scores, again))
    columns = (scores[0].tolist(), scores[0].softmax(0).tolist(), target.tolist(), terms, again[0].softmax(0).tolist())
    rows = zip(classes, *columns, strict=True)
    return TrainingStep(
        network=graph.name,
        start=start,
        image=source,
        label=classes[label],
        loss=loss_word(config, ClassObjective.task),
        rule=summary(config),
        classes=tuple(ClassTerm(*row) for row in rows),
        error_after=math.fsum(terms_after),
        layers=tuple(_layer(node, trace, change) for node in graph),
        moved=tuple(_moved(graph, change, config)),
    )


def _terms(scores: Tensor, target: Tensor, config: TrainConfig) -> list[float]:
    """What each class adds to the error, in double precision: the summands of `make_loss`, `(classes,)`."""
    exact, wanted = scores.double(), target.double()
    weights = torch.ones_like(wanted)
    if isinstance(config.class_weights, tuple):
        weights = torch.tensor(config.class_weights, dtype=torch.float64)
    if config.loss == "squared-error":
        terms = (wanted @ weights) * (wanted - exact.softmax(0)).square() / 2
    else:
        smooth = config.label_smoothing
        terms = -weights * (wanted * (1 - smooth) + smooth / len(wanted)) * exact.log_softmax(0)
    return [float(term) for term in terms]


def _layer(node: Node, trace: _Trace, change: _Change) -> LayerGradient:
    """What reaches a layer."""
    value, blocked = trace.values[node.name], trace.blocked.get(node.name)
    own = change.of(node)
    return LayerGradient(
        layer=node.name,
        operator=node.op.op_name,
        shape=node.shape,
        signal=None if value.grad is None else _norm([value.grad]),
        gradient=_norm([change.gradient[name] for name in own]),
        weights=_norm([change.before[name] for name in own]),
        update=_norm([change.after[name] - change.before[name] for name in own]),
        blocked=None if blocked is None else float(blocked.double().mean()),
        blocked_channels=None if blocked is None else int(blocked.reshape(len(blocked), -1).all(1).sum()),
    )


def _moved(graph: Graph, change: _Change, config: TrainConfig) -> Iterator[MovedWeight]:
    """The weight of the largest gradient in each layer; of many layers in some, spread from the first to the last."""
    layers = [own for node in graph if (own := change.of(node))]
    if len(layers) > MOVED:
        layers = [layers[round(place * (len(layers) - 1) / (MOVED - 1))] for place in range(MOVED)]
    for own in layers:
        name = max(own, key=lambda name: float(change.gradient[name].abs().max()))
        gradient = change.gradient[name]
        index = torch.unravel_index(gradient.abs().argmax(), gradient.shape)
        scaled = config.model_copy(update={"lr": config.lr * rate_scale(name, config.lr_scale)})
        told = arithmetic(scaled, change.before[name][index], gradient[index], decays=gradient.ndim > 1)
        yield MovedWeight(
            tensor=name,
            index=tuple(map(int, index)),
            before=float(change.before[name][index]),
            gradient=float(gradient[index]),
            after=float(change.after[name][index]),
            arithmetic=tuple(told.lines),
        )


def _norm(tensors: Sequence[Tensor]) -> float | None:
    """The Euclidean norm of all of them together; None of none."""
    return math.sqrt(math.fsum(float(each.double().square().sum()) for each in tensors)) if tensors else None

"""Rules about which layer follows which."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.analysis.lint.base import Found, MeasuredNetwork, rule
from cnnspec.graph import INPUT, Node
from cnnspec.ops import AXES, JOINS, AnyOp, show_shape
from cnnspec.ops.activation import AbstractSoftmax, Hardsigmoid, Sigmoid, Softmax
from cnnspec.ops.base import AbstractAlong
from cnnspec.ops.conv import AbstractSlidingConv, ConvTranspose
from cnnspec.ops.dropout import Dropout
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import Add, Sub
from cnnspec.ops.norm import BatchNorm, InstanceNorm
from cnnspec.places import LayerBefore

__all__ = [
    "activation_twice",
    "bias_before_norm",
    "dead_nodes",
    "dense_on_map",
    "dense_twice",
    "dropout_before_norm",
    "groups_never_mix",
    "softmax_output",
    "sum_repeats",
]


@rule("W305", "a bias before batch norm")
def bias_before_norm(network: MeasuredNetwork) -> Iterator[Found]:
    """The mean that the norm subtracts takes the bias with it (Ioffe and Szegedy 2015, section 3.2)."""
    for node, op in network.of((AbstractSlidingConv, ConvTranspose, Linear)):
        readers = network.readers[node.name]
        norms = [reader.name for reader in readers if isinstance(reader.op, (BatchNorm, InstanceNorm))]
        if op.bias and norms and len(norms) == len(readers) and node.name not in network.graph.outputs:
            yield Found(
                node,
                f"the bias of `{node.name}` has no effect: `{norms[0]}` subtracts the mean of every channel",
                f"`bias=False` saves {node.op.parameter_shapes(*node.input_shapes)['bias'][0]:,} parameters",
            )


@rule("W306", "an activation straight after an activation")
def activation_twice(network: MeasuredNetwork) -> Iterator[Found]:
    """An activation of an activation: at best without effect, at worst it cuts the gradient."""
    for node in network.graph.nodes:
        if node.name not in network.live or not _activates(node.op):
            continue
        before = network.before_passive(node)
        if before is not None and _activates(before.op):
            names = _a(node.op.op_name), _a(before.op.op_name)
            yield Found(
                node,
                f"`{node.name}`, {names[0]}, follows straight after `{before.name}`, {names[1]}",
                "one of the two is enough",
            )


def _activates(op: AnyOp) -> bool:
    return op.activation or isinstance(op, AbstractSoftmax)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


@rule("W307", "softmax before cross-entropy")
def softmax_output(network: MeasuredNetwork) -> Iterator[Found]:
    """Cross-entropy takes logits: it applies the logarithm of the softmax itself, as torch's `cross_entropy` does."""
    for name in (*network.graph.outputs, *network.graph.aux_outputs):
        node: Node | None = None if name == INPUT else network.graph.by_name[name]
        while node is not None and node.op.passive:
            node = network.before(node)
        if node is not None and isinstance(node.op, Softmax):
            yield Found(
                node,
                f"the output ends in `{node.name}`, a Softmax, and training with cross-entropy applies another",
                "leave it out: cross-entropy takes the logits, and the largest logit is the largest probability",
            )


@rule("W316", "two dense layers without an activation between")
def dense_twice(network: MeasuredNetwork) -> Iterator[Found]:
    """Two linear maps in a row are one; only a bottleneck between them saves parameters."""
    for node, op in network.of(Linear):
        before = network.before_passive(node)
        if before is None or not isinstance(before.op, Linear) or len(network.readers[before.name]) > 1:
            continue
        middle = before.op.out_features
        if middle >= min(before.input_shapes[0][-1], op.out_features):
            yield Found(
                node,
                f"`{node.name}` follows `{before.name}` without an activation between: together they are one linear"
                " map",
                "put an activation between them, or keep one",
            )


@rule("W321", "a dense layer on a feature map")
def dense_on_map(network: MeasuredNetwork) -> Iterator[Found]:
    """A dense layer on a feature map: it mixes the places of the last axis, not the channels."""
    maps = {INPUT} if len(network.graph.input_shape) > 2 else set()
    for node in network.graph.nodes:
        kept = isinstance(node.op, AbstractAlong) and node.op.axis(node.input_shapes[0]) == 0
        if node.op.windowed or not ((node.op.features_last and not kept) or maps.isdisjoint(node.inputs)):
            maps.add(node.name)
        elif isinstance(node.op, Linear) and not maps.isdisjoint(node.inputs) and node.name in network.live:
            shape = node.input_shapes[0]
            yield Found(
                node,
                f"`{node.name}` reads a feature map, {show_shape(shape)}, and acts on its last axis only,"
                f" the {AXES[len(shape) - 1][-1]}",
                "put `Flatten` before it; or `Permute`, to put the channels last for a dense layer at every place",
                fix=LayerBefore("Flatten", "flatten"),
            )


@rule("W315", "dropout straight before batch norm")
def dropout_before_norm(network: MeasuredNetwork) -> Iterator[Found]:
    """Dropout changes the variance in training only, and the batch norm after it has learnt the wrong one.

    Li, Chen, Hu and Yang 2019, Understanding the Disharmony between Dropout and Batch Normalization.
    """
    for node, _ in network.of(BatchNorm):
        before = network.before(node)
        if before is not None and isinstance(before.op, Dropout) and before.op.p > 0:
            yield Found(
                node,
                f"`{before.name}` drops values straight before `{node.name}`: the variance that batch norm learns in"
                " training is not that of inference",
                "dropout after the last batch norm",
            )


@rule("W320", "groups that never mix")
def groups_never_mix(network: MeasuredNetwork) -> Iterator[Found]:
    """Grouped convolutions in a row without anything between that carries a value from one group to another.

    Zhang, Zhou, Lin and Sun 2018, ShuffleNet, section 3.1.
    """
    mixed: dict[str, Node] = {}  # for each node, the last one before it that may carry values between channels
    for node in network.graph.nodes:
        before = None if isinstance(node.op, JOINS) else mixed.get(node.inputs[0])
        if (
            isinstance(node.op, AbstractSlidingConv)
            and 1 < node.op.groups < node.input_shapes[0][0]
            and before is not None
            and isinstance(before.op, (AbstractSlidingConv, ConvTranspose))
            and before.op.groups == node.op.groups
            and node.name in network.live
        ):
            yield Found(
                node,
                f"the {node.op.groups} groups of `{before.name}` and `{node.name}` never mix",
                f"`ChannelShuffle({node.op.groups})` or a 1x1 convolution between them",
            )
        mixed[node.name] = before if before is not None and node.op.keeps_groups else node


@rule("W323", "a sum that repeats one of its maps")
def sum_repeats(network: MeasuredNetwork) -> Iterator[Found]:
    """A sum whose maps differ in shape: torch repeats the smaller one, which is meant for one term per channel only.

    A gate, which a sigmoid or a softmax makes, is to be multiplied: Hu, Shen and Sun 2018, Squeeze-and-Excitation.
    """
    for node, op in network.of((Add, Sub)):
        for name, shape in zip(node.inputs, node.input_shapes, strict=True):
            before = network.graph.by_name.get(name)
            is_gate = before is not None and isinstance(before.op, (Sigmoid, Hardsigmoid, Softmax))
            if shape == node.shape or (set(shape[1:]) <= {1} and shape[:1] == node.shape[:1] and not is_gate):
                continue
            what = f"repeats `{name}`, {show_shape(shape)}, to make it {show_shape(node.shape)}"
            yield Found(
                node,
                f"`{node.name}` {what}" + ", though its values are those of a gate" * is_gate,
                f"`Mul` instead of `{op.op_name}`" if is_gate else "give all that it reads one shape",
            )
            break


@rule("W312", "a node that nothing depends on")
def dead_nodes(network: MeasuredNetwork) -> Iterator[Found]:
    """Nodes that no output depends on: they never run, and are never trained."""
    for node in network.graph.nodes:
        if node.name in network.live or network.readers[node.name]:
            continue
        kind = "a join" if isinstance(node.op, JOINS) else node.op.op_name
        yield Found(
            node,
            f"nothing reads `{node.name}` ({kind}), and it is no output",
            "name it in `outputs` or `aux_outputs`, read it, or delete it",
        )

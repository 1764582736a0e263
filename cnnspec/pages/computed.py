"""What a network computes on sample images, as a page shows it: maps of every layer, weights, and why it answers so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.exporting.subject import Subject, ends_in_softmax
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import Shape
from cnnspec.ops.linear import Linear
from cnnspec.pages.packed import Packed, quantized, shrunk
from cnnspec.pages.rules import follows, rule_of
from cnnspec.pages.samples import Samples
from cnnspec.pages.values import every_layer
from cnnspec.pages.why import Reasons, Why

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Weights
    from cnnspec.pages.values import Values

__all__ = ["CHANNELS", "SIDE", "computed"]

CHANNELS: Final = 16  # maps of a layer that are kept
SIDE: Final = 32  # pixels along each axis of a map that is kept in eight bits
LONG: Final = 1024  # values of what has one axis
PICTURE: Final = 112  # pixels along each axis of the picture of a sample
EXACT: Final = 8192  # values of a layer that is kept whole and exact
EXACT_IN_ALL: Final = 32_768  # of all such layers, for one sample
WEIGHTS: Final = 65_536  # of a layer that is kept whole
WEIGHTS_IN_ALL: Final = 131_072
FILTERS: Final = 10_000  # weights of a convolution that are kept to be looked at, also where its values are not exact
WORK: Final = 8_000_000  # MACs of the layers that a page works out for one sample: tens of milliseconds
MOST_BYTES: Final = 8_000_000  # of all samples
STRONGEST: Final = 10  # connections of a unit whose weights are not kept
UNITS: Final = 5  # of a dense layer, of which such connections are kept
CLASSES: Final = 10  # for which is shown why

Data = dict[str, Any]


@dataclass(frozen=True)
class _Kept:
    """How the values of one layer, or of the input, are kept."""

    name: str
    number: int
    shape: Shape
    exact: bool
    follows: bool  # from what it reads, which is exact too: the page works it out

    @property
    def kept(self) -> Shape:
        """The shape of what is kept of it."""
        if self.exact:
            return self.shape
        if len(self.shape) == 1:
            return (min(self.shape[0], LONG),)
        channels = min(self.shape[0], CHANNELS)
        if len(self.shape) == 2:
            return (channels, min(self.shape[1], LONG))
        return (channels, *(min(size, SIDE) for size in self.shape[-2:]))

    def reduce(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is kept of its values: the first channels, and of volumes the plane in the middle."""
        if self.exact:
            return values
        if values.ndim == 1:
            return values[:LONG]
        values = values[:CHANNELS]
        if values.ndim == 2:
            return shrunk(values[:, None], LONG)[:, 0]
        if values.ndim == 4:
            values = values[:, values.shape[1] // 2]
        return shrunk(values, SIDE)


def computed(
    subject: Subject,
    samples: Samples,
    *,
    classes: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> Data:
    """All that a page shows of a network at work on samples, as plain data.

    Layers of few values are there exactly, so that every sum can be shown in numbers. Of these are written only those
    that a page cannot work out: what it reads, what has no rule or no weights there, and the outputs. Of the others are
    the first 16 maps, of at most 32 by 32, in eight bits. Samples are recorded until they come to 8 MB of text.
    Raises MissingExtraError without torch and onnxruntime, and CnnspecError for weights of another network.
    """
    graph = subject.network.graph.network("inference")
    weights = subject.weights
    engine = every_layer(graph, weights)
    numbers = {node.name: number for number, node in enumerate(graph)}
    rules = {node.name: rule for node in graph if (rule := rule_of(node)) is not None}
    exact = _exact(graph, rules)
    given = _weights_kept(graph, exact, rules)
    kept = _all_kept(graph, exact, _following(graph, exact, rules, given), rules)
    task = graph.task
    is_classifier = len(graph.outputs) == 1 and task is not None and task.name == "classification"
    reasons = Reasons(graph, weights, len(samples)) if is_classifier and len(graph.input_shape) == 3 else None
    dense = [node for node in graph if isinstance(node.op, Linear) and len(node.shape) == 1 and node.name not in given]
    inputs = samples.inputs(graph)
    found: list[Data] = []
    size = 0
    for row, values in enumerate(engine.one_by_one(inputs)):
        values[INPUT] = inputs[row]
        packed = Packed()
        ranges = _pack_layers(kept, values, packed)
        sample: Data = {"name": samples.names[row], "label": samples.labels[row], "ranges": ranges}
        if samples.raw.dtype == np.uint8:
            picture = shrunk(samples.raw[row].transpose(2, 0, 1).astype(np.float32), PICTURE).round().astype(np.uint8)
            packed.add(picture)
            sample["picture"] = list(picture.shape)
        if dense:
            sample["strong"] = {str(numbers[node.name]): _strongest(node, weights, values) for node in dense}
        if reasons is not None:
            sample["why"] = _why_data(reasons(inputs[row], _classes_asked(values[graph.outputs[0]])), packed)
        sample["data"] = packed.text()
        size += len(sample["data"])
        if found and size > MOST_BYTES:
            report(f"{len(found)} of {len(samples)} samples are shown: more would be over {MOST_BYTES // 10**6} MB")
            break
        found.append(sample)
    layer = reasons.layer if reasons is not None else None
    return {
        "origin": subject.origin,
        "trained": subject.trained,
        "classes": _class_names(classes, graph) if is_classifier else [],
        "softmax": is_classifier and not ends_in_softmax(graph),
        "tensors": [
            {"layer": each.number, "shape": list(each.kept), "exact": each.exact, "follows": each.follows}
            for each in kept
        ],
        "rules": {str(numbers[name]): rule for name, rule in rules.items()},
        "weights": _weights_data(given, weights, numbers),
        "camLayer": None if layer is None else numbers[layer],
        "samples": found,
    }


def _pack_layers(kept: Sequence[_Kept], values: Values, packed: Packed) -> list[list[float]]:
    """Pack what is kept of each layer's values; the least and the largest of those in eight bits."""
    ranges: list[list[float]] = []
    for each in kept:
        if each.follows:
            continue
        part = each.reduce(values[each.name])
        if each.exact:
            packed.add(part)
        else:
            in_bytes, low, high = quantized(part)
            packed.add(in_bytes)
            ranges.append([low, high])
    return ranges


def _weights_data(given: dict[str, list[str]], weights: Weights, numbers: dict[str, int]) -> Data:
    """The tensors that are kept of each layer, one after the other."""
    packed = Packed()
    for key in (key for keys in given.values() for key in keys):
        packed.add(np.asarray(weights[key], np.float32))
    layers = [
        {"layer": numbers[name], "tensors": [[key.rpartition(".")[2], list(weights[key].shape)] for key in keys]}
        for name, keys in given.items()
    ]
    return {"layers": layers, "data": packed.text()}


def _class_names(classes: Sequence[str], graph: Graph) -> list[str]:
    """The names of a classifier's outputs: those given, its own, or else their numbers."""
    names = list(classes or graph.classes)
    return names if len(names) == graph.output_shape[0] else list(map(str, range(graph.output_shape[0])))


def _exact(graph: Graph, rules: dict[str, Data]) -> set[str]:
    """The layers of few values, and those that only hand them on; `input` may be among them."""
    left = EXACT_IN_ALL
    found: set[str] = set()
    shapes = [(INPUT, INPUT, graph.input_shape), *((node.name, node.inputs[0], node.shape) for node in graph)]
    for name, read, shape in shapes:
        if _hands_on(rules.get(name)):
            is_exact = read in found
        elif is_exact := prod(shape) <= min(EXACT, left):
            left -= prod(shape)
        found |= {name} if is_exact else set()
    return found


def _hands_on(rule: Data | None) -> bool:
    """Whether a layer gives what it reads, and is not kept again."""
    return rule is not None and rule["by"] == "same"


def _following(graph: Graph, exact: set[str], rules: dict[str, Data], given: dict[str, list[str]]) -> set[str]:
    """The exact layers that a page works out of those before them; an output is kept, so that the answer is none."""
    left = WORK
    found = set()
    for node in graph:
        rule = rules.get(node.name)
        if rule is None or not follows(rule) or node.name in graph.outputs:
            continue
        is_there = exact.issuperset({node.name, *node.inputs}) and (not node.tensors or node.name in given)
        if is_there and node.macs <= left:
            left -= node.macs
            found.add(node.name)
    return found


def _all_kept(graph: Graph, exact: set[str], following: set[str], rules: dict[str, Data]) -> list[_Kept]:
    """How the input and the layers are kept."""
    shapes = [(INPUT, graph.input_shape), *((node.name, node.shape) for node in graph)]
    return [
        _Kept(name, number, shape, name in exact, name in following)
        for number, (name, shape) in enumerate(shapes, -1)
        if not _hands_on(rules.get(name))
    ]


def _weights_kept(graph: Graph, exact: set[str], rules: dict[str, Data]) -> dict[str, list[str]]:
    """The `state_dict` names of what is kept of each layer."""
    left = WEIGHTS_IN_ALL
    found = {}
    for node in graph:
        keys = [node.tensor_name(key) for key in node.tensors if key != "num_batches_tracked"]
        count = sum(prod(shape) for key, shape in node.tensors.items() if key != "num_batches_tracked")
        rule = rules.get(node.name)
        if not keys or rule is None or count > left:
            continue
        is_small = rule["by"] == "conv" and count <= FILTERS
        if is_small or (node.name in exact and count <= WEIGHTS):
            found[node.name] = keys
            left -= count
    return found


def _strongest(node: Node, weights: Weights, values: Values) -> list[Data]:
    """The strongest connections of the units of a dense layer that have the largest values."""
    matrix, own = weights[node.tensor_name("weight")], values[node.name]
    read = values[node.inputs[0]].ravel()
    bias = weights[node.tensor_name("bias")] if "bias" in node.tensors else np.zeros(len(own), np.float32)
    found = []
    for unit in np.argsort(-own, kind="stable")[:UNITS].tolist():
        terms = matrix[unit] * read
        places = np.argsort(-np.abs(terms), kind="stable")[:STRONGEST]
        found.append(
            {
                "unit": unit,
                "bias": float(bias[unit]),
                "terms": [[place, float(read[place]), float(matrix[unit, place])] for place in places.tolist()],
            }
        )
    return found


def _classes_asked(scores: NDArray[np.float32]) -> tuple[int, ...]:
    """The classes for which is shown why: all of few, or those with the highest scores."""
    if len(scores) <= CLASSES:
        return tuple(range(len(scores)))
    return tuple(np.argsort(-scores, kind="stable")[:CLASSES].tolist())


def _why_data(why: Why, packed: Packed) -> Data:
    """The maps in eight bits behind what is packed already, and what a page needs to read them."""
    found: Data = {"classes": list(why.classes)}
    for key, maps in (("cam", why.cam), ("occlusion", why.occlusion)):
        if maps is not None:
            low_bytes, low, high = quantized(maps)
            packed.add(low_bytes)
            found[key] = {"shape": list(maps.shape), "range": [low, high]}
    return found

"""The nodes of an ONNX graph as calls of a network, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from cnnspec.errors import CnnspecError, ShapeError
from cnnspec.foreign.cuts import named_by_cuts
from cnnspec.foreign.network import Call, Network, Reference, Stored
from cnnspec.foreign.primitives import Parameter, Primitive
from cnnspec.graph import INPUT
from cnnspec.onnx_backend.read_constants import fold_constants, is_foldable, shape_of
from cnnspec.onnx_backend.read_input import input_of
from cnnspec.onnx_backend.read_known import KnownTensors
from cnnspec.onnx_backend.read_layers import LAYERS
from cnnspec.onnx_backend.read_names import Names
from cnnspec.onnx_backend.read_patterns import with_patterns
from cnnspec.onnx_backend.read_pointwise import POINTWISE
from cnnspec.onnx_backend.read_shapes import SHAPES
from cnnspec.onnx_backend.read_tensors import KINDS, damaged, view_of
from cnnspec.onnx_backend.read_values import Activation, Known, Made, Missing, NodeView, Rule, Strung, Value
from cnnspec.onnx_backend.read_windows import POOLS
from cnnspec.onnx_backend.read_words import word_of
from cnnspec.ops import ArgumentError, Shape, make_op

__all__ = ["GraphReader"]

MAX_CALLS: Final = 20_000

_RULES: Final[Mapping[str, Rule]] = {**LAYERS, **POOLS, **SHAPES, **POINTWISE}
_QUANTIZED: Final = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
_CONTROL: Final = ("If", "Loop", "Scan", "SequenceMap")


class GraphReader:
    """Reads one graph.

    `made_by` says for each call which tensor of the file has its value, and how that lies here, batch included.
    """

    def __init__(self, model: Any, name: str, shown: str, input_shape: Shape = ()) -> None:
        """Raises UsageError where the file leaves the size of its input open and `input_shape` does not say it."""
        self.graph = model.graph
        self.name, self.shown = name, shown
        self.opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
        self.producer = str(model.producer_name)
        self.nodes = with_patterns(self.graph)
        self.names = Names(self.nodes, (tensor.name for tensor in self.graph.initializer))
        self.values: dict[str, Value] = {}
        self.calls: dict[str, Call] = {}
        self.made_by: dict[str, Stored] = {}
        self.worked_out: dict[str, Known] = {}  # tensors that the file computes and a layer has, by their names in it
        self.readers: dict[str, list[Any]] = {}
        self.gaps: list[str] = []  # calls that have no operator
        self.folded: list[str] = []  # convolutions that a norm was folded into
        self._numbers: dict[str, int] = {}  # the last by which a name was told from others
        self._biases: dict[int, str] = {}  # nodes that are part of the layer before them
        self.input = input_of(self.graph, shown, input_shape)
        self.batch, self.channels_last = self.input.batch, self.input.channels_last
        self.known = KnownTensors(self.graph, shown, self.opset, self.values)
        self.values[self.input.name] = Activation(INPUT, self.input.shape, self.input.order)

    # Reading --------------------------------------------------------------------------------------------------------

    def read(self) -> Network:
        """The network. Raises CnnspecError for a file that is damaged, or refused as a whole."""
        self.known.read_kept()
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
        self.known.read_computed(self.nodes)
        for node in self.nodes:
            if node.output and node.output[0] in self.values:
                continue
            if not self._read_node(node):
                break
            if len(self.calls) > MAX_CALLS:
                raise CnnspecError(f"{self.shown} has more than {MAX_CALLS:,} layers")
        outputs = self._outputs()
        calls, renamed = list(self.calls.values()), dict[str, str]()
        if not self.names.has_scopes and not any(call.gap for call in calls):  # gaps are told by the file's own names
            calls, renamed = named_by_cuts(calls, outputs, _word)
            self.made_by = {renamed.get(name, name): stored for name, stored in self.made_by.items()}
        return Network(
            self.name,
            self.input.shape,
            tuple(calls),
            tuple(renamed.get(name, name) for name in outputs),
            classes=self.names.classes,
            tensors=self._tensors(),
            notes=tuple(self._notes()),
            equal_once=True,
        )

    def _read_node(self, node: Any) -> bool:
        """Whether the reading goes on: where something is missing, what comes behind may make no sense."""
        kind = node.op_type
        if kind in _QUANTIZED or kind.startswith("QLinear"):
            raise CnnspecError(f"{self.shown} is quantised ({kind}), and numbers of 32 bits are read")
        if kind in _CONTROL:
            raise CnnspecError(f"{self.shown} has a control-flow operator ({kind}), which is not taken")
        if not node.output:
            raise damaged(self.shown, node, "it has no output")
        lost = [name for name in node.input if name and name not in self.values]
        if lost:
            raise damaged(self.shown, node, f"it reads `{lost[0]:.60}`, which nothing gives before it")
        view = view_of(node, self.values, self.opset, self.shown)
        try:
            self._take(node, view)
        except (Missing, ArgumentError, ShapeError) as missing:
            message = missing.message if isinstance(missing, ShapeError) else str(missing)
            self._gap(node, view, message)
        except Exception as error:  # the file is anybody's: what its maker broke shows in many ways
            if self.gaps:
                return False
            raise damaged(self.shown, node, error) from error
        return True

    def _take(self, node: Any, view: NodeView) -> None:
        if node.op_type == "Shape" and isinstance(view.value(0), Activation):
            sizes = shape_of(view, view.activation().sizes(self.batch))
            self.values[node.output[0]] = Known(node.output[0], sizes.shape, lambda: sizes, "i")
            return
        if is_foldable(node.op_type) and not any(isinstance(value, (Activation, Strung)) for value in view.values):
            self.values[node.output[0]] = fold_constants(view)
            return
        rule = _RULES.get(node.op_type)
        if rule is None or node.domain == "com.microsoft":
            where = f" of `{node.domain}`" if node.domain else ""
            raise Missing(f"there is no operator for ONNX's {node.op_type}{where}")
        result = rule(self, view)
        results = result if isinstance(result, list) else [result]
        for output, each in zip(node.output, results, strict=False):
            if isinstance(each, (Activation, Strung)):
                self.values[output] = each
            else:
                given = self.add(view, word_of(node.op_type), each, output=self._biases.get(id(node), output))
                self.values[output] = given
                if id(node) in self._biases:
                    self.values[self._biases[id(node)]] = given

    def _gap(self, node: Any, view: NodeView, message: str) -> None:
        reads = tuple(value for value in view.values if isinstance(value, Activation))
        name = self.free(self.names.name(node, (), [read.name for read in reads], word_of(node.op_type)))
        self.calls[name] = Call(name, node.op_type, tuple(read.name for read in reads), None, message)
        self.gaps.append(name)
        for output in node.output:  # what reads it is read as far as its shape can be guessed
            shape = reads[0].shape if reads else self.input.shape
            self.values[output] = Activation(name, shape, reads[0].order if reads else ())

    def _outputs(self) -> tuple[str, ...]:
        if self.gaps:  # they are what is told, whoever reads them
            return tuple(self.gaps)
        found: list[str] = []
        for output in self.graph.output:
            value = self.values.get(output.name)
            if not isinstance(value, Activation):
                raise CnnspecError(f"the output `{output.name:.60}` of {self.shown} depends on no input")
            found.append(value.name)
        if not found or INPUT in found:
            raise CnnspecError(f"{self.shown} gives back no layer")
        return tuple(dict.fromkeys(found))

    # What rules ask for ---------------------------------------------------------------------------------------------

    def add(self, node: NodeView, word: str, made: Made, *, inner: bool = False, output: str = "") -> Activation:
        """A call of the network; `inner` is one of which the file has no tensor."""
        shape = (
            made.shape if isinstance(made.op, Primitive) else made.op.out_shape(*(read.shape for read in made.reads))
        )
        assert shape is not None
        keys = [each.key for each in made.weights.values() if isinstance(each, Stored)]
        reads = [read.name for read in made.reads]
        name = self.free(
            self.names.name(node.proto, keys, reads, word) if not inner else self._beside(node, reads, word)
        )
        call = Call(name, node.kind, tuple(reads), made.op, "", made.weights, shape, inner)
        self.calls[name] = call
        if node.kind in ("Conv", "ConvTranspose") and keys and self.names.is_folded(node.proto, keys[0]):
            self.folded.append(name)
        if not inner:
            self.made_by[name] = _lies(output, made, shape)
        return Activation(name, shape, made.order, made.columns)

    def _beside(self, node: NodeView, reads: Iterable[str], word: str) -> str:
        """A name beside the call that a node is going to be."""
        keys = [value.reference.key for value in node.values if isinstance(value, Known) and value.reference]
        scope = self.names.name(node.proto, keys, reads, word).rpartition(".")[0]
        return f"{scope}.{word}" if scope else word

    def plain(self, read: Activation) -> Activation:
        """A value with its axes as they are in the file."""
        if read.is_plain:
            return read
        op_name = f"{read.name}_permute" if read.name != INPUT else "permute"
        found = self.calls.get(op_name)
        op = make_op("Permute", dims=read.order)
        shape = op.out_shape(read.shape)
        if found is None or found.op != op:
            name = self.free(op_name)
            self.calls[name] = found = Call(name, "Transpose", (read.name,), op, "", {}, shape, inner=True)
        return Activation(found.name, shape)

    def reference(self, known: Known) -> Reference:
        """A tensor that a layer has. What the file works out is one of its own."""
        if known.reference is not None:
            return known.reference
        self.worked_out[known.name] = known
        return Stored(known.name)

    def parameter(self, node: NodeView, known: Known) -> str:
        """A call that gives a tensor of the file, and its name."""
        reference = self.reference(known)
        assert isinstance(reference, Stored)
        word = "scale" if node.kind == "Mul" else "bias"
        name = self.free(self.names.parameter(node.proto, reference.key, word))
        self.calls[name] = Call(
            name, node.kind, (), Parameter(known.shape), "", {"": reference}, known.shape, inner=True
        )
        return name

    def bias_after(self, node: NodeView, features: int) -> Known | None:
        """The bias that the one node after a product adds, which is part of it then."""
        (output,) = node.proto.output
        readers = self.readers.get(output, [])
        if len(readers) != 1 or readers[0].op_type != "Add" or any(output == each.name for each in self.graph.output):
            return None
        others = [name for name in readers[0].input if name != output]
        bias = self.values.get(others[0]) if len(others) == 1 else None
        if not isinstance(bias, Known) or bias.size != features or bias.shape[-1:] != (features,):
            return None
        self._biases[id(node.proto)] = readers[0].output[0]
        return bias

    def free(self, name: str) -> str:
        """The name, or with the next number one that is not used."""
        found, number = name, self._numbers.get(name, 1)
        while found in self.calls or found == INPUT:
            number += 1
            found = f"{name}_{number}"
        self._numbers[name] = number
        return found

    # What has to be said --------------------------------------------------------------------------------------------

    def _tensors(self) -> dict[str, Shape]:
        """The tensors of the file, without those that were only read as numbers."""
        used = {each.key for call in self.calls.values() for each in call.weights.values() if isinstance(each, Stored)}
        kept = {
            tensor.name: tuple(tensor.dims)
            for tensor in self.graph.initializer
            if KINDS.get(tensor.data_type) == "f" and (tensor.name in used or tensor.name not in self.known.numbers)
        }
        return kept | {key: known.shape for key, known in self.worked_out.items()}

    def _notes(self) -> Iterable[str]:
        if self.gaps and any(output.name not in self.values for output in self.graph.output):
            yield "what comes behind the first of them could not be looked at to the end"
        convs = sum(call.source_op in ("Conv", "ConvTranspose") for call in self.calls.values())
        owners = Counter(
            each.key
            for call in self.calls.values()
            for key, each in call.weights.items()
            if key == "weight" and isinstance(each, Stored) and call.source_op in LAYERS
        )
        if several := [key for key, count in owners.items() if count > 1]:
            yield (
                f"{len(several)} tensors are those of several layers, as `{several[0]}`: a file keeps equal ones once,"
                " and here each layer has its own"
            )
        if self.folded:
            yield (
                f"the norms behind {len(self.folded)} of {convs} convolutions were folded into them when the file"
                " was made: the weights are good for inference, and a training of them would lack the norms"
            )


def _word(call: Call) -> str:
    flat = call.source_op == "Reshape" and call.shape is not None and len(call.shape) == 1
    if not call.inputs and call.source_op in ("Mul", "Add"):
        return "scale" if call.source_op == "Mul" else "bias"
    return "flatten" if flat else word_of(call.source_op)


def _lies(output: str, made: Made, shape: Shape) -> Stored:
    """How the tensor of the file lies as the value of a call: without a word for the batch, which is in front."""
    if made.columns:
        channels = made.columns[-1]
        last = len(made.columns)
        assert shape == (int(np.prod(made.columns)),)
        return Stored(
            output, (-1, *made.columns), (0, last, *range(1, last)), (-1, channels * int(np.prod(made.columns[:-1])))
        )
    if made.order:
        order = tuple(made.order.index(axis) for axis in range(len(made.order)))
        return Stored(output, None, order)
    return Stored(output)

"""A Keras model's configuration as a network. Nothing is run, and no class of it is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod, sqrt
from typing import Any, Final

from cnnspec.errors import CnnspecError, ShapeError, UsageError
from cnnspec.foreign.keras_config import KerasConfig, KerasLayer
from cnnspec.foreign.keras_layers import LAYERS, variables_of
from cnnspec.foreign.keras_moves import MOVES, activation_of
from cnnspec.foreign.keras_names import is_made_up, named_by_layers
from cnnspec.foreign.keras_values import KerasGap, Seen
from cnnspec.foreign.network import Call, Network, Reference, Stored
from cnnspec.foreign.primitives import Primitive
from cnnspec.graph import INPUT
from cnnspec.ops import AnyOp, ArgumentError, Shape, show_shape

__all__ = ["KerasRead", "Scaling", "read_keras"]

_RULES: Final = {**LAYERS, **MOVES}
_SCALINGS: Final = ("Rescaling", "Normalization")
_BYTE: Final = 255.0
Numbers = Callable[[str], Sequence[float] | None]  # of a variable by its key; None where nobody has them
_FUNCTIONS: Final = {  # of Keras that have no arguments, and the activation that each is
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
}


@dataclass(frozen=True)
class Scaling:
    """What happens to pixels before the first layer: `factor * x + shift`, for each channel or for all."""

    factor: tuple[float, ...] = (1.0,)
    shift: tuple[float, ...] = (0.0,)

    def then(self, factor: Sequence[float], shift: Sequence[float]) -> Scaling:
        """With another behind it. Raises ValueError where the channels do not fit."""
        count = max(map(len, (self.factor, factor, shift)))
        old_factor, old_shift, new_factor, new_shift = (
            tuple(each) * (count if len(each) == 1 else 1) for each in (self.factor, self.shift, factor, shift)
        )
        return Scaling(
            tuple(a * b for a, b in zip(old_factor, new_factor, strict=True)),
            tuple(s * f + t for s, f, t in zip(old_shift, new_factor, new_shift, strict=True)),
        )

    @property
    def mean(self) -> tuple[float, ...]:
        """Of pixels from 0 to 1, as a header has it; empty where nothing is done to them."""
        means = tuple(
            _rounded(-shift / (_BYTE * factor)) for factor, shift in zip(self.factor, self.shift, strict=True)
        )
        return () if self.is_plain else means

    @property
    def std(self) -> tuple[float, ...]:
        """Of pixels from 0 to 1, as a header has it."""
        return () if self.is_plain else tuple(_rounded(1 / (_BYTE * factor)) for factor in self.factor)

    @property
    def is_plain(self) -> bool:
        """Whether it only makes bytes numbers from 0 to 1."""
        return all(abs(f * _BYTE - 1) < 1e-9 for f in self.factor) and not any(self.shift)


@dataclass(frozen=True)
class KerasRead:
    """A model that was read.

    `made_by` says for each call which layer gives its value, and how that lies here, the batch included. `variables`
    has the layer of each tensor and its number among the layer's.
    """

    network: Network
    scaling: Scaling | None  # that is in the header
    channels_last: bool
    made_by: Mapping[str, Stored]
    variables: Mapping[str, tuple[KerasLayer, int]] = field(repr=False)


def read_keras(
    config: KerasConfig, shown: str, input_shape: Shape = (), numbers: Numbers = lambda key: None
) -> KerasRead:
    """What a model computes. `numbers` gives those of variables, where there are any.

    Raises CnnspecError for a model that is damaged or refused, and UsageError for an input that does not fit.
    """
    return _Reader(config, shown, input_shape, numbers).read()


class _Reader:
    def __init__(self, config: KerasConfig, shown: str, input_shape: Shape, numbers: Numbers) -> None:
        self.config, self.shown, self.numbers = config, shown, numbers
        self.calls: dict[str, Call] = {}
        self.made_by: dict[str, Stored] = {}
        self.values: dict[str, Seen] = {}
        self.variables: dict[str, tuple[KerasLayer, int]] = {}
        self.scaling: Scaling | None = None
        self.notes: list[str] = []
        self.gaps: list[str] = []
        self.made_up: set[str] = set()  # calls whose names say nothing
        # Layers whose value is that of a model around them: from outside, only that can be asked for.
        self.given_by = {layer: model for model, layer in config.models.items() if "." not in model}
        told = [layer.config.get("data_format") for layer in config.layers]
        formats = {each for each in told if isinstance(each, str)}
        if len(formats) > 1:
            raise CnnspecError(f"{shown} has layers with their channels first and layers with them last")
        self.channels_last = formats != {"channels_first"}
        self.input_shape = self._read_input(input_shape)

    def read(self) -> KerasRead:
        """The network."""
        self._read_scalings()
        for layer in self.config.layers:
            if layer.path in self.values:
                continue
            self._refuse_shared(layer)
            values = [self.values[read] for read in layer.reads]
            try:
                self.values[layer.path] = self._result(layer, values)
            except (KerasGap, ArgumentError, ShapeError) as missing:
                message = missing.message if isinstance(missing, ShapeError) else str(missing)
                self._gap(layer, values, message)
            except (
                KeyError,
                TypeError,
                ValueError,
                IndexError,
                ZeroDivisionError,
                OverflowError,
                StopIteration,
            ) as error:
                if self.gaps:
                    break
                raise CnnspecError(
                    f"{self.shown} is damaged: {layer.kind:.40} `{layer.path:.60}`:"
                    f" {type(error).__name__}: {error!s:.100}"
                ) from None
        return self._network()

    def _network(self) -> KerasRead:
        lost = [path for path in self.config.outputs if path not in self.values]
        if lost and not self.gaps:
            raise CnnspecError(f"{self.shown} is damaged: its output `{lost[0]:.60}` is not there")
        outputs = self.gaps or [self.values[path].name for path in self.config.outputs]
        if not outputs or INPUT in outputs:
            raise CnnspecError(f"{self.shown} gives back no layer")
        for layer, number, word in self._all_variables():
            self.variables[f"{layer.path}/{word}"] = (layer, number)
        calls, renamed, kinds = list(self.calls.values()), dict[str, str](), dict[str, str]()
        if not self.gaps:  # which are told by Keras's own names
            calls, renamed, kinds = named_by_layers(calls, outputs, self.made_up)
        mean, std = (self.scaling.mean, self.scaling.std) if self.scaling else ((), ())
        if len(mean) == 1:
            mean, std = mean * self.input_shape[0], std * self.input_shape[0]
        network = Network(
            self.config.name,
            self.input_shape,
            tuple(calls),
            tuple(dict.fromkeys(renamed.get(name, name) for name in outputs)),
            classes=kinds,
            mean=mean,
            std=std,
            notes=tuple(self.notes),
        )
        made_by = {renamed.get(name, name): stored for name, stored in self.made_by.items()}
        return KerasRead(network, self.scaling, self.channels_last, made_by, self.variables)

    def _all_variables(self) -> list[tuple[KerasLayer, int, str]]:
        return [
            (layer, number, word)
            for layer in self.config.layers
            if layer.number == 0 and not (self.scaling and layer.kind in _SCALINGS)
            for number, word in enumerate(variables_of(layer))
        ]

    def _read_input(self, wanted: Shape) -> Shape:
        if len(self.config.inputs) != 1:
            raise CnnspecError(f"{self.shown} reads {len(self.config.inputs)} inputs, and a spec has one")
        layer = next((each for each in self.config.layers if each.path == self.config.inputs[0]), None)
        given = layer.config.get("batch_shape", layer.config.get("batch_input_shape")) if layer else None
        if not isinstance(given, list) or not 2 <= len(given) <= 5:
            raise CnnspecError(f"the input of {self.shown} is no batch of images or signals")
        sizes = [size if type(size) is int and size > 0 else 0 for size in given[1:]]
        shape = tuple([sizes[-1], *sizes[:-1]] if self.channels_last else sizes)
        if wanted:
            if len(wanted) != len(shape) or any(own not in (0, new) for own, new in zip(shape, wanted, strict=True)):
                told = "x".join(str(size or "?") for size in shape)
                raise UsageError(f"{self.shown} reads {told}, not {show_shape(wanted)}")
            shape = wanted
        if 0 in shape:
            raise UsageError(f"{self.shown} does not say the size of its input", hint="`--input 3x224x224` says it")
        if max(shape) >= 2**31:
            raise CnnspecError(f"{self.shown} is damaged: its input is {show_shape(shape)}")
        self.values[self.config.inputs[0]] = Seen(INPUT, shape)
        return shape

    def _read_scalings(self) -> None:
        """What is done to pixels before anything else is said by a header."""
        place = self.config.inputs[0]
        while True:
            readers = [layer for layer in self.config.layers if place in layer.reads]
            if len(readers) != 1 or readers[0].kind not in _SCALINGS or readers[0].path in self.config.outputs:
                break
            factor, shift = self._scaling(readers[0])
            try:
                self.scaling = (self.scaling or Scaling()).then(factor, shift)
            except ValueError:
                raise CnnspecError(
                    f"{self.shown} is damaged: `{readers[0].path:.60}` is not for its channels"
                ) from None
            place = readers[0].path
            self.values[place] = Seen(INPUT, self.input_shape)
        if self.scaling is not None:
            if not all(map(_is_factor, self.scaling.factor)) or len(self.scaling.factor) not in (
                1,
                self.input_shape[0],
            ):
                raise CnnspecError(f"{self.shown} is damaged: it scales its pixels by {self.scaling.factor[:4]}")
            self.notes.append("what it does to pixels from 0 to 255 is in the header: the spec takes them from 0 to 1")

    def _scaling(self, layer: KerasLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
        config = layer.config
        try:
            if layer.kind == "Rescaling":
                return _floats(config["scale"]), _floats(config.get("offset", 0.0))
            if config.get("invert"):
                raise CnnspecError(f"{self.shown}: `{layer.path}` undoes a normalisation, which no header says")
            mean, variance = config.get("mean"), config.get("variance")
            if mean is None or variance is None:
                mean, variance = self.numbers(f"{layer.path}/mean"), self.numbers(f"{layer.path}/variance")
            if mean is None or variance is None:
                self.notes.append(f"`{layer.path}` keeps what it takes off with the weights: nothing is taken off here")
                return (1.0,), (0.0,)
            means, spreads = _floats(mean), tuple(max(sqrt(each), 1e-7) for each in _floats(variance))
            if len(means) != len(spreads):
                raise ValueError("mean and variance are not for the same channels")
            return tuple(1 / each for each in spreads), tuple(-m / s for m, s in zip(means, spreads, strict=True))
        except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise CnnspecError(f"{self.shown} is damaged: {layer.kind} `{layer.path:.60}`: {error!s:.100}") from None

    def _refuse_shared(self, layer: KerasLayer) -> None:
        if layer.calls > 1 and variables_of(layer):
            raise CnnspecError(
                f"{self.shown} calls `{layer.path:.60}` {layer.calls} times with the same weights,"
                " and layers of a spec share none"
            )

    def _result(self, layer: KerasLayer, values: list[Seen]) -> Seen:
        if any(read not in self.values for read in layer.reads):
            raise ValueError("what it reads is not there")
        if layer.is_function and layer.kind in _FUNCTIONS:
            config = {**layer.config, "activation": _FUNCTIONS[layer.kind]}
            layer = replace(layer, kind="Activation", config=config, is_function=False)
        rule = _RULES.get(layer.kind)
        if layer.kind.startswith("Random"):
            self.notes.append(f"`{layer.path}` changes images in training only, and is left out")
            return values[0]
        if rule is None or not values:
            raise KerasGap(f"there is no operator for Keras's {layer.kind:.60}")
        if layer.is_function and layer.kind not in ("Add", "Multiply", "Subtract"):
            raise KerasGap(f"there is no operator for Keras's function {layer.kind:.60}")
        made = rule(self, layer, values)
        call = self.calls.get(made.name)
        if call is not None and not call.inner:
            self.made_by.setdefault(made.name, self._lies(layer, made))
        return made

    def _lies(self, layer: KerasLayer, made: Seen) -> Stored:
        """How Keras's value lies as ours."""
        path = self.given_by.get(layer.path, layer.path)
        if made.columns:
            last = len(made.columns)
            return Stored(path, (-1, *made.columns), (0, last, *range(1, last)), (-1, prod(made.columns)))
        count = len(made.shape)
        if self.channels_last and count > 1:
            return Stored(path, None, (0, count, *range(1, count)))
        return Stored(path)

    def _gap(self, layer: KerasLayer, values: Sequence[Seen], message: str) -> None:
        name = self._free(layer.path)
        self.calls[name] = Call(name, layer.kind, tuple(value.name for value in values), None, message)
        self.gaps.append(name)
        self.values[layer.path] = Seen(name, values[0].shape if values else self.input_shape)

    # What rules ask for ---------------------------------------------------------------------------------------------

    def add(
        self,
        layer: KerasLayer,
        op: AnyOp | Primitive,
        reads: Sequence[Seen],
        *,
        word: str = "",
        weights: Mapping[str, Reference] | None = None,
        shape: Shape | None = None,
        columns: Shape = (),
    ) -> Seen:
        """A call. With a `word` it is one on the way, named after the layer and the word."""
        if not isinstance(op, Primitive):
            shape = op.out_shape(*(read.shape for read in reads))
        assert shape is not None
        name = self._free(f"{layer.path}_{word}" if word else layer.path)
        inputs = tuple(read.name for read in reads)
        inner = bool(word) or (bool(layer.scope) and layer.path not in self.given_by)
        self.calls[name] = Call(name, layer.kind, inputs, op, "", dict(weights or {}), shape, inner=inner)
        if is_made_up(layer):
            self.made_up.add(name)
        return Seen(name, shape, columns)

    def activated(self, layer: KerasLayer, activation: Any, value: Seen) -> Seen:
        """A value behind the activation that a layer has inside, whose value is then the layer's."""
        op = activation_of(activation, value.shape)
        if op is None:
            return value
        call = self.calls[value.name]
        self.calls[value.name] = Call(
            call.name, call.source_op, call.inputs, call.op, "", call.weights, call.shape, inner=True
        )
        name = self._free(f"{layer.path}_{type(op).__name__.lower()}")
        self.calls[name] = Call(name, layer.kind, (value.name,), op, "", {}, value.shape, inner=call.inner)
        if value.name in self.made_up:
            self.made_up.add(name)
        return Seen(name, value.shape, value.columns)

    def _free(self, name: str) -> str:
        found, number = name, 1
        while found in self.calls or found == INPUT:
            number += 1
            found = f"{name}_{number}"
        return found


def _floats(given: Any) -> tuple[float, ...]:
    """Numbers that are written alone or in lists."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return (float(given),)
    return tuple(number for each in given for number in _floats(each))


def _is_factor(value: float) -> bool:
    return 1e-12 < abs(value) < 1e12


def _rounded(value: float) -> float:
    return float(f"{value:.8g}") + 0.0

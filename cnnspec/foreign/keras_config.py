"""The configuration of a Keras model as a list of layers: nested models are taken apart, and no class is looked up."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cnnspec.errors import CnnspecError

__all__ = ["KerasConfig", "KerasLayer", "read_config"]

MAX_LAYERS: Final = 20_000
MAX_DEPTH: Final = 32
_MODELS: Final = ("Functional", "Sequential", "Model")
_CODE: Final = ("Lambda", "TFOpLambda", "SlicingOpLambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer")


@dataclass(frozen=True)
class KerasLayer:
    """One layer. `path` has the names of the models that it is in; `reads` are paths of layers."""

    path: str
    kind: str
    config: Mapping[str, Any] = field(repr=False)
    reads: tuple[str, ...]
    scope: tuple[str, ...]  # models around it
    calls: int = 1  # how often it is called
    number: int = 0  # of this call
    numbers: tuple[float, ...] = ()  # among its arguments
    is_function: bool = False  # one of Keras's functions, and no layer


@dataclass(frozen=True)
class KerasConfig:
    """A model: its layers in running order, the one that is its input, and those that are its outputs."""

    name: str
    layers: tuple[KerasLayer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    models: Mapping[str, str] = field(default_factory=dict)  # models in it, and the layers that give their values


def read_config(document: object, shown: str) -> KerasConfig:
    """A model's configuration. Raises CnnspecError for one that is damaged, and for what would have to be run."""
    _refuse_code(document, shown)
    reader = _Reader(shown)
    try:
        inputs, outputs = reader.model(document, (), None, 0)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise CnnspecError(
            f"{shown} is no configuration of a Keras model: {type(error).__name__}: {error!s:.100}"
        ) from None
    name = document["config"].get("name") if isinstance(document, dict) else None
    return KerasConfig(
        str(name or "model"), tuple(reader.in_order()), inputs, tuple(map(reader.resolved, outputs)), reader.models()
    )


def _refuse_code(document: object, shown: str) -> None:
    """Raise CnnspecError for classes that are not Keras's own: their code is not in the file, and would be run."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            kind, module = part.get("class_name"), part.get("module")
            owner, mark, _ = str(part.get("registered_name")).partition(">")
            if mark and kind is not None and kind != "function" and module is None and owner != "keras":
                module = owner
            if kind in _CODE:
                raise CnnspecError(f"{shown} has a layer `{kind}`, which is code of its own: such files are refused")
            if kind is None or kind == "function" or module in (None, "builtins"):
                continue
            if not isinstance(module, str) or module.partition(".")[0] != "keras":
                raise CnnspecError(
                    f"{shown} wants the class `{kind!s:.60}` of `{module!s:.60}`, which is not Keras's:"
                    " its code is not in the file"
                )


class _Reader:
    """Takes models apart."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.layers: dict[str, KerasLayer] = {}
        self.nested: list[str] = []
        self.same: dict[str, str] = {}  # nested models and their inputs, and whose value they have

    def model(
        self, document: Any, scope: tuple[str, ...], reads: Sequence[str] | None, depth: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The inputs and outputs of a model whose layers are added. `reads` is what takes the place of its inputs."""
        kind, config = document["class_name"], document["config"]
        if depth > MAX_DEPTH:
            raise CnnspecError(f"{self.shown} nests models more than {MAX_DEPTH} deep")
        if kind not in _MODELS or "layers" not in config:
            raise CnnspecError(
                f"{self.shown} is a model of the class `{kind!s:.60}`, whose computation stands in its code only",
                hint="a model of the functional or sequential kind says it in its configuration",
            )
        if kind == "Sequential":
            return self._sequential(config["layers"], scope, reads, depth)
        return self._functional(config, scope, reads, depth)

    def _sequential(
        self, layers: Any, scope: tuple[str, ...], reads: Sequence[str] | None, depth: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        last = tuple(reads or ())
        inputs = last
        for layer in layers:
            path = ".".join((*scope, _name(layer)))
            if layer["class_name"] == "InputLayer":
                if reads is None:
                    self._add(path, layer, (), scope)
                    inputs = last = (path,)
                continue
            if not last:  # older files say the shape with the first layer only
                shape = layer["config"].get("batch_shape") or layer["config"].get("batch_input_shape")
                if shape is None:
                    hint = "`model.build((None, 224, 224, 3))` before it is saved says it"
                    raise CnnspecError(f"{self.shown} was never built, and does not say what it reads", hint=hint)
                first = ".".join((*scope, "input_layer"))
                self.layers[first] = KerasLayer(first, "InputLayer", {"batch_shape": shape}, (), scope)
                inputs = last = (first,)
            last = self._called(layer, path, [last], scope, depth)[0]
        return inputs, last

    def _functional(
        self, config: Any, scope: tuple[str, ...], reads: Sequence[str] | None, depth: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        inputs = [".".join((*scope, _clean(str(each[0])))) for each in _listed(config["input_layers"])]
        if reads is not None:
            if len(reads) != len(inputs):
                raise ValueError(f"{len(reads)} values for {len(inputs)} inputs")
            self.same.update(zip(inputs, reads, strict=True))
        for layer in config["layers"]:
            path = ".".join((*scope, _name(layer)))
            if layer["class_name"] == "InputLayer":
                if reads is None:
                    self._add(path, layer, (), scope)
                continue
            nodes = [[".".join((*scope, each)) for each in node] for node in _inbound(layer["inbound_nodes"])]
            self._called(layer, path, [tuple(node) for node in nodes], scope, depth)
        outputs = tuple(
            ".".join((*scope, _call(_clean(str(each[0])), int(each[1])))) for each in _listed(config["output_layers"])
        )
        return tuple(inputs), outputs

    def _called(
        self, layer: Any, path: str, calls: Sequence[tuple[str, ...]], scope: tuple[str, ...], depth: int
    ) -> list[tuple[str, ...]]:
        """What each call of a layer gives."""
        results: list[tuple[str, ...]] = []
        for number, reads in enumerate(calls):
            name = _call(path, number)
            if layer["class_name"] in _MODELS:
                inner = (*scope, _call(_name(layer), number))
                _, outputs = self.model(layer, inner, reads, depth + 1)
                if len(outputs) != 1:
                    raise CnnspecError(f"{self.shown}: the model `{path:.60}` in it has {len(outputs)} outputs")
                self.same[name] = outputs[0]
                self.nested.append(name)
                results.append(outputs)
            else:
                self._add(name, layer, reads, scope, len(calls), number)
                results.append((name,))
        return results

    def _add(
        self, path: str, layer: Any, reads: tuple[str, ...], scope: tuple[str, ...], calls: int = 1, number: int = 0
    ) -> None:
        if path in self.layers:
            raise ValueError(f"two layers are called {path}")
        if len(self.layers) >= MAX_LAYERS:
            raise CnnspecError(f"{self.shown} has more than {MAX_LAYERS:,} layers")
        if not isinstance(layer["config"], dict):
            raise TypeError(f"{path} has no configuration")
        numbers = _numbers(layer.get("inbound_nodes"), number)
        is_function = ".ops." in str(layer.get("module"))
        self.layers[path] = KerasLayer(
            path, str(layer["class_name"]), layer["config"], reads, scope, calls, number, numbers, is_function
        )

    def in_order(self) -> Iterator[KerasLayer]:
        """The layers, each behind what it reads, in the order of the file as far as that goes."""
        reads = {path: tuple(map(self.resolved, layer.reads)) for path, layer in self.layers.items()}
        waiting = Counter({path: len(set(each)) for path, each in reads.items()})
        readers: dict[str, list[str]] = {}
        for path, each in reads.items():
            for read in set(each):
                if read not in self.layers:
                    raise CnnspecError(f"{self.shown} is damaged: `{path:.60}` reads `{read:.60}`, which is not there")
                readers.setdefault(read, []).append(path)
        order = {path: number for number, path in enumerate(self.layers)}
        ready = [(order[path], path) for path in self.layers if not waiting[path]]
        heapq.heapify(ready)
        done = 0
        while ready:
            _, path = heapq.heappop(ready)
            layer = self.layers[path]
            done += 1
            yield replace(layer, reads=reads[path])
            for reader in readers.get(path, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    heapq.heappush(ready, (order[reader], reader))
        if done != len(self.layers):
            raise CnnspecError(f"{self.shown} is damaged: its layers read each other in a circle")

    def models(self) -> dict[str, str]:
        """The layer that gives the value of each model in it."""
        return {path: self.resolved(path) for path in self.nested}

    def resolved(self, path: str) -> str:
        """The layer that has the value of a path."""
        seen = set()
        while path in self.same and path not in seen:
            seen.add(path)
            path = self.same[path]
        return path


def _name(layer: Any) -> str:
    name = layer.get("name") or layer["config"]["name"]
    if not isinstance(name, str) or not name:
        raise ValueError("a layer has no name")
    return _clean(name)


def _clean(name: str) -> str:
    """A name as one part of a path."""
    return name.replace(".", "_").replace("/", "_")


def _call(path: str, number: int) -> str:
    """The name of one call of a layer."""
    return f"{path}_{number + 1}" if number else path


def _listed(ends: Any) -> list[Any]:
    """Ends of a model: one alone is written without its list."""
    return [ends] if ends and not isinstance(ends[0], list) else ends


def _inbound(nodes: Any) -> list[list[str]]:
    """What each call of a layer reads, by the names of layers. Both ways in which Keras has written it."""
    if nodes and isinstance(nodes[0], dict):
        return [
            [_history(part["config"]["keras_history"]) for part in _tensors([n["args"], n["kwargs"]])] for n in nodes
        ]
    return [[_history(each) for each in node] for node in nodes]


def _history(entry: Any) -> str:
    name, node, tensor = entry[:3]
    if tensor:
        raise ValueError(f"{name} has several results")
    return _call(_clean(str(name)), int(node))


def _tensors(arguments: Any) -> Iterator[Any]:
    """The tensors among the arguments of a call, in their order."""
    if isinstance(arguments, dict):
        if arguments.get("class_name") == "__keras_tensor__":
            yield arguments
        else:
            for each in arguments.values():
                yield from _tensors(each)
    elif isinstance(arguments, list):
        for each in arguments:
            yield from _tensors(each)


def _numbers(nodes: Any, number: int) -> tuple[float, ...]:
    """The numbers among the arguments of a call, which functions have."""
    if not nodes or not isinstance(nodes[0], dict):
        return ()
    return tuple(float(each) for each in nodes[number]["args"] if type(each) in (int, float))

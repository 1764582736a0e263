"""What is exported: a network with weights, from a spec or from a training run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.errors import CnnspecError, needs_extra
from cnnspec.graph import Graph, unwrapped
from cnnspec.language import Network
from cnnspec.ops.activation import Softmax
from cnnspec.tasks import Answers
from cnnspec.training import Run
from cnnspec.training.run_weights import find_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = Mapping[str, NDArray[np.float32 | np.int64]]  # by `state_dict` name; only counters are integers

__all__ = ["Subject", "checked_arrays", "ends_in_softmax", "macs", "of_known", "of_run", "of_spec", "read_arrays"]

SHOWN: Final = 8  # names listed in a message


@dataclass(frozen=True)
class Subject:
    """A network, its weights, and where both came from."""

    network: Network
    make_weights: Callable[[], Weights]  # called when they are needed: they can be large
    origin: str  # of the weights: a path, or `random, seed 0`
    stem: str  # what its files are called
    classes: tuple[str, ...] = ()
    training: Mapping[str, object] = field(default_factory=dict)
    run: Run | None = None
    trained: bool = True  # whether the weights are anything but random

    @property
    def answers(self) -> Answers | None:
        """How the network's outputs are read; None where it is not known what it is for."""
        if self.run is not None:
            return self.run.answers
        graph = self.network.graph
        task, options = graph.task, graph.task_options
        if task is None or options is None:
            return None if task is None else Answers(task.name)
        return Answers(task.name, options.numbers, options.units, ignore=options.ignore)

    @cached_property
    def weights(self) -> Weights:
        """The weights by `state_dict` name. Raises UsageError and CnnspecError where they cannot be read."""
        return self.make_weights()


def of_run(run: Run) -> Subject:
    """A finished training with its best weights. Raises CnnspecError where they are damaged."""
    path = run.weights
    result = run.result or {}
    keep = ("epochs", "best_epoch", *(f"{split}_{each.key}" for split in ("val", "test") for each in run.task.figures))
    training = {"data": run.config.data, **{key: result[key] for key in (*keep, "test_images") if key in result}}
    return Subject(run.network, partial(read_arrays, path, run.graph), str(path), run.name, run.classes, training, run)


def of_spec(network: Network, weights: str | os.PathLike[str] | None, seed: int) -> Subject:
    """A spec with the weights of a file or of a run, or with random ones."""
    if weights is not None:
        make, origin = partial(read_arrays, weights, network.graph), os.fspath(weights)
    else:
        from cnnspec.onnx_backend.initial import initial_weights

        make, origin = partial(initial_weights, network.graph, seed), f"random, seed {seed}"
    return Subject(network, make, origin, network.name, network.graph.classes, trained=weights is not None)


def of_known(
    network: Network, make_weights: Callable[[], Weights], origin: str, classes: tuple[str, ...] = ()
) -> Subject:
    """A spec with weights that are known, and the classes that these are of."""
    return Subject(network, make_weights, origin, network.name, classes or network.graph.classes)


def read_arrays(source: str | os.PathLike[str], graph: Graph) -> dict[str, NDArray[np.float32]]:
    """The weights for a network that a file or a run holds, as arrays in float32.

    What training starts from is taken: safetensors, which need no torch, what `torch.save` wrote, which does, or a run.
    Raises UsageError, and CnnspecError for what cannot be read, for tensors that are no floating-point numbers, and for
    those that the network has not; what is missing is seen later.
    """
    path = find_weights(source)
    loaded = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    return checked_arrays(unwrapped(loaded, graph.state_shapes()), graph, str(path))


def checked_arrays(arrays: Mapping[str, NDArray[Any]], graph: Graph, path: str) -> dict[str, NDArray[np.float32]]:
    """Weights by their names as float32. Raises CnnspecError as `read_arrays`; `path` is what they are called."""
    counters = ".num_batches_tracked"  # the only integers
    for name, array in arrays.items():
        if array.dtype.kind in "biuc" and not name.endswith(counters):
            raise CnnspecError(f"`{name}` in {path} is {array.dtype}, and weights are floating-point numbers")
    known = {node.tensor_name(key) for node in graph for key in node.tensors}
    left_over = [name for name in arrays if name not in known]
    if left_over:
        listed = ", ".join(left_over[:SHOWN]) + ", …" * (len(left_over) > SHOWN)
        raise CnnspecError(f"the weights in {path} do not fit the network; {len(left_over)} left over: {listed}")
    return {
        name: array if name.endswith(counters) else array.astype("float32", copy=False)
        for name, array in arrays.items()
    }


def _safetensors(path: Path) -> Mapping[str, NDArray[Any]]:
    with needs_extra("onnx"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    try:
        arrays: dict[str, NDArray[Any]] = load_file(path)
        return arrays
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CnnspecError(
            f"{path} cannot be read as safetensors: {error!s:.200}",
            hint="`safetensors.torch.save_file(model.state_dict(), path)` writes such a file",
        ) from None


def _torch_file(path: Path) -> Mapping[str, NDArray[Any]]:
    with needs_extra("train"):
        from cnnspec.torch_backend import read_weights
    tensors = read_weights(path)
    return {name: (each.float() if each.is_floating_point() else each).numpy() for name, each in tensors.items()}


def ends_in_softmax(graph: Graph) -> bool:
    """Whether the first output is probabilities by itself, without one more softmax."""
    op = graph.by_name[graph.outputs[0]].op
    return isinstance(op, Softmax) and op.dim in (1, -len(graph.output_shape))


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one image."""
    return graph.macs

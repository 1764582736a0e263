"""What is exported: a network with weights, from a spec or from a training run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.graph import Graph
from cnnspec.language import Network
from cnnspec.ops.activation import Softmax
from cnnspec.training import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = Mapping[str, NDArray[np.float32 | np.int64]]  # by `state_dict` name; only counters are integers

__all__ = ["Subject", "ends_in_softmax", "macs", "of_run", "of_spec", "read_arrays"]


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

    @cached_property
    def weights(self) -> Weights:
        """The weights by `state_dict` name. Raises UsageError and CnnspecError where they cannot be read."""
        return self.make_weights()


def of_run(run: Run) -> Subject:
    """A finished training with its best weights. Raises CnnspecError where they are damaged."""
    path = run.weights
    result = run.result or {}
    keep = ("epochs", "best_epoch", "val_accuracy", "test_accuracy", "test_images")
    training = {"data": run.config.data, **{key: result[key] for key in keep if key in result}}
    return Subject(run.network, partial(read_arrays, path), str(path), run.name, run.classes, training, run)


def of_spec(network: Network, weights: str | os.PathLike[str] | None, seed: int) -> Subject:
    """A spec with the weights of a safetensors file, or with random ones."""
    if weights is not None:
        make, origin = partial(read_arrays, weights), os.fspath(weights)
    else:
        from cnnspec.onnx_backend.initial import initial_weights

        make, origin = partial(initial_weights, network.graph, seed), f"random, seed {seed}"
    return Subject(network, make, origin, network.name, network.graph.classes, trained=weights is not None)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """The tensors of a safetensors file as arrays in float32, without torch. Raises UsageError and CnnspecError."""
    path = Path(path)
    if not path.is_file():
        what = f"{path} is no regular file, as weights are" if path.exists() else f"there is no file of weights {path}"
        raise UsageError(what)
    with needs_extra("onnx"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    try:
        loaded = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CnnspecError(
            f"{path} cannot be read as safetensors: {error!s:.200}",
            hint="`safetensors.torch.save_file(model.state_dict(), path)` writes such a file",
        ) from None
    counters = ".num_batches_tracked"  # the only integers
    return {
        name: array if name.endswith(counters) else array.astype("float32", copy=False)
        for name, array in loaded.items()
    }


def ends_in_softmax(graph: Graph) -> bool:
    """Whether the first output is probabilities by itself, without one more softmax."""
    op = graph.by_name[graph.outputs[0]].op
    return isinstance(op, Softmax) and op.dim in (1, -len(graph.output_shape))


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one image."""
    return graph.macs

"""Weights that are named otherwise than by a file or a run: those of a SOURCE, and those that libraries publish."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.api.specs import WeightedSpec
from cnnspec.errors import UsageError, needs_extra
from cnnspec.graph import MAX_NODES
from cnnspec.importing.sources import is_source, published, runs_code
from cnnspec.language import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.torch_backend.published import ImageRule

    Arrays = Mapping[str, NDArray[Any]]

__all__ = ["NamedWeights", "named_weights", "refuse_code", "source_weights"]


@dataclass(frozen=True)
class NamedWeights:
    """Weights for a network, with what their maker says of them."""

    origin: str
    tensors: Callable[[], Arrays]  # by the network's names, where it has those tensors
    classes: tuple[str, ...] = ()
    images: ImageRule | None = None


def refuse_code(weights: str | None) -> None:
    """Raise UsageError where a file names weights of a SOURCE that runs code: only who calls may do so.

    What torchvision publishes is no such: it is a file of tensors with a digest.
    """
    if weights is not None and (warning := runs_code(weights)):
        hint = f"`--weights {weights}` says that it may"
        raise UsageError(f"the spec or the configuration names weights by {weights}, which {warning}", hint=hint)


def named_weights(
    weights: str, network: Network, report: Callable[[str], None] = lambda text: None
) -> NamedWeights | None:
    """The weights that a library publishes, or those of a SOURCE; None where a file or a run is named.

    They bear the names of the library where the network has the same, and else those of the spec that the source
    becomes. Raises UsageError for a name that there is not; and `tensors` as `import_network`, or CnnspecError where
    weights cannot be fetched and are not here.
    """
    if not is_source(weights):
        return None
    named = published(weights)
    if named is None:
        return NamedWeights(f"those of {weights}", lambda: _of_source(weights, network))
    library, name = named
    with needs_extra("timm" if library == "timm" else "train"):
        from cnnspec.torch_backend.published import timm_weights, torchvision_weights

        found = timm_weights(name, report) if library == "timm" else torchvision_weights(name, network.name, report)

    def tensors() -> Arrays:
        arrays = {key: tensor.numpy() for key, tensor in found.tensors().items()}
        if library == "timm" and arrays.keys() != network.graph.state_shapes().keys():
            return _of_source(f"timm:{name}(pretrained=True)", network)
        return arrays

    return NamedWeights(found.origin, tensors, found.classes, found.images)


def _of_source(source: str, network: Network) -> Arrays:
    """The weights of a SOURCE, read as a network of the same input."""
    from cnnspec.api.imports import ImportedSpec, load_source  # a tenth of a second, and few ask

    spec = load_source(source, None, None, network.graph.input_shape, MAX_NODES, "train")
    assert isinstance(spec, WeightedSpec)
    tensors = spec.weights()
    wanted = network.graph.state_shapes().keys()
    if isinstance(spec, ImportedSpec) and tensors.keys() != wanted:
        own = spec.imported.members[0].model.tensors()
        tensors = dict(own) if own.keys() == wanted else tensors
    return tensors


@contextmanager
def source_weights(
    weights: str | None, network: Network, report: Callable[[str], None] = lambda text: None
) -> Iterator[str | None]:
    """A file with weights that are named otherwise, for as long as the block runs; None where a file or a run is named.

    Raises as `named_weights`.
    """
    named = None if weights is None else named_weights(weights, network, report)
    if named is None:
        yield None
        return
    from cnnspec.importing.write import weights_bytes

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        path.write_bytes(weights_bytes(named.tensors()))
        yield str(path)

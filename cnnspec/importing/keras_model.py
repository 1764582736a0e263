"""A Keras model that was read, and that Keras runs where it is installed. It is read without Keras."""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.foreign.keras_config import KerasConfig, KerasLayer, read_config
from cnnspec.foreign.keras_file import KerasWeights, read_keras_file
from cnnspec.foreign.keras_layers import variables_of
from cnnspec.foreign.keras_reader import KerasRead, read_keras
from cnnspec.foreign.laid_out import laid_out
from cnnspec.foreign.network import Network
from cnnspec.ops import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["KerasModel", "read_keras_model"]


@dataclass(frozen=True)
class KerasModel:
    """A model of a `.keras` file, or of a configuration alone."""

    path: Path
    config: KerasConfig
    read: KerasRead
    weights: KerasWeights | None
    batch: int = 2

    @property
    def network(self) -> Network:
        """What it computes."""
        return self.read.network

    @property
    def macs(self) -> int | None:
        """Keras counts none."""
        return None

    @property
    def cannot_run(self) -> str | None:
        """Why it cannot be compared with its source, if so."""
        if self.weights is None:
            return "a configuration alone has no weights to compare with"
        if find_spec("keras") is None:
            return "Keras is not installed, and it alone runs the source"
        return None

    def tensors(self) -> Mapping[str, Array]:
        """All that it keeps, by its own names. Raises UsageError for a configuration alone."""
        if self.weights is None:
            raise UsageError(f"{self.path} has no weights", hint="the `.keras` file of the model has them")
        return self.weights.arrays(self.read.variables)

    def outputs(self, tensors: Mapping[str, Array], batch: NDArray[np.float32]) -> Sequence[Array]:
        """What it gives at inference."""
        found = dict(self.values(tensors, batch, self.network.outputs))
        return [found[name] for name in self.network.outputs]

    def values(
        self, tensors: Mapping[str, Array], batch: NDArray[np.float32], wanted: Collection[str]
    ) -> Iterator[tuple[str, Array]]:
        """What each of the `wanted` calls gives at inference, in running order. Keras runs its own layers only."""
        names = [call.name for call in self.network.calls if call.name in wanted and call.name in self.read.made_by]
        stored = {name: self.read.made_by[name] for name in names}
        there = _run(self, tensors, self._pixels(batch), sorted({each.key for each in stored.values()}))
        yield from laid_out(stored, there).items()

    def _pixels(self, batch: NDArray[np.float32]) -> Array:
        """What the source reads where the spec reads `batch`: its scaling is part of the header here."""
        import numpy as np

        channels = (1, -1, *(1 for _ in batch.shape[2:]))
        given: Array = batch
        if (scaling := self.read.scaling) is not None:
            shift, factor = (np.array(each, np.float64).reshape(channels) for each in (scaling.shift, scaling.factor))
            given = ((batch - shift) / factor).astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(given, 1, -1)) if self.read.channels_last else given


def read_keras_model(path: Path, input_shape: Shape | None) -> KerasModel:
    """A file as a model. Raises UsageError where there is none, and CnnspecError for one that is refused."""
    document, weights = read_keras_file(path)
    shown = str(path)
    config = read_config(document, shown)
    layers = {layer.path: layer for layer in config.layers}

    def numbers(key: str) -> Sequence[float] | None:
        layer_path, _, word = key.rpartition("/")
        if weights is None:
            return None
        layer = layers[layer_path]
        found = weights.array(layer, variables_of(layer).index(word)).reshape(-1)
        return [float(each) for each in found[:4096]]

    read = read_keras(config, shown, input_shape or (), numbers)
    if weights is not None:
        read = replace(read, network=replace(read.network, tensors=weights.shapes(read.variables)))
    return KerasModel(path, config, read, weights)


def _run(model: KerasModel, tensors: Mapping[str, Array], pixels: Array, layers: Sequence[str]) -> dict[str, Array]:
    """What layers give, with these tensors in place of the file's."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "model.keras"
        _write(model, tensors, changed)
        try:
            with warnings.catch_warnings(action="ignore"):
                found = _outputs(keras, changed, pixels, layers)
        except Exception as error:  # Keras raises whatever its backends do
            raise CnnspecError(f"Keras cannot run {model.path}: {str(error).strip()[:200]}") from None
    results = found if isinstance(found, list) else [found]
    return {path: np.asarray(result) for path, result in zip(layers, results, strict=True)}


def _outputs(keras: Any, path: Path, pixels: Array, layers: Sequence[str]) -> Any:
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    values = [_layer(loaded, each).output for each in layers]
    return keras.Model(loaded.inputs, values).predict_on_batch(pixels)


def _layer(model: Any, path: str) -> Any:
    for part in path.split("."):
        inside = getattr(model, "operations", model.layers)  # functions too, where there may be some
        model = next(layer for layer in inside if layer.name.replace(".", "_").replace("/", "_") == part)
    return model


def _write(model: KerasModel, tensors: Mapping[str, Array], target: Path) -> None:
    """A copy of the file with other tensors."""
    import io

    import h5py

    assert model.weights is not None
    buffer = io.BytesIO(model.weights.data)
    places: dict[str, tuple[KerasLayer, int]] = dict(model.read.variables)
    with h5py.File(buffer, "r+") as file:
        for key, (layer, number) in places.items():
            file[model.weights.place(layer, number)][...] = tensors[key]
    with zipfile.ZipFile(model.path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in ("metadata.json", "config.json"):
            archive.writestr(name, source.read(name))
        archive.writestr("model.weights.h5", buffer.getvalue())

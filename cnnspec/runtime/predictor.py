"""From images to answers with onnxruntime, numpy and Pillow.

Only the child process in which a file is tried that this machine does not know yet needs onnx too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from PIL import Image

from cnnspec.arrays import (
    Array,
    as_values,
    channels_first,
    check_bytes,
    check_finite,
    each_sample,
    fit,
    input_of,
    normalised,
    read_sample,
)
from cnnspec.cores import usable_cores
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.images import MAX_PIXELS, channels_last, check_shape, normalize, prepare, read_image
from cnnspec.intake import inputs_word
from cnnspec.onnx_backend.metadata import Metadata, read_metadata
from cnnspec.ops import show_shape
from cnnspec.ops.base import Count
from cnnspec.public import public, shown
from cnnspec.runtime.answers import Answer, Prediction, activated, answer
from cnnspec.runtime.array_files import FileSample, array_samples
from cnnspec.runtime.files import open_model
from cnnspec.runtime.reading import read_batches
from cnnspec.runtime.session import BATCH_SIZE, engine_folder, first_line, open_session, provider_of
from cnnspec.tasks import TASKS, Answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Predictor"]

ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image

MAX_MASK: Final = 256  # classes of a mask of bytes
MAX_VALUES: Final = 2**30  # in one batch of the size that a file prescribes


class Predictor:
    """An exported network, ready to run.

    `device` is `auto`, `cpu`, `cuda` or `tensorrt`; what is asked for is what runs, or an error says what is missing.
    An image file of more than `max_pixels`, 89 million unless given, is not decoded. Without `spin`, threads of the CPU
    sleep while there is nothing for them to do: a little slower alone, and far better where others want the cores.
    Raises UsageError for a missing file or an empty batch, and CnnspecError for a file that cnnspec did not write, or
    that is damaged.
    """

    @public()
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        allow_fallback: bool = False,
        threads: Count | None = None,
        batch_size: Count = BATCH_SIZE,
        invert: bool = False,
        max_pixels: int | None = None,
        spin: bool = True,
    ) -> None:
        self.path = os.fspath(path)
        model = open_model(path).data
        self.session = open_session(
            model, self.path, device=device, allow_fallback=allow_fallback, threads=threads,
            engines=engine_folder(self.path, model), spin=spin,
        )  # fmt: skip
        self.metadata: Metadata = read_metadata(self.session.get_modelmeta().custom_metadata_map, self.path)
        self._check_input()
        self.provider = provider_of(self.session)
        self.batch_size = self.metadata.batch or batch_size
        self.invert = invert
        self.max_pixels = max_pixels or MAX_PIXELS
        self.threads = threads or usable_cores()
        self._input = self.session.get_inputs()[0].name
        self._intake = self.metadata.intake
        # a layer's result may go through a softmax and a cast, `out/float`, before it comes out
        self._outputs = [output.name.partition("/")[0] for output in self.session.get_outputs()]

    def __repr__(self) -> str:
        about = self.metadata
        return f"<Predictor {self.path}: {about.name}, {show_shape(about.input_shape)}, on {self.provider}>"

    def _check_input(self) -> None:
        """Raise CnnspecError unless the graph's input and outputs are what the metadata tell of, and numbers."""
        about, inputs, outputs = self.metadata, self.session.get_inputs(), self.session.get_outputs()
        if not inputs or not outputs:
            raise CnnspecError(f"{self.path} has no {'outputs' if inputs else 'input'}")
        for tensor, kind in (
            (inputs[0], "uint8" if about.bytes_last else "float"),
            *((one, "float") for one in outputs),
        ):
            if tensor.type != f"tensor({kind})" or 0 in tensor.shape:
                raise CnnspecError(f"`{tensor.name}` of {self.path} is {tensor.type} {tensor.shape}, and no {kind}s")
        if {len(about.mean), len(about.std)} - {0, 1, about.input_shape[0]}:
            raise CnnspecError(f"{self.path} has {len(about.mean)} means and {len(about.std)} standard deviations")
        given, *more = inputs
        sizes = list(about.input_sizes)
        declared = [size if isinstance(size, int) else None for size in given.shape]
        if more or declared != sizes or (about.batch or 1) * prod(about.input_shape) > MAX_VALUES:
            raise CnnspecError(f"{self.path} takes {given.shape}, and its metadata tell of {sizes}")

    @cached_property
    def answers(self) -> Answers:
        """How its outputs are read. Raises UsageError for a file whose network is for nothing that is known."""
        found, shape = self.metadata.answers, self.session.get_outputs()[0].shape
        if found is None:
            raise UsageError(
                f"{self.path} gives no class scores, but {'x'.join(map(str, shape[1:]))}, and does not say what for",
                hint="`task` in its spec says it; `Predictor.run` in Python gives the raw outputs",
            )
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; numbers where the network names none. Of numbers there are none."""
        task, shape = TASKS[self.answers.task], self.session.get_outputs()[0].shape
        if not task.has_classes:
            return ()
        if task.target == "mask" and len(shape) > 2:
            if not isinstance(shape[1], int) or shape[1] > MAX_MASK:
                raise CnnspecError(f"{self.path} gives {shape[1]} classes for each place; at most {MAX_MASK} are read")
        elif len(shape) != 2 or not isinstance(shape[1], int):
            raise UsageError(
                f"{self.path} gives no class scores, but {'x'.join(map(str, shape[1:]))}",
                hint="`Predictor.run` in Python gives the raw outputs",
            )
        names = self.metadata.classes
        return names if len(names) == shape[1] else tuple(map(str, range(shape[1])))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The heads of the cells that its answers have in a table. A classifier's follow from how many it tells."""
        count, *axes = self.session.get_outputs()[0].shape[1:]
        blank = answer(self.answers, "", np.zeros((count, *(1 for _ in axes)), np.float32), self.classes)
        return () if isinstance(blank, Prediction) else tuple(blank.cells())

    @public()
    def __call__(self, images: object) -> list[Answer]:
        """Answers for one image or several: paths, bytes of files, Pillow images, arrays, or rows of a data set.

        An array is of several samples, as in training: bytes, or numbers in the units of mean and std. So is a `.npy`
        file, and `x` of a `.npz`, unless it has the shape of one. Of a data set of pairs or dictionaries the images are
        read. Raises at the first bad one.

        They are of the task: a `Prediction`, `LabelsPrediction`, `NumbersPrediction` or `MaskPrediction` each.
        """
        return list(self._stream(each_sample(images), None))

    @public()
    def stream(
        self, images: Iterable[object], *, on_error: Callable[[CnnspecError], None] | None = None
    ) -> Iterator[Answer]:
        """Answers for any number of images in batches, in their order, holding one batch at a time, or two.

        With more than one thread, files are decoded while the network runs on the batch before.
        All batches but a first and only one have the same size: the last is padded. A bad image goes to `on_error` and
        is left out; without it, it raises.
        """
        return self._stream(images, on_error)

    # Below each public method stands what it does, for arguments that were looked at already: to look again costs a
    # small image a third of what decoding it does.

    def _stream(self, images: Iterable[object], on_error: Callable[[CnnspecError], None] | None) -> Iterator[Answer]:
        classes = self.classes
        given = array_samples(images, self.metadata.input_shape, on_error)
        full: NDArray[Any] | None = None  # (batch, H, W, C) of bytes, or (batch, C, …) of other numbers
        for samples in read_batches(given, self._sample, self.batch_size, self.threads):
            names: list[str] = []
            for sample in samples:
                values = sample.values
                if isinstance(values, CnnspecError):
                    error = values
                else:
                    if full is None:
                        full = np.empty((self.metadata.batch or len(samples), *values.shape), values.dtype)
                    if values.dtype == full.dtype:
                        full[len(names)] = values
                        names.append(sample.name)
                        continue
                    error = CnnspecError(f"{sample.name} is {values.dtype}, and those before it {full.dtype}")
                if on_error is None:
                    raise error
                on_error(error)
            if full is None or not names:
                continue
            full[len(names) :] = 0
            for name, row in zip(names, self._answered(full), strict=False):
                yield answer(self.answers, name, row, classes)

    @public()
    def sample(self, given: object, *, invert: bool | None = None) -> NDArray[Any]:
        """One sample, of whatever kind a call takes, as `activated` takes it. Raises UsageError and CnnspecError."""
        return self._sample(given, invert)

    def _sample(self, given: object, invert: bool | None = None) -> NDArray[Any]:
        about, source = self.metadata, given.values if isinstance(given, FileSample) else input_of(given)
        if len(about.input_shape) == 3 and isinstance(source, (str, bytes, os.PathLike, Image.Image)):
            return self._pixels(source, invert)
        name = given.name if isinstance(given, FileSample) else "what was given"
        values = read_sample(
            source, about.input_shape, name, intake=self._intake,
            invert=self.invert if invert is None else invert, max_pixels=self.max_pixels,
        )  # fmt: skip
        return np.asarray(self._as_activated(values[None])[0])

    @public(NDArray="numpy.typing")
    def samples(self, array: NDArray[Any], *, invert: bool | None = None) -> NDArray[Any]:
        """An array `(N, …)` of samples as `activated` takes it; of one kind and size they are read in one go.

        Raises as `sample`.
        """
        about, name = self.metadata, "what was given"
        values = as_values(array, name)
        values = np.ascontiguousarray(
            fit(channels_first(values, about.input_shape, name), about.input_shape, name, self._intake)
        )
        check_finite(values, name)
        if values.dtype == np.uint8 and (self.invert if invert is None else invert):
            values = 255 - values
        return self._as_activated(values)

    def _as_activated(self, values: Array) -> NDArray[Any]:
        """Samples `(N, C, …)`: bytes of images with their channels last, and all else normalised."""
        if values.dtype == np.uint8 and values.ndim == 4:
            return np.asarray(np.moveaxis(values, 1, -1))
        return np.asarray(normalised(values, self.metadata.mean, self.metadata.std))

    @public(NDArray="numpy.typing")
    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The raw outputs by the names of their layers, for an array `(N, ...)` as the network takes it.

        Any N: padded where the file's is fixed.
        """
        return self._run_all(inputs)

    def _run_all(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        batch = self.metadata.batch
        if batch is None:
            return self._run(inputs)
        parts = []
        for start in range(0, len(inputs), batch):
            part = inputs[start : start + batch]
            padding = np.zeros((batch - len(part), *inputs.shape[1:]), inputs.dtype)
            outputs = self._run(np.concatenate([part, padding]))
            parts.append({name: value[: len(part)] for name, value in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def _run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        try:
            outputs = self.session.run(None, {self._input: inputs})
        except Exception as error:  # onnxruntime's errors have no common base below Exception
            wanted = show_shape(self.metadata.input_shape)
            raise CnnspecError(
                f"{self.path} does not run: {first_line(error)}", hint=f"its input is (N, {wanted})"
            ) from None
        return dict(zip(self._outputs, outputs, strict=True))

    @public(ImageLike="cnnspec.runtime.predictor")
    def pixels(self, image: ImageLike, *, invert: bool | None = None) -> NDArray[np.uint8]:
        """An image as the network sees it, `(H, W, C)` bytes; without `invert` as this predictor was made.

        Raises UsageError for a missing file, and CnnspecError for what is not a readable image.
        """
        return self._pixels(image, invert)

    def _pixels(self, image: object, invert: bool | None) -> NDArray[np.uint8]:
        invert = self.invert if invert is None else invert
        if isinstance(image, (str, bytes, os.PathLike)):
            return read_image(
                image, self.metadata.input_shape, intake=self._intake, invert=invert, max_pixels=self.max_pixels
            )
        if not isinstance(image, Image.Image):
            raise UsageError(f"{shown(image)} is no image", hint="a path, the bytes of a file, or Pillow's")
        return prepare(image, self.metadata.input_shape, intake=self._intake, invert=invert)

    @public(NDArray="numpy.typing")
    def read(self, inputs: NDArray[Any]) -> list[Answer]:
        """Answers for an array `(N, ...)` as the network takes it: signals, volumes, or images already normalised.

        Raises CnnspecError as `run`.
        """
        classes, rows = self.classes, self._activated(next(iter(self._run_all(inputs).values())))
        return [answer(self.answers, f"{place}", row, classes) for place, row in enumerate(rows)]

    @public(NDArray="numpy.typing")
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`(N, classes)` for what `pixels` gives of N images, `(N, H, W, C)`. Raises CnnspecError as `run`.

        A file whose batch is fixed runs as often as it takes. Raises UsageError where the network gives no such.
        """
        if self.answers.task not in ("classification", "multi-label"):
            raise UsageError(f"{self.path} is for {self.answers.task}, and gives no probability of each class")
        return self._answered(pixels)

    @public(NDArray="numpy.typing")
    def activated(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """What the network says of images `(N, H, W, C)` of bytes, as its task is read, `(N, …)`. Raises as `run`.

        Of other numbers it takes what the network itself takes, normalised.
        """
        return self._answered(pixels)

    def _answered(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        about = self.metadata
        if pixels.dtype == np.float32:
            if about.bytes_last:
                check_bytes(pixels, self.path)
            return self._checked(next(iter(self._run_all(pixels).values())), len(pixels))
        if pixels.dtype != np.uint8 or pixels.shape[1:] != channels_last(check_shape(about.input_shape)):
            wanted = show_shape(channels_last(about.input_shape))
            raise UsageError(f"the pixels are {pixels.dtype} {pixels.shape}, and not uint8 (N, {wanted})")
        inputs = pixels if about.bytes_last else normalize(pixels, about.mean, about.std)
        return self._checked(next(iter(self._run_all(inputs).values())), len(pixels))

    def _checked(self, outputs: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if len(outputs) != count or (self.classes and outputs.shape[1] != len(self.classes)):
            raise CnnspecError(
                f"{self.path} gives {show_shape(outputs.shape)} for {count} {inputs_word(self.metadata.input_shape)}"
            )
        return self._activated(outputs)

    def _activated(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return activated(self.answers, outputs, probabilities=self.metadata.output_kind == "probabilities")

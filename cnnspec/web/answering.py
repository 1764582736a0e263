"""What a served network answers: samples read, run together, and worded as each request wants."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.arrays import Array
from cnnspec.diagnostics import visible
from cnnspec.errors import CnnspecError
from cnnspec.runtime.answers import HALF, MaskPrediction, Prediction, answer, palette
from cnnspec.web.asked import Asked, Telling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.api import Predictor

__all__ = ["Answerer", "Readout", "Reply", "problem_of"]

MOST_VALUES: Final = 2**22  # places of the masks of one request that are told as numbers
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_JSON: Final = b"application/json"
_NO_NUMBER: Final = _ENCODER.encode({"error": {"message": "the network gives what is no number"}})

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent: the status, the kind of content, and the bytes."""

    status: int
    kind: bytes
    body: bytes

    @classmethod
    def of(cls, told: Told, status: int = 200) -> Reply:
        return cls(status, _JSON, _ENCODER.encode(told).encode())


@dataclass(frozen=True, slots=True)
class Readout:
    """The samples of a request as the network takes them, those that can be read; of the others, why not."""

    asked: Asked
    values: Sequence[NDArray[Any]]  # each as large as a sample, in the order of those that can be read
    errors: dict[int, Told]  # by their place in the request
    failure: Told | None = None  # of all of it


def problem_of(error: CnnspecError) -> Told:
    """An error as answers have it."""
    return {"message": visible(error.message)} | ({"help": visible(error.hint)} if error.hint else {})


class Answerer:
    """A network, and how its answers are worded. Its methods may be called in any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.answers, self.classes = predictor.answers, predictor.classes  # raises for a network that answers nothing
        self.places = prod(predictor.metadata.input_shape[1:])  # of a mask
        self._file = predictor.pixels if len(predictor.metadata.input_shape) == 3 else predictor.sample
        self._heads = [
            f'{{"label":{_ENCODER.encode(name)},"index":{place},"probability":'
            for place, name in enumerate(self.classes)
        ]

    def terms(self) -> Told:
        """What answers are in: thresholds of labels, names and units of numbers, colours of masks."""
        answers = self.answers
        if answers.task == "multi-label":
            return {"thresholds": list(answers.thresholds or (HALF,) * len(self.classes))}
        if answers.task == "regression":
            names = answers.names(self.predictor.session.get_outputs()[0].shape[1])
            return {"numbers": list(names), "units": list(answers.units)}
        if answers.task == "segmentation":
            parts = iter(palette())
            return {
                "colours": [
                    f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in zip(parts, parts, parts, strict=True)
                ][: len(self.classes)]
            }
        return {}

    def read(self, asked: Asked) -> Readout:
        """Decode what was sent."""
        predictor, invert = self.predictor, asked.invert
        if asked.telling.mask == "values" and len(asked.samples) * self.places > MOST_VALUES:
            return Readout(asked, (), {}, {"message": f"at most {MOST_VALUES:,} places are told as numbers"})
        if isinstance(asked.samples, np.ndarray):
            try:
                return Readout(asked, list(predictor.samples(asked.samples, invert=invert)), {})
            except CnnspecError as error:
                return Readout(asked, (), {}, problem_of(error))
        values, errors = [], {}
        for place, file in enumerate(asked.samples):
            try:
                values.append(self._file(file, invert=invert))
            except CnnspecError as error:
                errors[place] = problem_of(error)
        return Readout(asked, values, errors)

    def work(self, batch: Sequence[Asked | Readout]) -> list[Reply]:
        """Read what is not read yet, run all of it together, and word the answers. Raises CnnspecError."""
        readouts = [one if isinstance(one, Readout) else self.read(one) for one in batch]
        told: dict[np.dtype[Any], Iterator[str]] = {}
        for kind in {values.dtype for one in readouts for values in one.values}:
            chosen = [(values, one.asked.telling) for one in readouts for values in one.values if values.dtype == kind]
            told[kind] = iter(self._told(chosen))
        return [self._reply(one, told) for one in readouts]

    def _told(self, chosen: Sequence[tuple[Array, Telling]]) -> list[str]:
        """What is said of each sample of one kind, as JSON, in runs of no more than fit into a batch."""
        told, size = list[str](), self.predictor.batch_size
        for start in range(0, len(chosen), size):
            part, tellings = zip(*chosen[start : start + size], strict=True)
            rows = self.predictor.activated(np.stack(part))
            sound = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            rows = rows if sound.all() else np.where(sound.reshape(-1, *(1 for _ in rows.shape[1:])), rows, 0)
            texts = (
                self._guesses(rows, tellings) if self.answers.task == "classification" else self._words(rows, tellings)
            )
            told += [text if fine else _NO_NUMBER for text, fine in zip(texts, sound.tolist(), strict=True)]
        return told

    def _guesses(self, rows: NDArray[np.float32], tellings: Sequence[Telling]) -> Iterator[str]:
        """The most probable classes, put together of texts: a small network computes no longer than JSON is made."""
        most = max(telling.top for telling in tellings)
        order = np.argsort(-rows, axis=1, kind="stable")[:, :most]
        shares = np.take_along_axis(rows, order, axis=1).tolist()
        for places, row, telling in zip(order.tolist(), shares, tellings, strict=True):
            guesses = zip(places[: telling.top], row, strict=False)
            yield f'{{"predictions":[{",".join([f"{self._heads[place]}{share!r}}}" for place, share in guesses])}]}}'

    def _words(self, rows: NDArray[np.float32], tellings: Sequence[Telling]) -> Iterator[str]:
        """The answers of other tasks."""
        for row, telling in zip(rows, tellings, strict=True):
            said = answer(self.answers, "", row, self.classes)
            assert not isinstance(said, Prediction)
            mask = _mask(said, telling) if isinstance(said, MaskPrediction) else {}
            yield _ENCODER.encode(said.to_dict() | mask)

    def _reply(self, read: Readout, told: Mapping[np.dtype[Any], Iterator[str]]) -> Reply:
        if read.failure is not None:
            return Reply.of({"error": read.failure}, 422)
        values = iter(read.values)
        results = [
            _ENCODER.encode({"error": read.errors[place]}) if place in read.errors else next(told[next(values).dtype])
            for place in range(len(read.asked.samples))
        ]
        if not read.asked.single:
            return Reply(200, _JSON, f'{{"results":[{",".join(results)}]}}'.encode())
        (only,) = results
        if read.asked.telling.picture and self.answers.task == "segmentation" and "mask" in (said := json.loads(only)):
            return Reply(200, b"image/png", base64.b64decode(said["mask"]))
        return Reply(500 if only is _NO_NUMBER else 422 if read.errors else 200, _JSON, only.encode())


def _mask(said: MaskPrediction, telling: Telling) -> Told:
    """The mask as the request wants it: a PNG where it has two axes, or numbers."""
    if telling.mask == "none":
        return {}
    if telling.mask == "values" or said.mask.ndim != 2:
        return {"mask": said.mask.tolist()}
    file = io.BytesIO()
    said.picture().save(file, "PNG")
    return {"mask": base64.b64encode(file.getvalue()).decode()}

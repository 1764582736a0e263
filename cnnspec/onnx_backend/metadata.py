"""What an exported file says about itself: all that inference needs, and where it came from.

Every field is one metadata property `cnnspec.<field>` of the ONNX file, so that any viewer shows them. The file also
carries its own digest: `seal` writes it and `check_seal` finds every damaged byte. It is no signature.
Importing this module imports neither onnx nor onnxruntime.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Literal, get_args, get_origin, get_type_hints

from cnnspec.errors import CnnspecError
from cnnspec.images import channels_last
from cnnspec.intake import Fit, Intake
from cnnspec.ops import Shape
from cnnspec.ops.arguments import Bounds
from cnnspec.public import Most, wanted_kinds
from cnnspec.tasks import Answers

if TYPE_CHECKING:
    from cnnspec.language import Network

__all__ = ["Metadata", "check_seal", "has_seal", "read_metadata", "seal", "write_metadata"]

PREFIX: Final = "cnnspec."
MAX_CHARACTERS: Final = 32 * 2**20  # of all properties together; a spec has at most 8 MiB
TAIL: Final = 64 * 2**20  # bytes at the end of a file, where its metadata are
SEAL: Final = "sha256"
_PIECE: Final = 2**20
FOREIGN: Final = "`cnnspec export SPEC -o FILE.onnx` writes a file that says all that inference needs"
UNSEALED: Final = "0" * 64
_SEAL: Final = b"cnnspec.sha256\x12@"  # the key, then the tag and the length of the value

Size = Annotated[int, Bounds(ge=1, le=2**31 - 1)]
Text = Annotated[str, Most(10_000)]
Texts = Annotated[tuple[Text, ...], Most(1_000_000)]
Real = Annotated[float, Bounds(ge=-sys.float_info.max, le=sys.float_info.max)]
Reals = Annotated[tuple[Real, ...], Most(4096)]
Numbers = Annotated[tuple[Real, ...], Most(1_000_000)]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The facts about an exported network. Raises ValueError for some that do not go together.

    It is no model of pydantic, for which `predict` would wait as long as for all else that it imports of ours.
    """

    format: Literal[1] = 1  # of this record
    name: Text
    language: int = 1  # version of the spec language
    spec: str = field(default="", repr=False)  # the text
    spec_kind: Literal["yaml", "json"] = "yaml"
    spec_sha256: Text = ""
    variant: Text | None = None
    settings: Mapping[Text, Text] = field(default_factory=dict)
    input_shape: Annotated[Shape, Most(4)]
    layout: Literal["NCHW", "NHWC"] = "NCHW"  # of images; NHWC means bytes that the graph normalises itself
    mean: Reals = ()
    std: Reals = ()
    fit: Fit = "stretch"  # of images of another size
    resize: Size | None = None  # of the shorter side, before a crop
    rate: Size | None = None  # of signals, in samples per second
    classes: Texts = ()
    task: Literal["classification", "multi-label", "regression", "segmentation", "none"] = "classification"
    numbers: Texts = ()  # the names of what is regressed,
    units: Texts = ()  # their units,
    target_mean: Numbers = ()  # and what makes them of the outputs: output * target_std + target_mean
    target_std: Numbers = ()
    thresholds: Numbers = ()  # of labels: one is given where its probability is at least that
    ignore: Annotated[int, Bounds(ge=0, le=255)] | None = None  # in masks, where there is no class
    outputs: tuple[Text, ...] = ()
    output_kind: Literal["scores", "probabilities"] = "scores"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    folded: bool = False  # whether batch norms are folded into the layers before them
    opset: int = 0
    batch: Size | None = None  # None: any
    dynamic_size: bool = False
    weights: Text = "random"  # where they came from
    training: Mapping[Text, Any] = field(default_factory=dict)
    analysis: Mapping[Text, Any] = field(default_factory=dict)
    verification: Mapping[Text, Any] | None = None  # None: not verified
    tools: Mapping[Text, Text] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.input_shape:
            raise ValueError("its input has no shape")
        if len(self.target_mean) != len(self.target_std) or 0 in self.target_std:
            raise ValueError("what its numbers are scaled by does not go together")
        if self.thresholds and self.classes and len(self.thresholds) != len(self.classes):
            raise ValueError("it has not as many thresholds as classes")

    @property
    def answers(self) -> Answers | None:
        """How the outputs are read; None where it is not known what the network is for."""
        if self.task == "none":
            return None
        return Answers(
            self.task, self.numbers, self.units, self.target_mean, self.target_std, self.thresholds, self.ignore
        )

    @property
    def intake(self) -> Intake:
        """How files of another size or rate become the input."""
        return Intake(self.fit, self.resize, self.rate)

    @property
    def bytes_last(self) -> bool:
        """Whether the file takes images as bytes `(N, H, W, C)` and normalises them itself."""
        return self.layout == "NHWC"

    @property
    def image_shape(self) -> Shape:
        """The input's shape in the file's order, without the batch."""
        return channels_last(self.input_shape) if self.bytes_last else self.input_shape

    @property
    def input_sizes(self) -> tuple[int | None, ...]:
        """The sizes of the file's input as they are declared, the batch first; None where any is taken."""
        channels, *axes = self.input_shape
        sizes = (channels, *(None if self.dynamic_size else size for size in axes))
        return (self.batch, *(channels_last(sizes) if self.bytes_last else sizes))

    def network(self) -> Network:
        """The network that the file says it is, with the input that it says, which may be that of its weights.

        Raises SpecError where its spec is invalid.
        """
        from cnnspec.language.network import Network, NetworkRecord, normalised

        record = NetworkRecord(self.spec, self.variant, dict(self.settings), self.input_shape)
        network = Network.from_record(record, f"{self.name}.{self.spec_kind}", purpose="inference")
        return normalised(network, mean=self.mean, std=self.std, intake=self.intake)


def write_metadata(metadata: Metadata) -> dict[str, str]:
    """The properties of a file, still unsealed."""
    values = {key: (getattr(metadata, key), annotation) for key, annotation in _annotations().items()}
    properties = {
        PREFIX + key: value if _is_text(annotation) else json.dumps(value, ensure_ascii=False)
        for key, (value, annotation) in values.items()
    }
    return {**properties, PREFIX + SEAL: UNSEALED}


@cache
def _annotations() -> dict[str, Any]:
    """The fields of the metadata, and what each is."""
    return get_type_hints(Metadata, include_extras=True)


def _is_text(annotation: Any) -> bool:
    """Whether a field is written as it is; all others are JSON."""
    words = get_args(annotation) if get_origin(annotation) is Literal else ()
    return annotation in (str, Text) or (bool(words) and isinstance(words[0], str))


def read_metadata(properties: Mapping[str, str], shown: str) -> Metadata:
    """The facts that a file carries. Raises CnnspecError for a file that cnnspec did not write."""
    if PREFIX + "name" not in properties:
        raise CnnspecError(
            f"{shown} was not exported by cnnspec: it does not say how images are prepared",
            hint=FOREIGN,
        )
    if sum(map(len, properties.values())) > MAX_CHARACTERS:
        raise CnnspecError(f"{shown} has more than {MAX_CHARACTERS:,} characters of metadata")
    fields: dict[str, Any] = {}
    try:
        for key, annotation in _annotations().items():
            written = properties.get(PREFIX + key)
            if written is None:
                continue
            value = written if _is_text(annotation) else json.loads(written)
            if kinds := wanted_kinds(annotation, value):
                raise ValueError(f"`{key}` is to be {' or '.join(dict.fromkeys(kinds))}")
            fields[key] = tuple(value) if isinstance(value, list) else value
        return Metadata(**fields)
    except (TypeError, ValueError, RecursionError) as error:  # a TypeError says which field is missing
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CnnspecError(f"the metadata of {shown} cannot be read: {reason:.200}") from None


def seal(data: bytes) -> tuple[list[bytes | memoryview], str]:
    """The parts of the file with its digest filled in, to be written one after the other; and that digest."""
    start, end = _digest_place(data) or (len(data), len(data))
    digest = hashlib.sha256(data).hexdigest()
    view = memoryview(data)
    return [view[:start], digest.encode(), view[end:]], digest


def has_seal(file: BinaryIO) -> bool:
    """Whether a file says that cnnspec wrote it: the name of its digest is there, whatever it is worth."""
    mark = f"{PREFIX}{SEAL}".encode()
    end = file.seek(0, io.SEEK_END)
    first = max(0, end - TAIL)
    while end > first:  # in pieces from the end, for most files are somebody else's, and have no mark
        start = max(first, end - _PIECE)
        file.seek(start)
        if mark in file.read(end - start + len(mark) - 1):
            return True
        end = start
    return False


def check_seal(data: bytes, shown: str) -> str:
    """The digest of a file. Raises CnnspecError where it is not what cnnspec wrote: it has no digest, or another."""
    place = _digest_place(data)
    if place is None:
        raise CnnspecError(f"{shown} was not exported by cnnspec, or is damaged", hint=FOREIGN)
    start, end = place
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(UNSEALED.encode())
    digest.update(view[end:])
    if digest.hexdigest().encode() != data[start:end]:
        raise CnnspecError(f"{shown} is damaged: its digest is not the one that was written", hint="export it again")
    return digest.hexdigest()


def _digest_place(data: bytes) -> tuple[int, int] | None:
    """Where the digest stands: the metadata is the last part of a file, so the last place counts."""
    key = data.rfind(_SEAL)
    start = key + len(_SEAL)
    return None if key < 0 or len(data) < start + len(UNSEALED) else (start, start + len(UNSEALED))

"""What an exported file says about itself: all that inference needs, and where it came from.

Every field is one metadata property `cnnspec.<field>` of the ONNX file, so that any viewer shows them. The file also
carries its own digest: `seal` writes it and `check_seal` finds every damaged byte. It is no signature.
Importing this module imports neither onnx nor onnxruntime.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnspec.errors import CnnspecError
from cnnspec.ops import Shape

__all__ = ["Metadata", "check_seal", "read_metadata", "seal", "write_metadata"]

PREFIX: Final = "cnnspec."
MAX_CHARACTERS: Final = 32 * 2**20  # of all properties together; a spec has at most 8 MiB
SEAL: Final = "sha256"
FOREIGN: Final = "`cnnspec export SPEC -o FILE.onnx` writes a file that says all that inference needs"
UNSEALED: Final = "0" * 64
_SEAL: Final = b"cnnspec.sha256\x12@"  # the key, then the tag and the length of the value

Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
Text = Annotated[str, Field(max_length=10_000)]
Reals = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=4096)]


class Metadata(BaseModel):
    """The facts about an exported network."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    format: Literal[1] = 1  # of this record
    name: Text
    language: int = 1  # version of the spec language
    spec: str = Field("", repr=False)  # the text
    spec_kind: Literal["yaml", "json"] = "yaml"
    spec_sha256: Text = ""
    variant: Text | None = None
    settings: dict[Text, Text] = {}
    input_shape: Annotated[Shape, Field(min_length=1, max_length=4)]
    layout: Literal["NCHW", "NHWC"] = "NCHW"  # of images; NHWC means bytes that the graph normalises itself
    mean: Reals = ()
    std: Reals = ()
    classes: Annotated[tuple[Text, ...], Field(max_length=1_000_000)] = ()
    outputs: tuple[Text, ...] = ()
    output_kind: Literal["scores", "probabilities"] = "scores"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    folded: bool = False  # whether batch norms are folded into the layers before them
    opset: int = 0
    batch: Size | None = None  # None: any
    dynamic_size: bool = False
    weights: Text = "random"  # where they came from
    training: dict[Text, Any] = {}
    analysis: dict[Text, Any] = {}
    verification: dict[Text, Any] | None = None  # None: not verified
    tools: dict[Text, Text] = {}


def write_metadata(metadata: Metadata) -> dict[str, str]:
    """The properties of a file, still unsealed."""
    plain = metadata.model_dump(mode="json")
    found = {
        PREFIX + key: value if _is_text(key) else json.dumps(value, ensure_ascii=False) for key, value in plain.items()
    }
    return {**found, PREFIX + SEAL: UNSEALED}


def _is_text(key: str) -> bool:
    """Whether a field is written as it is; all others are JSON."""
    annotation = Metadata.model_fields[key].annotation
    words = get_args(annotation) if get_origin(annotation) is Literal else ()
    return annotation is str or (bool(words) and isinstance(words[0], str))


def read_metadata(properties: Mapping[str, str], shown: str) -> Metadata:
    """The facts that a file carries. Raises CnnspecError for a file that cnnspec did not write."""
    if PREFIX + "name" not in properties:
        raise CnnspecError(
            f"{shown} was not exported by cnnspec: it does not say how images are prepared",
            hint=FOREIGN,
        )
    if sum(map(len, properties.values())) > MAX_CHARACTERS:
        raise CnnspecError(f"{shown} has more than {MAX_CHARACTERS:,} characters of metadata")
    found: dict[str, Any] = {}
    try:
        for key in Metadata.model_fields:
            value = properties.get(PREFIX + key)
            if value is not None:
                found[key] = value if _is_text(key) else json.loads(value)
        return Metadata.model_validate(found)
    except (ValueError, ValidationError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CnnspecError(f"the metadata of {shown} cannot be read: {reason:.200}") from None


def seal(data: bytes) -> tuple[list[bytes | memoryview], str]:
    """The parts of the file with its digest filled in, to be written one after the other; and that digest."""
    start, end = _digest_place(data) or (len(data), len(data))
    digest = hashlib.sha256(data).hexdigest()
    view = memoryview(data)
    return [view[:start], digest.encode(), view[end:]], digest


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
    at = data.rfind(_SEAL)
    start = at + len(_SEAL)
    return None if at < 0 or len(data) < start + len(UNSEALED) else (start, start + len(UNSEALED))

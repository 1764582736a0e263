"""What a request asks of a served network: its body as samples, and how the answers are to be told."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import numpy as np

from cnnspec.arrays import NUMBERS, Array
from cnnspec.diagnostics import visible

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

__all__ = ["JSON", "KEYS", "MASKS", "NPY", "Asked", "Limits", "Refused", "Room", "Telling", "parse", "read_body"]

JSON: Final = "application/json"
NPY: Final = ("application/x-npy", "application/npy")
MASKS: Final = ("png", "values", "none")
KEYS: Final = ("images", "inputs", "top", "invert", "mask")


@dataclass(frozen=True)
class Limits:
    """What a request may ask for."""

    body: int = 32 * 2**20  # bytes
    images: int = 256  # in one request
    waiting: int = 1024  # images of all requests
    held: int = 512 * 2**20  # bytes of all requests
    seconds: float = 30.0  # in which a body has to arrive


class Refused(Exception):
    """A request that cannot be answered, and what it is told."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


@dataclass(frozen=True, slots=True)
class Telling:
    """How answers are told: how many classes, masks as what, and whether the one answer is a picture alone."""

    top: int = 5
    mask: str = "png"
    picture: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The samples of one request: files by their bytes, or an array `(N, …)`. A single one is answered alone."""

    samples: Sequence[bytes] | Array
    telling: Telling = Telling()
    invert: bool = False
    single: bool = False


class Room:
    """The memory that the bodies of all requests may take together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    @contextmanager
    def body(self) -> Iterator[_Body]:
        """A body that grows while entered, and is let go of then."""
        body = _Body(self)
        try:
            yield body
        finally:
            self.taken -= body.size


class _Body:
    """What has come of one body."""

    def __init__(self, room: Room) -> None:
        self.room, self.parts, self.size = room, list[bytes](), 0

    def add(self, part: bytes, limit: int) -> None:
        """Raises Refused where it has more than `limit` bytes, or all bodies more than they may."""
        self.parts.append(part)
        self.size += len(part)
        self.room.taken += len(part)
        if self.size > limit:
            raise Refused(413, f"a request has at most {limit:,} bytes")
        if self.room.taken > self.room.limit:
            raise Refused(503, "too many requests at once", "try again in a second")


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], body: _Body, limits: Limits) -> bytes:
    """The whole body. Raises Refused for a long or slow one, and ConnectionError where the client goes."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > limits.body:
        raise Refused(413, f"a request has at most {limits.body:,} bytes")
    more = True
    try:
        async with asyncio.timeout(limits.seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                body.add(message.get("body", b""), limits.body)
                more = message.get("more_body", False)
    except TimeoutError:
        raise Refused(408, f"the request did not arrive within {limits.seconds:g} seconds") from None
    if not body.size:
        raise Refused(400, "the request is empty", "send the bytes of an image, or JSON with `images`")
    return b"".join(body.parts)


def parse(scope: Scope, headers: Mapping[bytes, bytes], body: bytes, limits: Limits) -> Asked:
    """What a request asks, of its query, headers and body. Raises Refused."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    options: dict[str, Any] = {key: query[key] for key in ("top", "mask") if key in query}
    options["invert"] = query.get("invert", "false").lower() in ("1", "true")
    samples: Sequence[bytes] | Array = [body]
    if kind == JSON:
        samples, told = _listed(body, limits)
        options |= told
    elif kind in NPY:
        samples = _array(body)
    if not 1 <= len(samples) <= limits.images:
        raise Refused(400, f"a request has 1 to {limits.images} images")
    if not isinstance(options["invert"], bool):
        raise Refused(400, "`invert` is true or false")
    single = kind != JSON and kind not in NPY
    picture = headers.get(b"accept", b"").startswith(b"image/png")
    return Asked(samples, _telling(options, picture and single), options["invert"], single)


def _telling(options: Mapping[str, object], picture: bool) -> Telling:
    top, mask = options.get("top", 5), options.get("mask", "png")
    if isinstance(top, str) and top.isascii() and top.isdigit():
        top = int(top[:9])
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise Refused(400, "`top` is a whole number from 1 on")
    if not isinstance(mask, str) or mask not in MASKS:
        raise Refused(400, f"`mask` is one of {', '.join(MASKS)}")
    return Telling(top, mask, picture)


def _listed(body: bytes, limits: Limits) -> tuple[Sequence[bytes] | Array, dict[str, Any]]:
    """The samples of a JSON body, and its options. Raises Refused."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the request is no JSON") from None
    if not isinstance(document, dict) or ("images" in document) == ("inputs" in document):
        raise Refused(
            400, "`images` is a list of files in base64, or `inputs` one of nested lists of numbers",
            '{"images": ["iVBORw0…"], "top": 3}',
        )  # fmt: skip
    if unknown := sorted({*document} - {*KEYS}):
        raise Refused(400, f"there is no `{visible(unknown[0]):.60}`", f"there are: {', '.join(KEYS)}")
    options = {key: value for key, value in document.items() if key not in ("images", "inputs")}
    (key,) = {*document} & {"images", "inputs"}
    listed = document[key]
    if not isinstance(listed, list) or not 1 <= len(listed) <= limits.images:
        raise Refused(400, f"`{key}` is a list, and a request has 1 to {limits.images} images")
    return (_decoded(listed) if key == "images" else _nested(listed)), options


def _decoded(texts: list[Any]) -> list[bytes]:
    files = []
    for number, text in enumerate(texts):
        try:
            files.append(base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True))
        except (AttributeError, TypeError, ValueError, binascii.Error):
            raise Refused(400, f"image {number} is no base64") from None
    return files


def _nested(lists: list[Any]) -> Array:
    try:
        array = np.array(lists)
    except (ValueError, TypeError, OverflowError):
        raise Refused(400, "`inputs` are of different sizes, or hold no numbers") from None
    if array.dtype.kind not in NUMBERS or array.dtype.kind == "b":
        raise Refused(400, "`inputs` hold what is no number")
    return array


def _array(body: bytes) -> Array:
    """The array of a `.npy` file, as a view of its bytes. Raises Refused for what is none, or holds no numbers."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception:  # numpy's parser of headers raises whatever Python's raises
        raise Refused(400, "the request is no .npy file") from None
    if dtype.kind not in NUMBERS:
        raise Refused(400, f"the array holds {dtype!s:.60}, and a network reads numbers")
    count, start = prod(shape), file.tell()
    if not shape or min(shape) < 1:
        raise Refused(400, f"the array is {shape}, and has no samples")
    if count * dtype.itemsize != len(body) - start:
        raise Refused(400, f"the array declares {count * dtype.itemsize:,} bytes and has {len(body) - start:,}")
    return np.frombuffer(body, dtype, count, start).reshape(shape, order="F" if fortran else "C")

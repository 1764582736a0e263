"""Files of weights that somebody else made, or that are damaged: taken whole, or one clear error, in bounded memory."""

from __future__ import annotations

import json
import random
import resource
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnspec
from cnnspec.errors import CnnspecError
from cnnspec.torch_backend import load_weights, weights_bytes

SPEC = cnnspec.loads("""cnnspec: 1
input: [1, 6, 6]
layers: {conv: "Conv2d(2, 3)", norm: BatchNorm2d, flat: Flatten, fc: Linear(3)}
""")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, "", "F32", "BF16", "BOOL", "F4", "x" * 5000, [], [1], [0, 10**18],
    [[1]], {}, [-3, 2], [2**62, 2**62],
)  # fmt: skip
NAMES = (
    "conv.weight",
    "fc.bias",
    "",
    "__metadata__",
    "\x1b[31m",
    "a\nb",
    "\u202e",
    "x" * 100_000,
    "..",
    "module.fc.bias",
)


@contextmanager
def memory(limit: int) -> Iterator[None]:
    """At most so many bytes of address space beyond what there is."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes changed, lost, doubled or put in anywhere."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(out) or 1)
        match draw.randrange(5):
            case 0:
                out[at : at + 1] = draw.randbytes(1)
            case 1:
                del out[at : at + draw.choice((1, 8, 200))]
            case 2:
                out[at:at] = draw.randbytes(draw.choice((1, 8, 200)))
            case 3:
                out[at : at + 8] = struct.pack("<q", draw.choice((-1, 0, 2**31, 2**40, 2**62)))
            case _:
                out = out[: at + 1]
    return bytes(out)


def mutated_safetensors(data: bytes, draw: random.Random) -> bytes:
    """Another header over the same values, or another length of it."""
    size = struct.unpack("<Q", data[:8])[0]
    header, values = json.loads(data[8 : 8 + size]), data[8 + size :]
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice(list(header))
        match draw.randrange(7):
            case 0:
                header[draw.choice(NAMES)] = header.pop(name)
            case 1 if isinstance(header[name], dict):
                header[name][draw.choice(("dtype", "shape", "data_offsets", "more"))] = draw.choice(VALUES)
            case 2:
                header[name] = draw.choice(VALUES)
            case 3:
                del header[name]
            case 4:
                header[draw.choice(NAMES)] = header[name]
            case 5:
                values = values[: draw.randint(0, len(values))]
            case _:
                values += bytes(draw.choice((1, 4, 4096)))
    text = json.dumps(header).encode()
    if draw.random() < 0.05:
        text = draw.choice((b"[" * 100_000, b"{}" * 9, b'{"a":' * 5000, text[:-1], text + b"}", b'{"x":1,"x":2}'))
    length = draw.choice((0, 1, 2**40, 2**63)) if draw.random() < 0.05 else len(text)
    return struct.pack("<Q", length) + text + values


def mutated_archive(data: bytes, draw: random.Random) -> bytes:
    """A file of torch's whose members are others: damaged, swapped, missing, doubled or deflated."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice(list(members))
        match draw.randrange(5):
            case 0:
                members[name] = damaged(members[name] or b"x", draw)
            case 1:
                members[name] = members[draw.choice(list(members))]
            case 2:
                del members[name]
            case 3:
                members[draw.choice(("../x", "archive/data/99", "/etc/x", "archive/../data.pkl"))] = members[name]
            case _:
                members[name] = draw.choice((b"", b"big", b"[" * 9999, bytes(5000)))
        if not members:
            break
    out = BytesIO()
    with zipfile.ZipFile(out, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def attack(folder: Path, count: int, seed: int) -> int:
    """So many files, of which none may end otherwise than whole or with an error of ours. How many were refused."""
    module = cnnspec.build(SPEC)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    safe, buffer, old = weights_bytes(module), BytesIO(), BytesIO()
    torch.save(module.state_dict(), buffer)
    torch.save(module.state_dict(), old, _use_new_zipfile_serialization=False)
    told: list[str] = []
    for turn in range(count):
        draw = random.Random(f"{seed}/{turn}")
        changed: list[str] = []
        kind = draw.choice(("header", "safe", "archive", "torch", "old"))
        data = {
            "header": lambda draw: mutated_safetensors(safe, draw),
            "safe": lambda draw: damaged(safe, draw),
            "archive": lambda draw: mutated_archive(buffer.getvalue(), draw),
            "torch": lambda draw: damaged(buffer.getvalue(), draw),
            "old": lambda draw: damaged(old.getvalue(), draw),
        }[kind](draw)
        path = folder / f"w{turn % 2}{'.safetensors' if kind in ('header', 'safe') else '.pt'}"
        path.write_bytes(data)
        try:
            with memory(2**30):
                load_weights(module, path)
        except CnnspecError as error:
            told.append(error.message)
            changed = [name for name, value in module.state_dict().items() if not torch.equal(value, state[name])]
        except BaseException as error:
            raise AssertionError(f"{seed}/{turn}, {kind}: {type(error).__name__}: {error}") from error
        assert not changed, (seed, turn, kind)
        module.load_state_dict(state)
    assert not [message for message in told if len(message) > 2000]
    return len(told)


@pytest.mark.filterwarnings("ignore")
def test_damaged_weights_are_an_error_of_ours(tmp_path: Path) -> None:
    assert attack(tmp_path, 300, seed=1) > 150


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_damaged_weights_are_an_error_of_ours(tmp_path: Path, seed: int) -> None:
    assert attack(tmp_path, 1000, seed) > 500


def test_a_member_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    torch.save(cnnspec.build(SPEC).state_dict(), buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content + bytes(2**29 if name.endswith("/data/0") else 0))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(CnnspecError, match="would unpack"):
        load_weights(cnnspec.build(SPEC), path)

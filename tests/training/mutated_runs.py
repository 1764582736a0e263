"""Run folders in which something is not as it was written."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import yaml

FILES: Final = (
    "config.yaml", "spec.yaml", "classes.json", "metrics.jsonl", "result.json", "manifest.json", "best.safetensors",
    "last.safetensors", "environment.json", "checkpoint", "latest",
)  # fmt: skip

VALUES: Final[tuple[Any, ...]] = (
    None, True, 0, 1, -1, 0.5, 2**31, 2**63, 10**40, float("nan"), float("inf"), "", "x", "0.5", "1", "\x1b[31m",
    "a\nb", "../../x", "/etc/hostname", "~nosuch/x", [], {}, [None], [[]], ["x", 1], {"x": 1}, {"": {}}, [0] * 50,
)  # fmt: skip


def mutate(run: Path, random_: random.Random) -> str:
    """Change one file of a run, and say which and how."""
    name = random_.choice([name for name in FILES if name in ("checkpoint", "latest") or (run / name).exists()])
    if name == "checkpoint":
        return f"a checkpoint: {_change_checkpoints(run, random_)}"
    path = run / "checkpoints" / name if name == "latest" else run / name
    how = random_.choice((_change_value, _change_value, _change_value, _change_bytes))
    return f"{name}: {how(path, random_)}"


def _change_bytes(path: Path, random_: random.Random) -> str:
    if not path.exists():
        return "away before"
    data = path.read_bytes()
    place = random_.randrange(len(data) or 1)
    changes: dict[str, Callable[[], bytes | None]] = {
        "away": lambda: None,
        "empty": lambda: b"",
        "cut": lambda: bytes(data[:place]),
        "twice": lambda: bytes(data) * 2,
        "a byte": lambda: bytes(data[:place]) + bytes([random_.randrange(256)]) + bytes(data[place + 1 :]),
        "noise": lambda: random_.randbytes(200),
        "no UTF-8": lambda: bytes(data[:place]) + b"\xff\xfe" + bytes(data[place:]),
        "NUL": lambda: b"\0" * 100,
        "brackets": lambda: b"[" * 100_000,
        "a number": lambda: b"9" * 10_000,
        "a line": lambda: bytes(data) + b"\n[1]\n",
        "surrogates": lambda: bytes(data).replace(b'"', b'"\\ud800', 1),
    }
    what = random_.choice([*changes])
    changed = changes[what]()
    path.unlink() if changed is None else path.write_bytes(changed)
    return what


def _change_value(path: Path, random_: random.Random) -> str:
    """Change a value in a file of JSON or YAML; in any other, bytes."""
    if not path.exists():
        return "away before"
    text = path.read_bytes()
    try:
        return _change_data(path, text, random_)
    except (ValueError, RecursionError, yaml.YAMLError):  # it was changed before
        return _change_bytes(path, random_)


def _change_data(path: Path, text: bytes, random_: random.Random) -> str:
    if path.suffix == ".jsonl":
        lines = text.decode().splitlines()
        row = random_.randrange(len(lines))
        document, what = changed_document(json.loads(lines[row]), random_)
        lines[row] = json.dumps(document)
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".json":
        document, what = changed_document(json.loads(text), random_)
        path.write_text(json.dumps(document))
    elif path.name == "config.yaml":
        document, what = changed_document(yaml.safe_load(text), random_)
        path.write_text(yaml.safe_dump(document))
    else:
        what = _change_bytes(path, random_)
    return what


def changed_document(document: Any, random_: random.Random) -> tuple[Any, str]:
    """Plain data with one value of it, at any depth, taken away, put elsewhere or replaced; and what was done."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(document)
    if not places or random_.random() < 0.1:
        value = random_.choice(VALUES)
        return value, f"all of it {value!r:.40}"
    holder, key = random_.choice(places)
    how = random_.choice(("replace", "replace", "replace", "away", "another key"))
    if how == "replace":
        holder[key] = random_.choice(VALUES)
        return document, f"{key} is {holder[key]!r:.40}"
    taken = holder.pop(key)
    if how == "another key" and isinstance(holder, dict):
        holder[random_.choice(("x", "", "1"))] = taken
    return document, f"{key} {how}"


def _change_checkpoints(run: Path, random_: random.Random) -> str:
    """Every checkpoint with something else in it, under the digest of that; or with its bytes changed."""
    what = ""
    for path in (run / "checkpoints").glob("*.pt"):
        if random_.random() < 0.2:
            what = _change_bytes(path, random_)
            continue
        try:
            state = torch.load(path, weights_only=True)
        except Exception:  # it was changed before
            continue
        if isinstance(state, dict) and "model" in state and random_.random() < 0.3:
            what = _change_tensor(state, random_)
        else:
            state, what = changed_document(state, random_)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:32]
        path.unlink()
        path.with_name(f"{path.name[:9]}-{digest}.pt").write_bytes(buffer.getvalue())
    return what


def _change_tensor(state: Any, random_: random.Random) -> str:
    tensors: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            if isinstance(value[key], torch.Tensor):
                tensors.append((value, key))
            walk(value[key])

    walk(state)
    holder, key = random_.choice(tensors)
    tensor = holder[key]
    changes: dict[str, Callable[[], torch.Tensor]] = {
        "empty": lambda: torch.zeros(0),
        "complex": lambda: tensor.to(torch.complex64),
        "bool": tensor.bool,
        "flat": lambda: tensor.reshape(-1),
        "sparse": tensor.to_sparse,
        "meta": lambda: tensor.to("meta"),
        "long": lambda: torch.zeros(10, dtype=torch.long),
        "not finite": lambda: torch.full_like(tensor.float(), float("nan")),
    }
    what = random_.choice([*changes])
    holder[key] = changes[what]()
    return f"{key} {what}"

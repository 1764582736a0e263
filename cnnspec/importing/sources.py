"""What a SOURCE is: the words by which people name a network that is not written as a spec.

    net.py:factory(width=64)       a function or class of a Python file, called        runs code
    timm:resnet26,resnet50         models of timm; several become variants of one spec  runs code
    torchvision:resnet18(num_classes=10)                                                runs code
    pt2:model.pt2                  what `torch.export.save` wrote, which torch unpickles runs code
    model.onnx, model.keras, config.json                                                run nothing

A file that runs code is taken only where the word before the colon says so.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

__all__ = ["Named", "SourceName", "is_source", "parse_source", "published", "runs_code"]

Kind: TypeAlias = Literal["python", "timm", "torchvision", "pt2", "file"]

_LIBRARIES: Final = ("timm", "torchvision")
_FILES: Final = (".onnx", ".keras", ".h5")
_TORCH_FILES: Final = (".pt2",)
_EXAMPLE: Final = "write `net.py:factory(width=64)`"


@dataclass(frozen=True, slots=True)
class Named:
    """One network of a source: what makes it, and with which arguments."""

    name: str
    positional: tuple[Any, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source that has been named."""

    text: str
    kind: Kind
    path: Path | None = None  # of the file
    named: tuple[Named, ...] = ()

    @property
    def warning(self) -> str | None:
        """That code of others runs when it is read, if so."""
        if self.kind == "python":
            return f"runs the code in {self.path}"
        if self.kind == "pt2":
            return f"lets torch unpickle {self.path}, which can run code in it"
        return f"runs the code of {self.kind}" if self.kind in _LIBRARIES else None

    @property
    def stands_at(self) -> Path:
        """The file, of a source that is one."""
        assert self.path is not None
        return self.path

    @property
    def stem(self) -> str:
        """What a network may be called after it."""
        if self.named:
            return self.named[0].name
        assert self.path is not None
        return self.path.stem


def parse_source(text: str) -> SourceName | None:
    """The source that a text names; None for what may be a spec or a run.

    Raises UsageError for a source that is not well written, and for a file that runs code and is named without saying
    so.
    """
    head, colon, rest = text.partition(":")
    if colon and head in (*_LIBRARIES, "pt2"):
        if head == "pt2":
            return SourceName(text, "pt2", Path(rest))
        named = tuple(_named(part, text) for part in _split(rest))
        if not named:
            raise UsageError(f"`{text}` names no model", hint=f"write `{head}:resnet50`")
        return SourceName(text, "timm" if head == "timm" else "torchvision", named=named)
    if found := re.fullmatch(r"(.+\.py):(.+)", text, re.DOTALL):
        return SourceName(text, "python", Path(found[1]), (_named(found[2], text),))
    suffix = Path(text).suffix.lower()
    if suffix == ".py":
        raise UsageError(f"{text}: which function or class of it makes the network?", hint=f"{_EXAMPLE}: it is run")
    if suffix in _TORCH_FILES:
        hint = f"`pt2:{text}` says that it may, where you trust who wrote it"
        raise UsageError(f"{text} is loaded by torch, which can run code in it", hint=hint)
    if suffix in _FILES or (suffix == ".json" and _is_keras(Path(text))):
        return SourceName(text, "file", Path(text))
    if colon and head.isidentifier() and (near := did_you_mean(head, (*_LIBRARIES, "pt2"))):
        raise UsageError(f"`{text}` names no source", hint=near)
    return None


def published(weights: str) -> tuple[str, str] | None:
    """The library and the name, where `weights` are those that a library publishes: `torchvision:IMAGENET1K_V1`.

    With arguments a SOURCE is named, and its network is made as they say.
    """
    found = re.fullmatch(r"(torchvision|timm):([\w.\-]+)", weights)
    return None if found is None else (found[1], found[2])


def runs_code(weights: str) -> str | None:
    """What code of others runs where these weights are read, if any. Raises as `parse_source`.

    What torchvision publishes is a file of tensors with a digest, and whatever trains here has torchvision anyway.
    """
    source = parse_source(weights)
    named = published(weights)
    return None if source is None or (named and named[0] == "torchvision") else source.warning


def is_source(spec: str | os.PathLike[str]) -> bool:
    """Whether a network of another maker is named, and no spec and no run. Raises as `parse_source`."""
    text = os.fspath(spec)
    return isinstance(text, str) and parse_source(text) is not None


def _is_keras(path: Path) -> bool:
    """Whether a JSON file is a configuration of Keras, and no spec."""
    try:
        with open(path, "rb") as file:
            start = file.read(2**16)
    except (OSError, ValueError):
        return False
    return b'"class_name"' in start and b'"cnnspec"' not in start


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _named(text: str, source: str) -> Named:
    """`name` or `name(arguments)`, whose arguments are plain values. Raises UsageError."""
    name, bracket, rest = text.partition("(")
    if not re.fullmatch(r"[\w.\-]+", name):
        raise UsageError(f"`{source}`: `{text:.60}` is no name", hint=_EXAMPLE)
    if not bracket:
        return Named(name)
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(call, ast.Call) or any(each.arg is None for each in call.keywords):
            raise ValueError
        positional = tuple(ast.literal_eval(each) for each in call.args)
        return Named(name, positional, {str(each.arg): ast.literal_eval(each.value) for each in call.keywords})
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        hint = f"numbers, words in quotes, lists, True, False, None: {_EXAMPLE}"
        raise UsageError(f"`{source}`: the arguments of `{name}` are no plain values", hint=hint) from None

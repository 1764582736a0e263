"""From a tree of values and remarks to the text of a spec, in YAML or JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from cnnspec.language.document import BODIES
from cnnspec.language.shorthand import Spelled
from cnnspec.language.yaml_reader import is_plain_text

__all__ = ["Branch", "Entry", "Leaf", "grown", "json_text", "yaml_text"]

WIDTH: Final = 120
LONGEST_KEY: Final = 1000  # that YAML takes without `? ` before it: 1024, with what stands around it

_NOT_AS_IT_IS = re.compile("[\x7f-\x9f\u2028\u2029\ufffe\uffff]")  # line breaks to YAML, or no characters
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


@dataclass(slots=True)
class Leaf:
    """A scalar: a text, or anything else as it is spelled."""

    value: Any
    spelling: str
    quoted: bool = False


@dataclass(slots=True)
class Branch:
    """A list or mapping; `flow` in brackets, if it fits on its line."""

    entries: list[Entry]
    named: bool
    flow: bool


@dataclass(slots=True)
class Entry:
    """A child with its key, the remarks above it, and the one behind it."""

    key: str | None
    value: Leaf | Branch
    above: list[str] = field(default_factory=list)
    after: str | None = None


def grown(value: Any) -> Leaf | Branch:
    """Plain data as a tree in brackets."""
    if isinstance(value, dict):
        return Branch([Entry(key, grown(item)) for key, item in value.items()], True, True)
    if isinstance(value, list):
        return Branch([Entry(None, grown(item)) for item in value], False, True)
    if isinstance(value, Spelled):
        return Leaf(value.value, value.spelling)
    return Leaf(value, value if isinstance(value, str) else json.dumps(value))


# YAML ---------------------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return _NOT_AS_IT_IS.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _scalar(leaf: Leaf, *, inside: bool) -> str:
    if not isinstance(leaf.value, str):
        return leaf.spelling or "null"
    plain = not leaf.quoted and is_plain_text(leaf.value, inside=inside)
    return leaf.value if plain else _quoted(leaf.value)


def _key(key: str, *, inside: bool) -> str:
    return key if is_plain_text(key, inside=inside, key=True) else _quoted(key)


def _pair(key: str, value: str) -> str:
    name = _key(key, inside=True)
    return f"{name}: {value}" if len(name) <= LONGEST_KEY else f"? {name} : {value}"


def _flow_text(value: Leaf | Branch) -> str:
    if isinstance(value, Leaf):
        return _scalar(value, inside=True)
    items = [
        _flow_text(entry.value) if entry.key is None else _pair(entry.key, _flow_text(entry.value))
        for entry in value.entries
    ]
    return f"{{{', '.join(items)}}}" if value.named else f"[{', '.join(items)}]"


def _block_lines(branch: Branch, indent: int) -> list[str]:
    lines: list[str] = []
    pad = " " * indent
    for entry in branch.entries:
        lines += [f"{pad}{remark}" if remark else "" for remark in entry.above]
        head = f"{pad}- " if entry.key is None else f"{pad}{_key(entry.key, inside=False)}:"
        if len(head) > indent + LONGEST_KEY:
            lines.append(f"{pad}? {head[indent:-1]}")
            head = f"{pad}:"
        value = entry.value
        text = None
        if isinstance(value, Leaf):
            text = _scalar(value, inside=False)
        elif value.flow or not value.entries:
            text = _flow_text(value)
            if len(head) + len(text) + 1 > WIDTH and value.entries:
                text = None
        after = f"  {entry.after}" if entry.after else ""
        if text is not None:
            lines.append(f"{head if entry.key is None else head + ' '}{text}{after}")
            continue
        assert isinstance(value, Branch)
        inner = _block_lines(value, indent + 2)
        if entry.key is not None:
            lines.append(head + after)
        else:  # the first child stands behind the dash, below the remark of a line that was too long
            lines += [f"{pad}{entry.after}"] if entry.after else []
            while inner[0].lstrip().startswith("#"):
                lines.append(f"{pad}{inner.pop(0).lstrip()}")
            inner[0] = f"{head}{inner[0][indent + 2 :]}"
        lines += inner
    return lines


def yaml_text(tree: Branch, below: list[str]) -> str:
    """The YAML of a document, and the remarks below it."""
    return "\n".join([*_block_lines(tree, 0), *below]).strip("\n") + "\n"


# JSON ---------------------------------------------------------------------------------------------------------------


def _json_line(value: Leaf | Branch) -> str:
    if isinstance(value, Leaf):
        number = not isinstance(value.value, str) and _JSON_NUMBER.fullmatch(value.spelling)
        return value.spelling if number else json.dumps(value.value, ensure_ascii=False)
    items = [
        _json_line(entry.value) if entry.key is None else f"{_json_name(entry.key)}: {_json_line(entry.value)}"
        for entry in value.entries
    ]
    return f"{{{', '.join(items)}}}" if value.named else f"[{', '.join(items)}]"


def _json_name(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def json_text(value: Leaf | Branch, indent: int = 0, *, open_up: bool = True) -> str:
    """The JSON of a value; `open_up` gives each child a line, short as it may be."""
    text = _json_line(value)
    if isinstance(value, Leaf) or not value.entries or (len(text) + indent < WIDTH and not open_up):
        return text
    pad = " " * (indent + 2)
    lines = []
    for entry in value.entries:
        opened = entry.key in (*BODIES, "blocks") or (open_up and entry.key is None and isinstance(entry.value, Branch))
        inner = json_text(entry.value, indent + 2, open_up=opened)
        lines.append(pad + (f"{_json_name(entry.key)}: {inner}" if entry.key is not None else inner))
    opening, closing = "{}" if value.named else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}"

"""Bytes to values that remember their place. Nothing here knows what a spec means."""

from __future__ import annotations

from typing import Final

from cnnspec.language.tree import CONTROL, Lines, Text, fail
from cnnspec.language.yaml_reader import read_yaml

__all__ = ["MAX_JSON_BYTES", "MAX_YAML_BYTES", "read_text"]

MAX_YAML_BYTES: Final = 2 * 2**20
MAX_JSON_BYTES: Final = 8 * 2**20


def read_text(data: bytes, *, json: bool) -> Text:
    """The value that a file holds, and its text. Raises SourceError."""
    limit = MAX_JSON_BYTES if json else MAX_YAML_BYTES
    if len(data) > limit:
        raise fail("E117", f"the file is larger than {limit // 2**20} MiB, the most that a {_kind(json)} spec may have")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8", "replace")
        raise fail("E101", f"not UTF-8 text: {error.reason}", Lines(good).place(len(good))) from None
    if control := CONTROL.search(text):
        what = f"the character U+{ord(control[0]):04X}, which cannot be seen"
        raise fail("E101", f"the text holds {what}", Lines(text).place(control.start()))
    if not text.strip():
        raise fail("E102", "the file is empty", help="`cnnspec init` writes a spec to start from")
    if json:
        from cnnspec.language.json_reader import read_json

        return read_json(text)
    return read_yaml(text)


def _kind(json: bool) -> str:
    return "JSON" if json else "YAML"

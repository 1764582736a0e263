"""The plain fields of a document: what each takes, and a header of those that are in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from cnnspec.hints import did_you_mean
from cnnspec.language.document import Header, LintOptions
from cnnspec.language.read_parts import HEADER_KEYS, Parts, without_space
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value, plain
from cnnspec.tasks import TASK_NAMES, TaskName, TaskOptions

__all__ = ["MAX_TEXT", "NAME", "TASK_KEYS", "WARNING", "read_header"]

MAX_TEXT: Final = 10_000  # characters of a text
NAME: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"
WARNING: Final = "W3[0-9][0-9]"

_FORM: Final[dict[str, str]] = {
    "name": "a name is letters, digits, `.`, `_` and `-`",
    "description": "`description` is a text",
    "reference": "`reference` is a text",
    "classes": "`classes` is a list of texts",
    "task": f"`task` is one of {', '.join(TASK_NAMES)}; or a mapping with it as `type`",
    "outputs": "`outputs` is a list of names of nodes",
    "aux_outputs": "`aux_outputs` is a list of names of nodes",
    "train": "`train` is a mapping",
    "lint": "`lint` lists the warnings that are not wanted: `lint: {ignore: [W305]}`",
}


# What may be said of each task beside its name.
TASK_KEYS: Final[dict[TaskName, dict[str, str]]] = {
    "classification": {},
    "multi-label": {},
    "regression": {"numbers": "the names of the output's numbers", "units": "the unit of each number"},
    "segmentation": {"ignore": "what stands in a mask where there is no class, 255 where not given"},
}


class _UnfitError(Exception):
    """The value that a field does not take. `form` says what it takes there, where that is not what the field says, and
    `known` are the words of which it may have been meant to be one."""

    def __init__(
        self, value: Value, *, listed: bool = False, form: str | None = None, known: Sequence[str] = ()
    ) -> None:
        self.value = value
        self.form = form
        self.known = known
        self.listed = listed  # it is an item of a list


def read_header(root: MapValue, parts: Parts) -> Header:
    """The header of a document. A field that has a fault is reported, and is as if it were not there."""
    fields: dict[str, Any] = {}
    for key in HEADER_KEYS:
        value = root.get(key)
        if value is None or key == "cnnspec":  # which was read before anything else
            continue
        try:
            fields[key] = _field(key, value)
        except _UnfitError as unfit:
            label: str | None = None
            hint = without_space(unfit.value) if key == "train" else None
            if isinstance(unfit.value, Scalar):
                label = did_you_mean(unfit.value.spelling, unfit.known)
            if unfit.listed and isinstance(unfit.value, Scalar):
                if key == "lint":
                    label = f"`{unfit.value.spelling:.40}` is no code of a warning, as `W305` is"
                elif not isinstance(unfit.value.value, (str, type(None))):
                    hint = f'quote the names that YAML takes for something else: `"{unfit.value.spelling:.40}"`'
            parts.error("E107", unfit.form or _FORM[key], unfit.value.place, label, hint)
    return Header(**fields)


def _field(key: str, value: Value) -> Any:
    match key:
        case "name":
            return _text(value, NAME, 100)
        case "description" | "reference":
            return None if isinstance(value, Scalar) and value.value is None else _text(value)
        case "train":
            return plain(_mapping(value))
        case "task":
            return _task(value)
        case "lint":
            return _lint(_mapping(value))
        case _:
            return _texts(value)


def _text(value: Value, pattern: str | None = None, longest: int = MAX_TEXT, *, listed: bool = False) -> str:
    text = value.value if isinstance(value, Scalar) else None
    if isinstance(text, str) and len(text) <= longest and (pattern is None or re.fullmatch(pattern, text)):
        return text
    raise _UnfitError(value, listed=listed)


def _texts(value: Value, pattern: str | None = None) -> tuple[str, ...]:
    if not isinstance(value, ListValue):
        raise _UnfitError(value)
    return tuple(_text(item, pattern, listed=True) for item in value.items)


def _mapping(value: Value) -> MapValue:
    if isinstance(value, MapValue):
        return value
    raise _UnfitError(value)


def _lint(value: MapValue) -> LintOptions:
    ignored = value.get("ignore")
    options = LintOptions() if ignored is None else LintOptions(_texts(ignored, WARNING))
    for key, _ in value.entries:
        if key.value not in LintOptions._fields:
            raise _UnfitError(key, known=LintOptions._fields)
    return options


def _task(value: Value) -> TaskOptions:
    if isinstance(value, Scalar):
        return TaskOptions(_task_name(value))
    kind = _mapping(value).get("type")
    if kind is None:
        raise _UnfitError(value)
    name = _task_name(kind)
    fields: dict[str, Any] = {}
    for key, item in _mapping(value).entries:
        if key.value == "type":
            continue
        if key.value not in TASK_KEYS[name]:
            raise _UnfitError(key, known=("type", *TASK_KEYS[name]))
        if key.value == "ignore":
            number = item.value if isinstance(item, Scalar) else None
            if type(number) is not int or not 0 <= number <= 255:
                raise _UnfitError(
                    item, form="`ignore` is a whole number from 0 to 255, as masks are read and kept as bytes"
                )
            fields["ignore"] = number
        else:
            fields[key.value] = _texts(item)
    return TaskOptions(name, **fields)


def _task_name(value: Value) -> TaskName:
    text = value.value if isinstance(value, Scalar) else None
    for name in TASK_NAMES:
        if text == name:
            return name
    raise _UnfitError(value, known=TASK_NAMES)

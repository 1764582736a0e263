"""A JSON Schema (draft-07) of specs, with which an editor completes keys and underlines wrong ones.

Each choice is made by `if` and `then` instead of a union: a validator then names the argument that is wrong, and does
not list every operator that the layer is not.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from cnnspec.intake import FITS, INPUT_KEYS
from cnnspec.language.document import BODIES, INLINE, TYPES, SearchSection
from cnnspec.language.figures import FIGURES
from cnnspec.language.read_body import JOIN_NAMES
from cnnspec.language.read_header import MAX_TEXT, NAME, TASK_KEYS, WARNING
from cnnspec.language.search_section import COSTS, KINDS, SAMPLERS, SEARCH_KEYS
from cnnspec.ops import AbstractOp, operators
from cnnspec.tasks import TASK_NAMES

__all__ = ["json_schema"]

Schema = dict[str, Any]

_IDENTIFIER: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
_EXPRESSION: Final[Schema] = {"type": ["number", "string", "boolean", "null", "array"]}
_COUNT: Final[Schema] = {"type": ["integer", "string"]}
_NAMES: Final[Schema] = {"type": ["string", "array"], "items": {"type": "string"}}
_COMMON: Final[Schema] = {
    "in": {**_NAMES, "description": "The earlier nodes that this one reads; without it, the node before."},
    "repeat": {**_COUNT, "description": "How many copies there are; `i` counts them from 0."},
    "when": {"type": ["boolean", "string"], "description": "A condition; where it is false the layer is absent."},
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _kinds(annotation: Any) -> set[str]:
    """The JSON types of a field's values. Every value may also be written as an expression, a string."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return {kind for part in get_args(annotation) for kind in _kinds(part)}
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin is tuple:
        return {"integer", "array"}
    if origin is Literal:
        return {"string"}
    return {int: {"integer"}, float: {"number"}, bool: {"boolean"}, NoneType: {"null"}}.get(annotation, {"string"})


def _operator(op: type[AbstractOp]) -> Schema:
    """The long form of one operator."""
    properties: Schema = {"type": {}, **_COMMON}
    required = ["type"]
    for name, field in op.fields().items():
        if name == "rank":
            continue
        kinds = sorted(_kinds(field.annotation) | {"string"})
        items = {"items": {"type": ["integer", "string", "null"]}} if "array" in kinds else {}
        properties[name] = {"type": kinds, **items}
        if field.required:
            required.append(name)
        elif field.default is not None and not isinstance(field.default, tuple):
            properties[name]["default"] = field.default
    if op.__name__ in JOIN_NAMES:
        required.append("in")
    first = (op.__doc__ or "").split("\n")[0]
    return {
        "description": first,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _header() -> Schema:
    """The fields that are plain data."""
    text: Schema = {"type": "string", "maxLength": MAX_TEXT}
    texts: Schema = {"type": "array", "items": text}
    warnings: Schema = {"type": "array", "items": {"type": "string", "pattern": f"^{WARNING}$"}}
    return {
        "cnnspec": {"const": 1, "type": "integer"},
        "name": {"type": "string", "pattern": f"^{NAME}$", "maxLength": 100, "default": "network"},
        "description": {**text, "type": ["string", "null"]},
        "reference": {**text, "type": ["string", "null"]},
        "classes": texts,
        "task": _task(),
        "outputs": texts,
        "aux_outputs": texts,
        "train": {"type": "object"},
        "lint": {
            "type": "object",
            "description": "What the spec's author has considered: the codes of warnings that are not given about it.",
            "properties": {"ignore": warnings},
            "additionalProperties": False,
        },
    }


def _task() -> Schema:
    """What the network is for: a word, or a mapping with what goes with it."""
    word: Schema = {"enum": [*TASK_NAMES]}
    kinds: Schema = {"ignore": {"type": "integer", "minimum": 0, "maximum": 255}}
    texts: Schema = {"type": "array", "items": {"type": "string", "maxLength": MAX_TEXT}}
    forms = [
        (
            {"type": "object", "properties": {"type": {"const": name}}, "required": ["type"]},
            {
                "properties": {
                    "type": word,
                    **{key: {**kinds.get(key, texts), "description": meaning} for key, meaning in keys.items()},
                },
                "required": ["type"],
                "additionalProperties": False,
            },
        )
        for name, keys in TASK_KEYS.items()
    ]
    whole = _choose([({"type": "object"}, _choose(forms, {"properties": {"type": word}, "required": ["type"]}))], word)
    return {**whole, "description": "What the network is for; followed from its output where that says it."}


def _search() -> Schema:
    """The section `search`."""
    number: Schema = {"type": "number"}
    ends: Schema = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    ranges = {kind: {**ends, "description": meaning} for kind, meaning in KINDS.items()}
    domain = _choose(
        [({"type": "object"}, {"properties": {**ranges, "step": number}, "additionalProperties": False})],
        {"type": "array", "minItems": 1, "description": "The values to choose from."},
    )
    limits: Schema = {
        name: {"type": ["string", "number"], "description": f"{figure.meaning}; as `500k`, `1MB`, `2ms`, `>= 28`"}
        for name, figure in FIGURES.items()
    }
    count: Schema = {"type": "integer", "minimum": 1}
    keys: Schema = {
        "space": {"type": "object", "minProperties": 1, "additionalProperties": domain},
        "limits": {"type": "object", "properties": limits, "additionalProperties": False},
        "trials": {**count, "default": SearchSection().trials},
        "epochs": count,
        "cost": {"enum": [*COSTS], "default": SearchSection().cost},
        "prune": {"type": "boolean", "default": SearchSection().prune},
        "sampler": {"enum": [*SAMPLERS], "default": SearchSection().sampler},
    }
    return {
        "type": "object",
        "description": "What may vary in a search for the best network, what it may cost, and how long to look.",
        "properties": {key: {**keys[key], "description": meaning} for key, meaning in SEARCH_KEYS.items()},
        "required": ["space"],
        "additionalProperties": False,
    }


def _choose(pairs: list[tuple[Schema, Schema]], otherwise: Schema) -> Schema:
    """The schema of the first condition that holds."""
    for condition, then in reversed(pairs):
        otherwise = {"if": condition, "then": then, "else": otherwise}
    return otherwise


def _definitions() -> Schema:
    ops = operators()
    bodies = {body: _ref("body") for body in BODIES}
    one_body = {"oneOf": [{"required": [body]} for body in (*BODIES, INLINE)]}
    is_a = {name: {"properties": {"type": {"const": name}}} for name in ops}
    params = {
        "type": "object",
        "propertyNames": {"pattern": _IDENTIFIER},
        "additionalProperties": {
            **_EXPRESSION,
            "description": f"A type ({', '.join(TYPES)}), or a default value or expression.",
        },
    }
    values = {"type": "object", "propertyNames": {"pattern": _IDENTIFIER}, "additionalProperties": _EXPRESSION}
    return {
        "body": {
            "type": ["array", "object"],
            "items": _ref("item"),
            "additionalProperties": _ref("item"),
            "description": "Layers, as a list (their names are 0, 1, …) or as a mapping of names.",
        },
        "item": _choose(
            [({"type": "object"}, _ref("long")), ({"type": "array"}, {"items": _ref("item")})],
            _ref("line"),
        ),
        "line": {
            "type": "string",
            "pattern": r"^\s*[A-Za-z_]",
            "description": "One layer: Call(arguments)(reads) * copies if condition",
            "examples": sorted(ops),
        },
        "long": {"if": {"required": ["type"]}, "then": _ref("call"), "else": _ref("nested")},
        "nested": {
            "properties": {**bodies, INLINE: {"type": "array", "items": _ref("item")}, **_COMMON},
            "additionalProperties": False,
            **one_body,
        },
        "call": {
            "properties": {"type": {"type": "string", "pattern": _IDENTIFIER, "examples": sorted(ops)}},
            "allOf": [{"if": is_a[name], "then": _ref(name)} for name in ops],
        },
        "params": params,
        "values": values,
        "block": {
            "type": "object",
            "properties": {"params": _ref("params"), "let": _ref("values"), "inputs": _NAMES, **bodies},
            "additionalProperties": False,
            "oneOf": [{"required": [body]} for body in BODIES],
        },
        **{name: _operator(op) for name, (op, _) in ops.items()},
    }


@cache
def json_schema() -> Schema:
    """The schema of a spec, as plain data."""
    numbers = {"type": ["number", "array", "string"], "items": {"type": "number"}}  # a string names a parameter
    shape = {"type": ["array", "integer", "string"], "items": _COUNT, "maxItems": 4}
    full_input = {
        "properties": {
            "shape": shape,
            "mean": numbers,
            "std": numbers,
            "fit": {"enum": [*FITS], "description": INPUT_KEYS["fit"]},
            **{key: {**_COUNT, "description": INPUT_KEYS[key]} for key in ("resize", "rate")},
        },
        "required": ["shape"],
        "additionalProperties": False,
    }
    properties = {
        **_header(),
        "input": _choose([({"type": "object"}, full_input)], shape),
        "params": _ref("params"),
        "let": _ref("values"),
        "variants": {"type": "object", "additionalProperties": _ref("values")},
        "blocks": {
            "type": "object",
            "propertyNames": {"pattern": _IDENTIFIER},
            "additionalProperties": _ref("block"),
        },
        **{body: _ref("body") for body in BODIES},
        "search": _search(),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A convolutional network, as cnnspec reads it",
        "type": "object",
        "properties": properties,
        "required": ["cnnspec", "input"],
        "additionalProperties": False,
        "oneOf": [{"required": [body]} for body in BODIES],
        "definitions": _definitions(),
    }

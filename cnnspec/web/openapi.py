"""What the served network takes and gives, as OpenAPI 3.1 says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cnnspec.tasks import TASKS, TaskName
from cnnspec.version import __version__
from cnnspec.web.asked import JSON, MASKS, NPY

if TYPE_CHECKING:
    from cnnspec.ops import Shape
    from cnnspec.web.asked import Limits

__all__ = ["description"]

Schema = dict[str, Any]

_ERROR: Final = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}, "help": {"type": "string"}},
}
_SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_SHARES: Final = {"type": "object", "additionalProperties": _SHARE}
_TOP: Final = {"type": "integer", "minimum": 1, "default": 5, "description": "how many classes to tell"}
_INVERT: Final = {"type": "boolean", "default": False, "description": "for dark digits on white paper"}
_MASK: Final = {
    "type": "string",
    "enum": list(MASKS),
    "default": "png",
    "description": "the mask as a PNG in base64, as nested lists of numbers, or not at all",
}
_GUESS: Final = {
    "type": "object",
    "required": ["label", "index", "probability"],
    "properties": {
        "label": {"type": "string"},
        "index": {"type": "integer", "minimum": 0},
        "probability": _SHARE,
    },
}


def _answer(task: TaskName, places: int) -> Schema:
    """What is said of one sample; `places` is the number of axes of a mask."""
    match task:
        case "classification":
            guesses = {
                "type": "array",
                "description": "the most probable classes, most probable first",
                "items": _GUESS,
            }
            return _object({"predictions": guesses})
        case "multi-label":
            labels = {"type": "array", "description": "those that reach their thresholds", "items": {"type": "string"}}
            return _object({"labels": labels, "probabilities": _SHARES})
        case "regression":
            numbers = {"type": "object", "description": "by their names", "additionalProperties": {"type": "number"}}
            units = {"type": "object", "description": "by the names", "additionalProperties": {"type": "string"}}
            return _object({"numbers": numbers}, {"units": units})
        case "segmentation":
            picture = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
            values = {"type": "array", "description": f"the number of the class, in lists nested {places} deep"}
            return _object(
                {"shares": {**_SHARES, "description": "of the places that each class has"}},
                {"mask": {"oneOf": [picture, values]} if places == 2 else values},
            )


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


def _json(schema: Schema) -> Schema:
    return {JSON: {"schema": schema}}


def _failure(description: str) -> Schema:
    return {"description": description, "content": _json(_object({"error": _ERROR}))}


def _files(shape: Shape) -> tuple[str, ...]:
    """The kinds of files that become such an input."""
    if len(shape) == 3 and shape[0] in (1, 3):
        return ("image/*", "application/octet-stream")
    return ("audio/wav", "application/octet-stream") if len(shape) == 2 else ()


def description(name: str, task: TaskName, shape: Shape, limits: Limits) -> Schema:
    """The document, for a network of this name, task and input `(C, …)`, and these limits."""
    files, sizes = _files(shape), ", ".join(map(str, shape))
    one = _answer(task, len(shape) - 1)
    several = _object({"results": {"type": "array", "items": {"anyOf": [one, _object({"error": _ERROR})]}}})
    options: Schema = {"invert": _INVERT} if "image/*" in files else {}
    told: Schema = {"classification": {"top": _TOP}, "segmentation": {"mask": _MASK}}
    options |= told.get(task, {})
    bounds = {"type": "array", "minItems": 1, "maxItems": limits.images}
    sent: Schema = {"inputs": {**bounds, "description": f"each as nested lists of numbers, ({sizes})", "items": {}}}
    if files:
        base64 = {"type": "string", "contentEncoding": "base64"}
        sent["images"] = {**bounds, "description": "each the bytes of a file", "items": base64}
    request = {
        "type": "object",
        "oneOf": [{"required": [key]} for key in sent],
        "additionalProperties": False,
        "properties": sent | options,
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    array = {"schema": {"type": "string", "format": "binary", "description": f"numpy's, (N, {sizes})"}}
    answered = _json({"oneOf": [one, several]} if files else several)
    if task == "segmentation" and len(shape) == 3:
        answered["image/png"] = {
            "schema": {"type": "string", "format": "binary", "description": "the mask of one image"}
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": __version__, "description": f"A request has at most {limits.body:,} bytes."},
        "paths": {
            "/v1/predict": {
                "post": {
                    "summary": f"What the network says of one sample, or of several: {TASKS[task].taught}",
                    "parameters": [{"name": key, "in": "query", "schema": schema} for key, schema in options.items()],
                    "requestBody": {
                        "required": True,
                        "content": {**dict.fromkeys(files, binary), NPY[0]: array, **_json(request)},
                    },
                    "responses": {
                        "200": {"description": "what the network says", "content": answered},
                        "400": _failure("the request is not as it has to be"),
                        "408": _failure("the request came too slowly"),
                        "413": _failure("the request is too long"),
                        "422": _failure("what was sent cannot be read"),
                        "503": _failure("too many samples wait"),
                    },
                }
            },
            "/v1/model": {
                "get": {
                    "summary": "The network",
                    "responses": {"200": {"description": "its name, task, input and classes"}},
                }
            },
            "/healthz": {"get": {"summary": "Whether it is there", "responses": {"200": {"description": "it is"}}}},
        },
    }

"""What the served network takes and gives, as OpenAPI 3.1 says it."""

from __future__ import annotations

from typing import Any, Final

from cnnspec.version import __version__

__all__ = ["description"]

_ERROR: Final = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}, "help": {"type": "string"}},
}
_PREDICTIONS: Final = {
    "type": "array",
    "description": "the most probable classes, most probable first",
    "items": {
        "type": "object",
        "required": ["label", "index", "probability"],
        "properties": {
            "label": {"type": "string"},
            "index": {"type": "integer", "minimum": 0},
            "probability": {"type": "number", "minimum": 0, "maximum": 1},
        },
    },
}
_TOP: Final = {"type": "integer", "minimum": 1, "default": 5, "description": "how many classes to tell"}
_INVERT: Final = {"type": "boolean", "default": False, "description": "for dark digits on white paper"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _failure(description: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["error"], "properties": {"error": _ERROR}}
    return {"description": description, "content": _json(schema)}


def description(name: str, images: int, body: int) -> dict[str, Any]:
    """The document, for a network of this name and these limits."""
    one = {"type": "object", "required": ["predictions"], "properties": {"predictions": _PREDICTIONS}}
    each = {"anyOf": [one, {"type": "object", "required": ["error"], "properties": {"error": _ERROR}}]}
    several = {"type": "object", "required": ["results"], "properties": {"results": {"type": "array", "items": each}}}
    request = {
        "type": "object",
        "required": ["images"],
        "additionalProperties": False,
        "properties": {
            "images": {
                "type": "array",
                "minItems": 1,
                "maxItems": images,
                "items": {"type": "string", "contentEncoding": "base64"},
            },
            "top": _TOP,
            "invert": _INVERT,
        },
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": __version__, "description": f"A request has at most {body:,} bytes."},
        "paths": {
            "/v1/predict": {
                "post": {
                    "summary": "The most probable classes of one image, or of several",
                    "parameters": [
                        {"name": "top", "in": "query", "schema": _TOP},
                        {"name": "invert", "in": "query", "schema": _INVERT},
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"image/*": binary, "application/octet-stream": binary, **_json(request)},
                    },
                    "responses": {
                        "200": {"description": "what the network says", "content": _json({"oneOf": [one, several]})},
                        "400": _failure("the request is not as it has to be"),
                        "408": _failure("the request came too slowly"),
                        "413": _failure("the request is too long"),
                        "422": _failure("the image cannot be read"),
                        "503": _failure("too many images wait"),
                    },
                }
            },
            "/v1/model": {
                "get": {"summary": "The network", "responses": {"200": {"description": "its name and classes"}}}
            },
            "/healthz": {"get": {"summary": "Whether it is there", "responses": {"200": {"description": "it is"}}}},
        },
    }

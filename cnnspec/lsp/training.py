"""What the editor is told of training, whose options it does not know: what they mean, and what is wrong with them.

pydantic is imported when the first text says something of training: a server that starts does not wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from cnnspec.editor.sections import Key
from cnnspec.language.spec_source import Source
from cnnspec.places import Diagnostic

__all__ = ["training_faults", "training_options"]


def training_faults(source: Source) -> Sequence[Diagnostic]:
    """What is wrong with the options of training that a spec names, below `train` and in its `search`."""
    if not (source.document.header.train or source.document.search):
        return ()
    from cnnspec.training.config import spec_faults

    return spec_faults(source)


@cache
def training_options() -> Mapping[str, Key]:
    """The options of training, as a spec has them below `train`."""
    from cnnspec.training.config import options_schema

    return {name: _key(rule) for name, rule in options_schema()["properties"].items()}


def _key(rule: Mapping[str, Any]) -> Key:
    words: list[str] = []
    for choice in rule["anyOf"]:
        words += [choice["const"]] if "const" in choice else choice.get("enum", ())
        words += ["true", "false"] if choice.get("type") == "boolean" else ()
    default = rule.get("default")
    shown = default if isinstance(default, str) else json.dumps(default) if default not in (None, [], {}) else ""
    return Key(rule.get("description", ""), shown, dict.fromkeys(words, ""))

"""The page of a network: one file of HTML that opens offline and asks for nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cnnspec.analysis.lint import lint
from cnnspec.analysis.network_report import analyze
from cnnspec.drawing.blocks import block_names
from cnnspec.drawing.page_data import page_data
from cnnspec.graph import Purpose
from cnnspec.language import Network

__all__ = ["built", "data_of", "embedded", "to_page", "with_data"]

_DATA: Final = '<script type="application/json" id="data">null</script>'
_STRAY: Final = re.compile("[\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def to_page(network: Network, purpose: Purpose = "inference", parts: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The network's page as the text of an HTML file. `parts` are further keys of its data, as `runs`."""
    return with_data({**data_of(network, purpose), **parts})


def with_data(data: Mapping[str, Any], name: str = "page") -> str:
    """A page with this data."""
    return built(name).replace(_DATA, _DATA.replace("null", embedded(data)), 1)


def data_of(network: Network, purpose: Purpose = "inference") -> dict[str, Any]:
    """All that the page shows of a network, as plain data."""
    report = analyze(network.graph, purpose=purpose)
    silenced = network.source.document.header.lint.ignore
    findings = lint(network.graph, report, silenced=silenced)
    return page_data(network, report, findings, block_names(network))


@cache
def built(name: str) -> str:
    """A page as it was built from `web/`, without data."""
    return (Path(__file__).parents[1] / "web" / f"{name}.html").read_text("utf-8")


def embedded(data: Mapping[str, Any]) -> str:
    """Data as JSON that nothing in it can end: no `<`, no letter that turns the direction of writing.

    A number that is not finite, which JSON has not, is null.
    """
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")
    return _STRAY.sub(lambda letter: f"\\u{ord(letter[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

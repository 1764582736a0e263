"""The language: from text to a graph."""

from __future__ import annotations

from cnnspec.language.elaborate import MAX_NODES, Outcome
from cnnspec.language.network import Network, NetworkRecord
from cnnspec.language.spec_source import (
    STDIN,
    NoParameterError,
    Source,
    parse_setting,
    read_file,
    read_source,
    read_spec,
)

__all__ = [
    "MAX_NODES",
    "STDIN",
    "Network",
    "NetworkRecord",
    "NoParameterError",
    "Outcome",
    "Source",
    "parse_setting",
    "read_file",
    "read_source",
    "read_spec",
]

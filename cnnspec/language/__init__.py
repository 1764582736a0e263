"""The language: from text to a graph."""

from __future__ import annotations

from cnnspec.language.elaborate import Outcome
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

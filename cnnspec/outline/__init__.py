"""From a flat graph to a text that a person would have written: scopes, templates, expressions."""

from __future__ import annotations

from cnnspec.outline.family import Family, refold_family
from cnnspec.outline.refolding import Refolded, refold

__all__ = ["Family", "Refolded", "refold", "refold_family"]

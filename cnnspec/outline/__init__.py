"""From a flat graph to a text that a person would have written: scopes, templates, expressions."""

from __future__ import annotations

from cnnspec.outline.refold import Refolded, refold

__all__ = ["Refolded", "refold"]

"""The page of one training step: its scenes are gone through by key, forward and back."""

from __future__ import annotations

from base64 import b64encode

from cnnspec.drawing.page import with_data
from cnnspec.training.told_step import TrainingStep

__all__ = ["step_page"]


def step_page(told: TrainingStep) -> str:
    """The page as the text of an HTML file."""
    pixels = told.pixels
    picture = None if pixels is None else {"shape": pixels.shape, "values": b64encode(pixels.values).decode()}
    return with_data({**told.to_dict(), "picture": picture}, "step")

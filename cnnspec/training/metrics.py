"""The figures of one epoch, as `metrics.jsonl` and every checkpoint hold them. Importing this imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

from cnnspec.tasks import FIGURES, Figure

__all__ = ["EpochMetrics", "figures_in", "merit", "prefixed"]

_VAL: Final = "val_"


def prefixed(prefix: str, figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """Figures by their keys on disk: `val_accuracy`, `test_miou`."""
    return {f"{prefix}_{key}": value for key, value in figures.items()}


def figures_in(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that are there under `prefix`, by their own keys."""
    known = ((key, f"{prefix}_{key}") for key in FIGURES)
    return {key: values[name] for key, name in known if name in values}


class EpochMetrics(BaseModel):
    """One finished epoch. The fields are the keys on disk, in their order there; each of `figures` has one, `val_…`.

    The first of them chooses the best epoch, the higher the better.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int  # from 1
    step: int  # updates since the start of the run
    lr: float  # of the last step
    train_loss: float  # mean over the images, in training mode
    train_accuracy: float | None = None  # of the same passes: augmented, with dropout, while the weights change
    val_loss: float
    figures: dict[str, float | None]  # of the task, on the validation images
    seconds: float  # since the start of the run
    images_per_second: float  # in training
    inputs: str = "images"  # what they are called while the run is watched: not on disk

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "figures" in values:
            return values
        return {**values, "figures": figures_in("val", values)}

    @model_validator(mode="after")
    def _has_figures(self) -> Self:
        if not self.figures:
            raise ValueError("there is no figure of the validation images")
        return self

    @model_serializer
    def _flat(self) -> dict[str, int | float | None]:
        flat: dict[str, int | float | None] = {}
        for key in type(self).model_fields:
            if key == "figures":
                flat |= prefixed("val", self.figures)
            elif key != "inputs" and (key != "train_accuracy" or "accuracy" in self.figures):
                flat[key] = getattr(self, key)
        return flat

    @property
    def best(self) -> tuple[Figure, float | None]:
        """The figure that chooses the best epoch, and its value here."""
        key = next(iter(self.figures))
        return FIGURES[key], self.figures[key]

    @property
    def val_accuracy(self) -> float:
        """The share of the validation images that is recognised. Raises AttributeError for a task without classes."""
        value = self.figures.get("accuracy")
        if value is None:
            raise AttributeError(f"there is no accuracy; the figures are {', '.join(self.figures)}")
        return value


def merit(metrics: EpochMetrics) -> tuple[float, float]:
    """By which the best epoch is chosen: the higher the better."""
    value = metrics.best[1]
    return (-math.inf if value is None else value), -metrics.val_loss

"""Running exported networks, without torch."""

from cnnspec.runtime.predictor import BATCH_SIZE, Guess, Prediction, Predictor
from cnnspec.runtime.session import DEVICES
from cnnspec.runtime.sources import expand

__all__ = ["BATCH_SIZE", "DEVICES", "Guess", "Prediction", "Predictor", "expand"]

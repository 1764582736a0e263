"""Training: configuration, the loop, checkpoints and the run folder.

Importing this package imports no torch; the module `loop` does.
"""

from cnnspec.training.config import TrainConfig, resolve_config
from cnnspec.training.run_folder import Run, open_run

__all__ = ["Run", "TrainConfig", "open_run", "resolve_config"]

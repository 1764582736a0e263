"""Graph to torch: the module, and its weights."""

from cnnspec.torch_backend.build import build_module
from cnnspec.torch_backend.weights import (
    check_state,
    kind_fault,
    load_weights,
    read_weights,
    save_weights,
    weights_bytes,
)

__all__ = ["build_module", "check_state", "kind_fault", "load_weights", "read_weights", "save_weights", "weights_bytes"]

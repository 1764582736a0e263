"""Graph to torch: the module, and its weights."""

from cnnspec.torch_backend.build import build_module
from cnnspec.torch_backend.weights import load_weights, read_weights, save_weights

__all__ = ["build_module", "load_weights", "read_weights", "save_weights"]

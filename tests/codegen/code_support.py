"""What the tests of source share."""

from __future__ import annotations

import torch
from torch import nn

from cnnspec.codegen import Written
from cnnspec.ops import Shape

__all__ = ["made", "tensors"]


def made(written: Written, device: str = "cpu") -> nn.Module:
    """The network that a source makes."""
    namespace: dict[str, type[nn.Module]] = {}
    exec(written.text, namespace)
    with torch.device(device):
        return namespace[written.name]()


def tensors(written: Written) -> list[tuple[str, Shape]]:
    """The names and shapes of its tensors, in their order."""
    return [(name, tuple(tensor.shape)) for name, tensor in made(written, "meta").state_dict().items()]

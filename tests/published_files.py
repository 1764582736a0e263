"""A file of weights where torch keeps those of torchvision: their layout, their digest in its name, random values."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

__all__ = ["publish"]


def publish(home: Path, network: str, monkeypatch: pytest.MonkeyPatch, *, word: str = "DEFAULT") -> nn.Module:
    """torchvision's network, as its constructor gives it with the weights that now lie below `home`, in evaluation."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    entry = models.get_model_weights(network)[word]
    torch.manual_seed(0)
    heads = {"init_weights": False} if network in ("googlenet", "inception_v3") else {}
    made = models.get_model(network, weights=None, **heads)
    for key, tensor in made.state_dict().items():
        if key.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(made.state_dict(), folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    (folder / "new.pth").rename(folder / f"{network}-{digest}.pth")
    monkeypatch.setattr(entry.value, "url", f"https://models.invalid/{network}-{digest}.pth")
    return models.get_model(network, weights=entry).eval()

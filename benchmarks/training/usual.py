"""The usual script that the benchmarks compare with: torchvision's MNIST, every image transformed in every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

import cnnspec

MEAN, STD = 0.1307, 0.3081


def dataset(data_dir: str, *, train: bool) -> torch.utils.data.Dataset:
    """MNIST with ToTensor and Normalize per image."""
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    return datasets.MNIST(data_dir, train=train, transform=transform, download=True)


def train_usual(
    network: str,
    data_dir: str,
    rows: Sequence[int],
    *,
    epochs: int,
    batch: int,
    lr: float,
    momentum: float,
    seed: int = 0,
    workers: int = 0,
    device: str | torch.device = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[nn.Module, list[float]]:
    """The network trained on these training images with SGD, and the seconds of each epoch."""
    from torch.utils.data import DataLoader, Subset

    images = Subset(dataset(data_dir, train=True), rows)
    loader = DataLoader(images, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    torch.manual_seed(seed)
    model = cnnspec.build(network).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=momentum)
    seconds = []
    for _ in range(epochs):
        started = clock()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()  # the last update
        seconds.append(clock() - started)
    return model, seconds


@torch.no_grad()
def accuracy_usual(model: nn.Module, data_dir: str, device: str | torch.device = "cpu") -> float:
    """The share of the 10,000 test images that the network recognises."""
    from torch.utils.data import DataLoader

    model.eval()
    right = 0
    for x, y in DataLoader(dataset(data_dir, train=False), 1000):
        right += int((model(x.to(device)).argmax(1) == y.to(device)).sum())
    return right / 10_000

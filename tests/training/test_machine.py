"""How the machine is measured."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cnnspec.training import machine


class Watched(nn.Module):
    """A layer that notes how many images each step has, and takes as long as it is told for each of them."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1)
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        SEEN.append((len(x), torch.get_num_threads()))
        CLOCK[0] += self.seconds * len(x)
        return self.layer(x)


SEEN: list[tuple[int, int]] = []  # images and threads of each step
CLOCK = [0.0]


@pytest.mark.parametrize(("seconds", "largest", "most_steps"), [(0.0001, 64, 2000), (0.01, 4, 100), (3.0, 2, 12)])
def test_a_slow_network_is_measured_with_few_images(
    monkeypatch: pytest.MonkeyPatch, seconds: float, largest: int, most_steps: int
) -> None:
    before, said = torch.get_num_threads(), list[str]()
    monkeypatch.setattr(machine.time, "perf_counter", lambda: CLOCK[0])
    SEEN.clear()
    try:
        machine.pick_threads(Watched(seconds), (1, 4, 4), 64, None, None, said.append)
    finally:
        torch.set_num_threads(before)
    assert max(images for images, _ in SEEN) == largest
    assert SEEN[0] == (2, 1)  # busy cores make more threads look slow, and with them the network
    assert len(SEEN) <= most_steps
    assert bool(said) is (seconds == 3.0)

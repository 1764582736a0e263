"""A network of ResNet-20's size trains: deep, with batch norm and shortcuts, on 32x32 images in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import cnnspec


def test_resnet20_learns_enlarged_digits(tmp_path: Path) -> None:
    digits = load_digits()
    grey = np.kron(digits.images[:240] * (255 / 16), np.ones((1, 4, 4))).astype(np.uint8)
    np.savez(tmp_path / "digits.npz", x=np.stack([grey, 255 - grey, grey], 3), y=digits.target[:240])

    spec = cnnspec.load("resnet20")
    result = cnnspec.api.train(
        spec, data=str(tmp_path / "digits.npz"), runs=tmp_path, epochs=4, batch_size=24, lr=0.02, rotate=0.0, shift=0,
        device="cpu", threads=1, channels_last=False,
    )  # fmt: skip

    assert round(spec.analyze().totals.params / 1e6, 2) == 0.27  # He et al. 2015, table 6
    losses = [epoch.train_loss for epoch in cnnspec.api.open_run(result.run).metrics]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * np.log(10)  # half of what guessing costs

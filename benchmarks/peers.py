"""Parameters and MACs of the same networks from cnnspec, torchinfo, fvcore, ptflops and torch's own flop counter.

Every peer gets the module that `cnnspec.build` makes, so that all count the same network. Needs: pip install torchinfo
fvcore ptflops.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import cnnspec

CASES = {
    "transposed 3->1, k2 s2, on 2x2": "layers: ['ConvTranspose2d(1, 2, stride=2)']\ninput: [3, 2, 2]",
    "convolution 5->10, k3, on 100x100": "layers: ['Conv2d(10, 3)']\ninput: [5, 100, 100]",
    "grouped convolution": "layers: ['Conv2d(8, 3, groups=4)']\ninput: [8, 10, 10]",
    "linear on the last axis": "layers: ['Linear(7)']\ninput: [4, 5, 6]",
    "batch norm, ReLU": "layers: [BatchNorm2d, ReLU]\ninput: [8, 10, 10]",
    "max and average pool": "layers: ['MaxPool2d(2)', 'AvgPool2d(2)']\ninput: [8, 16, 16]",
}
NETWORKS = ("lenet5", "resnet50", "mobilenet_v2", "efficientnet_b0", "unet", "convnext_tiny", "googlenet")


def torchinfo_macs(module: Any, shape: tuple[int, ...]) -> int:
    import torchinfo

    return int(torchinfo.summary(module, (1, *shape), verbose=0, device="cpu").total_mult_adds)


def fvcore_macs(module: Any, shape: tuple[int, ...]) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, torch.zeros(1, *shape))
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def ptflops_macs(module: Any, shape: tuple[int, ...]) -> int:
    from ptflops import get_model_complexity_info

    macs, _ = get_model_complexity_info(module, shape, as_strings=False, print_per_layer_stat=False)
    return int(macs)


def torch_macs(module: Any, shape: tuple[int, ...]) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(torch.zeros(1, *shape))
    return int(counter.get_total_flops()) // 2


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    peers = {"torch / 2": torch_macs, "torchinfo": torchinfo_macs, "fvcore": fvcore_macs, "ptflops": ptflops_macs}
    specs = {name: cnnspec.loads(f"cnnspec: 1\n{text}\n") for name, text in CASES.items()}
    specs |= {name: cnnspec.load(name) for name in NETWORKS}
    print("| MACs per sample | cnnspec | " + " | ".join(peers) + " |")
    print("|---|--:|" + "--:|" * len(peers))
    for name, spec in specs.items():
        cells = [f"{spec.analyze().totals.macs:,}"]
        for count in peers.values():
            module = spec.build().eval()
            try:
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    cells.append(f"{count(module, spec.graph.input_shape):,}")
            except Exception as error:  # a peer that cannot count a network is a finding, not a failure
                cells.append(type(error).__name__)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

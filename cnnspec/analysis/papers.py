"""Where a bundled network is not the one of its paper, or has other figures than the paper prints.

Most are torchvision's, whose weights fit them. Figures of papers are rounded as they are printed there; `macs` are what
the papers call multiply-adds or FLOPs. `tests/golden/papers.yaml` holds them against the networks.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DIFFERENCES"]

STRIDE: Final = (
    "strides in the 3x3 convolution of a block, the paper in the 1x1 before it: {} B MACs, in its table 1 {} B"
)
NORM: Final = "batch norm after every convolution, which the paper's networks do not have"
SHUFFLE: Final = "{} M MACs; the paper's table 5 has {} M"
MNAS: Final = "the B1 network, without squeeze-and-excitation; the paper's MnasNet-A1 has it"

DIFFERENCES: Final[dict[str, str]] = {
    "alexnet": "one tower of 64, 192, 384, 256 and 256 channels without local response normalisation; the network of"
    " 2012 has 96, 256, 384, 384 and 256 (alexnet_2012)",
    "alexnet_2012": "reads 227x227; the paper says 224x224, at which its 55x55 units do not come out",
    "efficientnet_b2": "reads 288x288, the paper's 260x260: 1.09 B MACs, in its table 2 1.0 B; 9.1 M parameters, there"
    " 9.2 M",
    "efficientnet_b4": "4.4 B MACs; the paper's table 2 has 4.2 B",
    "efficientnet_b5": "10.3 B MACs; the paper's table 2 has 9.9 B",
    "efficientnet_b7": "38 B MACs; the paper's table 2 has 37 B",
    "efficientnet_v2_s": "8.4 B MACs and 21 M parameters; the paper's table 7 has 8.8 B and 22 M",
    "efficientnet_v2_m": "25 B MACs; the paper's table 7 has 24 B",
    "efficientnet_v2_l": "56 B MACs and 119 M parameters; the paper's table 7 has 53 B and 120 M",
    "googlenet": "its 5x5 convolutions are 3x3, its fourth pool is 2x2 in place of 3x3, and batch norm is in place of"
    " local response normalisation",
    "inception_v3": "5.7 B MACs; the paper's abstract has 5 B",
    "lenet5": "every map of C3 reads all of S2, means are plain and the output is dense: 61,706 parameters; the paper's"
    " has 60,000 (lenet5_1998)",
    "m5_tutorial": "torchaudio's: 32 to 64 channels and a first stride of 16; the paper's M5 has 128 to 512, and 4",
    "mnasnet0_5": MNAS,
    "mnasnet0_75": MNAS,
    "mnasnet1_0": f"{MNAS}: 314 M MACs and 4.4 M parameters, in table 1 312 M and 3.9 M",
    "mnasnet1_3": MNAS,
    "mobilenet_v2": "3.5 M parameters; the paper's table 4 has 3.4 M",
    "mobilenet_v3_large": "217 M MACs and 5.5 M parameters; the paper's table 3 has 219 M and 5.4 M",
    "regnet_x_400mf": "the last stage is 400 wide, in the paper 384: 5.5 M parameters, there 5.2 M",
    "regnet_y_800mf": "stages of 64, 144, 320 and 784, in the paper of 64, 128, 320 and 768: 6.4 M parameters, there"
    " 6.3 M",
    "regnet_y_8gf": "the first stage is 224 wide, in the paper 168: 8.5 B MACs and 39.4 M parameters, there 8.0 B and"
    " 39.2 M",
    "regnet_y_128gf": "larger than any in the paper, which ends with 32GF",
    "resnet50": STRIDE.format("4.1", "3.8"),
    "resnet101": STRIDE.format("7.8", "7.6"),
    "resnet152": STRIDE.format("11.5", "11.3"),
    "shufflenet_v2_x1_0": SHUFFLE.format(145, 146),
    "shufflenet_v2_x1_5": SHUFFLE.format(296, 299),
    "shufflenet_v2_x2_0": SHUFFLE.format(583, 591),
    "squeezenet1_0": "the first convolution gives 109x109; the paper's table 1 has 111x111",
    "squeezenet1_1": "not in the paper: from its authors' repository",
    "unet_same": "pads, so that the size stays; the paper's convolutions do not (unet)",
    "vgg11_bn": NORM,
    "vgg13_bn": NORM,
    "vgg16_bn": NORM,
    "vgg19_bn": NORM,
}

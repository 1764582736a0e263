"""What the rules say of the classic networks: what an expert knows of them, and nothing else."""

from __future__ import annotations

import pytest

import cnnspec

KNOWN = {
    "alexnet": {"W308"},  # fc6 holds most of the parameters (Lin, Chen and Yan 2013, section 1)
    "alexnet_2012": {"W308", "W320"},  # and its two halves were on two devices
    "zfnet": {"W308"},
    "vgg11": {"W308"},
    "vgg16": {"W308"},
    "vgg19_bn": {"W305", "W308"},  # torchvision's VGG has biases before batch norm
    "squeezenet1_0": {"W301"},  # made for 227 pixels, published for 224
    "mobilenet_v1": {"W302"},  # its last 3x3 convolution reads units that see 251 of 224 pixels
    "shufflenet_v2_x1_0": {"W310"},  # 58 and 116 channels
    "convnet_keras": {"W301"},  # 28, 26, 13, 11: the second pool drops a row
    "m5": {"W301", "W303", "W305"},  # a global average of local features (Dai et al. 2017, section 3)
}
CLEAN = (
    "c3d", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "lenet5", "lenet5_1998", "mlp", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_large", "nin", "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "resnet152", "resnet20", "resnext50_32x4d", "shufflenet_v2_x1_5", "simple_cnn",
    "unet", "wide_resnet50_2",
)  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_of_a_network_is_found(name: str) -> None:
    assert {finding.code for finding in cnnspec.load(name).lint()} == KNOWN[name]


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_in_a_sound_network(name: str) -> None:
    assert cnnspec.load(name).lint() == []


def test_a_network_on_an_input_that_is_too_small_for_it() -> None:
    codes = {finding.code for finding in cnnspec.load("resnet18", input_shape=(3, 32, 32)).lint()}
    assert codes == {"W302", "W319"}  # its last maps are 1x1: its 3x3 convolutions read padding
    codes = {finding.code for finding in cnnspec.load("vgg16", input_shape=(3, 64, 64)).lint()}
    assert {"W302", "W313"} <= codes

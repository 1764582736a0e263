"""Networks of torchvision and timm as specs, each proved equal: tensors, costs, outputs, and layer by layer."""

from __future__ import annotations

import pytest

import cnnspec

SMALL = ("test_byobnet", "test_convnext", "test_efficientnet", "test_nfnet")

TORCHVISION = {
    (3, 64, 64): (
        "alexnet", "convnext_tiny", "deeplabv3_mobilenet_v3_large", "densenet121", "efficientnet_b0",
        "efficientnet_v2_s", "fcn_resnet50", "lraspp_mobilenet_v3_large", "mnasnet0_5", "mobilenet_v2",
        "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50",
        "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg11_bn",
        "wide_resnet50_2", "googlenet",
    ),
    (3, 299, 299): ("inception_v3",),  # the least at which its auxiliary head is computed
    (3, 8, 56, 56): ("mc3_18", "r2plus1d_18", "r3d_18"),
    (3, 16, 224, 224): ("s3d",),
}  # fmt: skip

TIMM = (
    "convformer_s18", "convmixer_768_32", "convnext_atto", "convnext_nano", "convnextv2_atto", "cs3darknet_focus_s",
    "cs3edgenet_x", "cspresnet50", "cspnext_s", "darknet21", "densenetblur121d", "dla34", "dla46_c", "dm_nfnet_f0",
    "dpn48b", "ecaresnet26t", "efficientnet_b1", "efficientnet_lite0", "ese_vovnet19b_dw", "fasternet_t0",
    "fbnetc_100", "fbnetv3_b", "focalnet_tiny_srf", "gernet_s", "ghostnet_100", "ghostnetv2_100", "gluon_resnet18_v1b",
    "hardcorenas_a", "hgnet_tiny", "hgnetv2_b0", "hrnet_w18_small", "inception_next_atto", "legacy_seresnet18",
    "lcnet_050", "mambaout_femto", "mixnet_s", "mnasnet_small", "mobilenetv1_100", "mobilenetv2_050",
    "mobilenetv3_small_050", "mobilenetv4_conv_small", "mobileone_s0", "nf_regnet_b0", "nf_resnet26", "nfnet_l0",
    "poolformer_s12", "poolformerv2_s12", "rdnet_tiny", "regnetx_002", "regnety_002", "regnetz_005", "repghostnet_050",
    "repvgg_a0", "repvit_m0_9", "res2net50_14w_8s", "resnest14d", "resnet10t", "resnet26d", "resnet50_gn",
    "resnet33ts", "resnetaa50", "resnetblur18", "resnetv2_50", "resnetv2_50d_gn", "resnext26ts", "rexnet_100",
    "selecsls42", "seresnext26d_32x4d", "skresnet18", "starnet_s1", "test_convnext3", "test_efficientnet_gn",
    "test_mambaout", "test_resnet", "tinynet_e", "tresnet_m", "xception41",
)  # fmt: skip


def imported(source: str, shape: tuple[int, ...]) -> None:
    result = cnnspec.import_network(source, input_shape=shape)
    assert {check.name: check.passed and check.checked for check in result.checks} == dict.fromkeys(
        ("text", "tensors", "MACs", "outputs", "layers"), True
    )
    assert result.left_over == ()


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_of_timm_is_equal(name: str) -> None:
    imported(f"timm:{name}", (3, 64, 64))


@pytest.mark.long
@pytest.mark.parametrize(("name", "shape"), [(name, shape) for shape, names in TORCHVISION.items() for name in names])
def test_a_network_of_torchvision_is_equal(name: str, shape: tuple[int, ...]) -> None:
    imported(f"torchvision:{name}", shape)


@pytest.mark.long
@pytest.mark.parametrize("name", TIMM)
def test_a_network_of_timm_is_equal(name: str) -> None:
    imported(f"timm:{name}", (3, 64, 64))

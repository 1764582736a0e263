"""Which networks of other makers are imported by `importing.py`, and how those are made that are files.

A file is made where it is imported, in a folder that is thrown away: `onnx-legacy:resnet18` is what torch's older
exporter writes for torchvision's network, `onnx-dynamo:` the newer one's, `onnx-light:` a model of the onnx package and
`keras:` one of `keras.applications` with fresh weights, on torch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["LIBRARIES", "made", "names"]

# The modules of timm that hold convolutional networks; a few models in them have attention all the same.
_TIMM = (
    "byobnet convmixer convnext cspnet cspnext densenet dla dpn efficientnet fasternet focalnet ghostnet "
    "hardcorenas hgnet hrnet inception_next inception_resnet_v2 inception_v3 inception_v4 lcnetv2 "
    "mambaout metaformer mobilenetv3 nasnet nfnet pnasnet rdnet regnet repghost repvit res2net resnest "
    "resnet resnetv2 rexnet selecsls senet sknet starnet tresnet vgg vovnet xception xception_aligned"
)
_ATTENTION = ("caformer", "hybrid")
_TORCHVISION_ATTENTION = ("vit_", "swin", "maxvit", "mvit")

# Networks that are exported: those of torchvision, and of the bundled specs.
_EXPORTED = (
    "alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 squeezenet1_1 densenet121 googlenet "
    "inception_v3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large shufflenet_v2_x1_0 mnasnet1_0 efficientnet_b0 "
    "efficientnet_v2_s regnet_x_400mf regnet_y_400mf convnext_tiny"
)
_BUNDLED: dict[str, dict[str, int]] = {"lenet5_1998": {}, "unet_same": {"size": 64, "width": 8}}
_KERAS = (
    "Xception VGG16 VGG19 ResNet50 ResNet50V2 ResNet101V2 InceptionV3 InceptionResNetV2 MobileNet MobileNetV2 "
    "MobileNetV3Small MobileNetV3Large DenseNet121 DenseNet201 EfficientNetB0 EfficientNetB3 EfficientNetV2B0 "
    "EfficientNetV2S ConvNeXtTiny"
)


def _torchvision() -> list[str]:
    from torchvision import models
    from torchvision.models import segmentation, video

    found = [name for module in (models, segmentation, video) for name in models.list_models(module=module)]
    return [f"torchvision:{name}" for name in found if not name.startswith(_TORCHVISION_ATTENTION)]


def _timm() -> list[str]:
    import timm

    found = [name for module in _TIMM.split() for name in timm.list_models(module=module)]
    return [f"timm:{name}" for name in found if not any(word in name for word in _ATTENTION)]


def _light_folder() -> Path:
    import onnx

    return Path(onnx.__file__).parent / "backend/test/data/light"


def _onnx() -> list[str]:
    exported = [f"onnx-{kind}:{name}" for kind in ("legacy", "dynamo") for name in (*_EXPORTED.split(), *_BUNDLED)]
    return exported + [f"onnx-light:{path.stem}" for path in sorted(_light_folder().glob("*.onnx"))]


def _keras() -> list[str]:
    return [f"keras:{name}" for name in _KERAS.split()]


LIBRARIES: dict[str, Callable[[], list[str]]] = {
    "torchvision": _torchvision, "timm": _timm, "onnx": _onnx, "keras": _keras,
}  # fmt: skip


def names(library: str) -> list[str]:
    """The convolutional networks of a library, by SOURCE or by the words above."""
    return LIBRARIES[library]()


def made(source: str, folder: Path) -> str:
    """The SOURCE that is imported: `source` itself, or a file that is made for it."""
    kind, _, name = source.partition(":")
    if kind == "onnx-light":
        return str(_light_folder() / f"{name}.onnx")
    if kind in ("onnx-legacy", "onnx-dynamo"):
        path = folder / f"{name}.onnx"
        with warnings.catch_warnings(action="ignore"):
            _export(name, path, dynamo=kind == "onnx-dynamo")
        return str(path)
    if kind == "keras":
        os.environ["KERAS_BACKEND"] = "torch"
        import keras

        path = folder / f"{name}.keras"
        size = {"input_shape": (224, 224, 3)} if name.startswith("MobileNetV3") else {}  # they would take any
        getattr(keras.applications, name)(weights=None, **size).save(path)
        return str(path)
    return source


def _export(name: str, path: Path, *, dynamo: bool) -> None:
    import torch

    module, shape = _module(name)
    example = (torch.randn(2, *shape),)
    if dynamo:
        sizes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(module, example, path, dynamo=True, dynamic_shapes=sizes, external_data=False, verbose=False)
    else:
        axes = {"x": {0: "batch"}}
        names = {"input_names": ["x"], "output_names": ["y"]}
        torch.onnx.export(module, example, path, dynamo=False, dynamic_axes=axes, **names)


def _module(name: str) -> tuple[Any, tuple[int, ...]]:
    if name in _BUNDLED:
        import cnnspec

        spec = cnnspec.load(name, params=_BUNDLED[name])
        return spec.build().eval(), spec.graph.input_shape
    from torchvision import models

    size = 299 if name.startswith("inception") else 224
    return models.get_model(name, weights=None, **_PLAIN.get(name, {})).eval(), (3, size, size)


_PLAIN = {name: {"init_weights": False} for name in ("googlenet", "inception_v3")}

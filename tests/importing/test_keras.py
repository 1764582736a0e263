"""Keras's models as specs, held against Keras itself."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras makes the files that are read")

import numpy as np  # noqa: E402

import cnnspec  # noqa: E402
from cnnspec import api  # noqa: E402
from cnnspec.errors import CnnspecError, UsageError, VerificationError  # noqa: E402
from cnnspec.language import read_spec  # noqa: E402

layers = keras.layers


def residual() -> Any:
    """Scaled pixels, an uneven `same`, norms without a gain or a shift, a join, a dense layer on maps, a flattening."""
    given = keras.Input((13, 10, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(given)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="block1_conv")(x)
    x = layers.BatchNormalization(scale=False, momentum=0.9, name="block1_bn")(x)
    y = layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2, name="block1_sep")(x)
    y = layers.BatchNormalization(center=False, name="block1_bn2")(y)
    x = layers.Add(name="block1_add")([x, y])
    x = layers.MaxPooling2D(2, strides=2, padding="same")(x)
    x = layers.Dense(5, activation="gelu")(x)
    x = layers.Flatten()(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(given, layers.Dense(4, activation="softmax")(x))


def excited() -> Any:
    """A squeeze and excitation whose values are put back as maps, dropped paths, numbers in functions."""
    given = keras.Input((8, 9, 4))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(given)
    y = layers.GlobalAveragePooling2D()(x)
    y = layers.Reshape((1, 1, 8))(y)
    y = layers.Conv2D(2, 1, activation="silu")(y)
    y = layers.Conv2D(8, 1, activation="hard_sigmoid")(y)
    x = layers.Multiply()([x, y])
    x = layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(x)
    x = keras.ops.relu(keras.ops.multiply(keras.ops.add(x, 3.0), 0.5))
    return keras.Model(given, layers.GlobalMaxPooling2D()(x))


def channels_first() -> Any:
    """A flattening, which puts the channels last before it."""
    kept = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        given = keras.Input((3, 6, 5))
        x = layers.Conv2D(4, 3, activation="relu")(given)
        return keras.Model(given, layers.Dense(2)(layers.Flatten()(x)))
    finally:
        keras.config.set_image_data_format(kept)


def windows() -> Any:
    """Paddings, crops, pools and convolutions that grow."""
    given = keras.Input((11, 12, 3))
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(given)
    x = layers.Conv2D(4, (2, 3), dilation_rate=(2, 1), groups=1)(x)
    x = layers.AveragePooling2D((2, 3), strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(6, 4, strides=2, padding="same")(x)
    x = layers.Cropping2D(((1, 0), (2, 1)))(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.MaxPooling2D((3, 2), padding="same")(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(given, layers.PReLU(shared_axes=[1, 2])(x))


def nested() -> Any:
    """A model in a model, and one axis."""
    inner = keras.Sequential([layers.Conv1D(4, 3, padding="causal"), layers.LeakyReLU(), layers.GroupNormalization(2)])
    given = keras.Input((12, 3))
    x = inner(given)
    x = layers.Concatenate()([x, layers.ReLU(6.0)(x)])
    return keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def sequential() -> Any:
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="elu"), layers.Dense(2)])


MODELS: dict[str, Callable[[], Any]] = {
    each.__name__: each for each in (residual, excited, windows, nested, sequential, channels_first)
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("keras")

    def save(name: str) -> Path:
        path = folder / f"{name}.keras"
        if not path.exists():
            keras.utils.set_random_seed(0)
            MODELS[name]().save(path)
        return path

    return save


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_said_and_gives_the_same(name: str, saved: Callable[[str], Path], tmp_path: Path) -> None:
    output = tmp_path / "net.yaml"
    result = cnnspec.import_network(str(saved(name)), output, weights=tmp_path / "net.safetensors")
    passed = {check.name for check in result.checks if check.passed and check.checked}
    assert passed == {"text", "tensors", "outputs", "layers"}
    assert result.left_over == ()
    spec = cnnspec.load(output)
    kept = {key: shape for key, shape in spec.graph.state_shapes().items() if not key.endswith("num_batches_tracked")}
    own = keras.saving.load_model(saved(name)).count_params()
    filled = sum(node.shape[0] for node in spec.graph if node.name.endswith(("block1_bn", "block1_bn2", ".bn", ".bn2")))
    assert sum(int(np.prod(shape)) for shape in kept.values()) - filled in (own, own - filled)


def test_scaled_pixels_are_in_the_header(saved: Callable[[str], Path]) -> None:
    spec = cnnspec.load(saved("residual"))
    assert spec.graph.mean == pytest.approx((0.5, 0.5, 0.5))
    assert spec.graph.std == pytest.approx((0.5, 0.5, 0.5))
    assert [node.op.op_name for node in spec.graph][:2] == ["ZeroPad2d", "Conv2d"]
    norms = [node.op for node in spec.graph if node.op.op_name == "BatchNorm2d"]
    assert [norm.momentum for norm in norms] == [0.1, 0.01]  # type: ignore[union-attr]


def test_a_configuration_alone_is_read_without_weights(saved: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with zipfile.ZipFile(saved("excited")) as archive:
        path.write_bytes(archive.read("config.json"))
    result = cnnspec.import_network(str(path))
    assert [check.name for check in result.checks if not check.checked][-1] == "outputs"
    with pytest.raises(UsageError, match="has no weights"):
        cnnspec.import_network(str(path), tmp_path / "a.yaml", weights=tmp_path / "a.safetensors")
    assert not (tmp_path / "a.yaml").exists()


def test_a_block_holds_layers_whose_names_say_nothing(tmp_path: Path) -> None:
    """As Keras's MobileNets are: activations between the layers of a block, and layers called as their block is."""
    x = given = keras.Input((8, 8, 4))
    for number in range(1, 4):
        x = layers.Conv2D(4, 1, name=f"conv_pw_{number}")(x)
        x = layers.ReLU(name=f"conv_pw_{number}_relu")(layers.BatchNormalization(name=f"conv_pw_{number}_bn")(x))
    for number in range(1, 4):
        y = layers.Activation("gelu")(layers.Conv2D(8, 1, name=f"expanded_{number}_expand")(x))
        y = layers.Conv2D(4, 1, name=f"expanded_{number}_project")(y)
        x = layers.Add(name=f"expanded_{number}_add")([x, y])
    (tmp_path / "config.json").write_text(keras.Model(given, x).to_json(), encoding="utf-8")
    result = cnnspec.import_network(str(tmp_path / "config.json"))
    names = [node.name for node in read_spec("a.yaml", result.text.encode()).elaborate()]
    assert names[:3] == ["conv_pw_1.conv", "conv_pw_1.bn", "conv_pw_1.relu"]
    assert names[-4:] == [f"expanded_3.{word}" for word in ("expand", "gelu", "project", "add")]
    assert "expanded_{i + 1}: Expanded * 3" in result.text


# What is refused -----------------------------------------------------------------------------------------------------


def _config(saved: Callable[[str], Path]) -> Any:
    with zipfile.ZipFile(saved("sequential")) as archive:
        return json.loads(archive.read("config.json"))


def _written(tmp_path: Path, document: Any) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_name": "Lambda"}, "has a layer `Lambda`, which is code of its own"),
        ({"class_name": "Mine", "module": "my.code"}, "the class `Mine` of `my.code`, which is not Keras"),
    ],
)
def test_code_is_refused(change: dict[str, str], words: str, saved: Callable[[str], Path], tmp_path: Path) -> None:
    document = _config(saved)
    document["config"]["layers"][1].update(change)
    with pytest.raises(CnnspecError, match=words):
        cnnspec.import_network(_written(tmp_path, document))


def test_a_subclassed_model_is_refused(tmp_path: Path) -> None:
    document = {"module": "keras", "class_name": "Mine", "config": {"name": "mine"}}
    with pytest.raises(CnnspecError, match="whose computation stands in its code only"):
        cnnspec.import_network(_written(tmp_path, document))


def test_a_registered_class_is_refused_by_name(saved: Callable[[str], Path], tmp_path: Path) -> None:
    document = _config(saved)
    document["config"]["layers"][1].update({"class_name": "Mine", "module": None, "registered_name": "me>Mine"})
    with pytest.raises(CnnspecError, match="the class `Mine` of `me`, which is not Keras"):
        cnnspec.import_network(_written(tmp_path, document))


def test_a_model_that_was_never_built_is_told_so(tmp_path: Path) -> None:
    document = json.loads(keras.Sequential([layers.Conv2D(3, 3)]).to_json())
    with pytest.raises(CnnspecError, match="never built"):
        cnnspec.import_network(_written(tmp_path, document))


def test_a_file_of_keras_2_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "old.h5").write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        cnnspec.import_network(str(tmp_path / "old.h5"))
    assert "load_model" in (caught.value.hint or "")


def test_what_is_computed_in_half_precision_is_refused(tmp_path: Path) -> None:
    dense = layers.Dense(2, dtype="mixed_float16")
    path = tmp_path / "mixed.keras"
    keras.Sequential([keras.Input((3,)), dense, layers.Dense(2)]).save(path)
    with pytest.raises(VerificationError):
        cnnspec.import_network(str(path), tmp_path / "net.yaml")
    assert not (tmp_path / "net.yaml").exists()


def test_shared_layers_and_gaps_are_told(tmp_path: Path) -> None:
    given = keras.Input((8, 8, 4))
    twice = layers.Conv2D(4, 3, padding="same")
    path = tmp_path / "twice.keras"
    keras.Model(given, twice(twice(given))).save(path)
    with pytest.raises(CnnspecError, match="2 times with the same weights"):
        cnnspec.import_network(str(path))
    path = tmp_path / "gap.keras"
    unsaid = [layers.Activation("softsign"), layers.UnitNormalization()]
    keras.Sequential([given, *unsaid]).save(path)
    with pytest.raises(api.GapsError) as caught:
        cnnspec.import_network(str(path))
    assert [gap.call for gap in caught.value.gaps] == ["Activation", "UnitNormalization"]
    assert [gap.layer for gap in caught.value.gaps] == [layer.name for layer in unsaid]


def _with_weights(source: Path, target: Path, change: Callable[[Any], None]) -> str:
    import io

    import h5py

    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file)
    members["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(target)


def test_weights_may_not_lead_elsewhere(saved: Callable[[str], Path], tmp_path: Path) -> None:
    import h5py

    def link(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "/x")

    def outside(file: Any) -> None:
        del file["layers/dense/vars/0"]
        external = [(str(tmp_path / "other.bin"), 0, 96)]
        file["layers/dense/vars"].create_dataset("0", (6, 4), "f4", external=external)

    def swollen(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (6, 10**8), "f4", chunks=(1, 1000), compression="gzip")

    for change, words in ((link, "lead to other places"), (outside, "lead to other files"), (swollen, "would unpack")):
        with pytest.raises(CnnspecError, match=words):
            cnnspec.import_network(_with_weights(saved("sequential"), tmp_path / "bad.keras", change))


def test_an_archive_that_swells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 2**24)
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(CnnspecError, match="would unpack to"):
        cnnspec.import_network(str(path))


# Keras's own networks: which modules it has, what they cost by the published specs of the same networks.
APPLICATIONS = {
    "VGG16": (138_357_544, 26), "ResNet50": (25_636_712, 60), "MobileNetV2": (3_538_984, 60),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", APPLICATIONS)
def test_networks_of_keras_are_read(name: str, tmp_path: Path) -> None:
    total, lines = APPLICATIONS[name]
    path = tmp_path / "config.json"
    path.write_text(getattr(keras.applications, name)(weights=None).to_json(), encoding="utf-8")
    result = cnnspec.import_network(str(path))
    graph = read_spec("a.yaml", result.text.encode()).elaborate()
    kept = {key: shape for key, shape in graph.state_shapes().items() if not key.endswith("num_batches_tracked")}
    assert sum(int(np.prod(shape)) for shape in kept.values()) == total
    assert result.lines <= lines

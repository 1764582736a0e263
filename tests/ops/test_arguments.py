"""Arguments: torch's names, torch's defaults, few positions, and errors that say why a pasted call is refused."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from cases import ROWS
from references import reference
from torch import nn

import cnnspec
from cnnspec.errors import SpecError
from cnnspec.ops import make_op, operators
from cnnspec.ops.base import AbstractOp

OURS = {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Concat",
    "Slice",
    "Scale",
    "Bias",
    "Affine",
    "Reshape",
    "Mean",
    "Sum",
    "Amax",
    "Amin",
    "BlurPool2d",
    "GRN",
    "StdConv2d",
    "ScaledStdConv2d",
}  # torch has no module of this meaning
LEFT_OUT = {
    "device",
    "dtype",
    "return_indices",  # there is no operator with several results
    "recompute_scale_factor",
    "min_value",  # old names of Hardtanh's arguments
    "max_value",
}
NORM_BIAS = ("Batch", "Instance", "Group")  # newer versions of torch can leave out the shift alone


def torch_arguments(name: str) -> dict[str, inspect.Parameter]:
    module = reference(name, *ROWS[name][0])
    init = nn.LayerNorm.__init__ if name == "LayerNorm2d" else type(module).__init__
    found = dict(list(inspect.signature(init).parameters.items())[1:])
    if name.startswith(NORM_BIAS):
        found.pop("bias", None)
    return found


def plain(value: Any) -> Any:
    """(1, 1) as 1."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


@pytest.mark.parametrize("name", sorted(set(operators()) - OURS))
def test_names_and_defaults_are_torchs(name: str) -> None:
    theirs = torch_arguments(name)
    fields = {key: field for key, field in operators()[name][0].fields().items() if key != "rank"}
    inferred = {"in_channels", "in_features", "num_features", "num_channels", "normalized_shape"}
    if name == "AvgPool1d":
        fields.pop("divisor_override")  # it is refused there, as by torch
    if name != "Identity":  # it takes anything, and ignores it
        assert set(fields) == set(theirs) - LEFT_OUT - {"args", "kwargs"}
    optional = {"dim", "mode"} if name in ("Softmax", "LogSoftmax", "StochasticDepth") else set()
    for key in set(fields) - inferred - optional:
        if theirs[key].default is inspect.Parameter.empty:
            assert fields[key].required, key
        elif name.endswith("d") and key in ("stride", "padding") and theirs[key].default is None:
            assert fields[key].default is None
        else:
            assert plain(fields[key].default) == plain(theirs[key].default), key


@pytest.mark.parametrize("name", sorted(set(operators()) - OURS))
def test_positions_are_torchs_first(name: str) -> None:
    op = operators()[name][0]
    theirs = [key for key in torch_arguments(name) if key != op.inferred]
    assert list(op.positional) == theirs[: len(op.positional)] or name in ("Identity", "Tanh", "Sigmoid")
    wanted = 2 if name.startswith("Conv") else 1
    takes_none = op.inferred is not None and not name.startswith(("Conv", "Linear"))
    assert len(op.positional) == (0 if takes_none or name in ("Identity", "Tanh", "Sigmoid") else wanted)


@pytest.mark.parametrize(
    ("pasted", "hint"),
    [
        ("Conv2d(3, 6, 5)", "`in_channels` follows from the input: write `Conv2d(6, 5)`"),
        ("ConvTranspose2d(3, 6, 5)", "`in_channels` follows from the input: write `ConvTranspose2d(6, 5)`"),
        ("Linear(784, 10)", "`in_features` follows from the input: write `Linear(10)`"),
        ("BatchNorm2d(64)", "`num_features` follows from the input"),
        ("InstanceNorm2d(64)", "`num_features` follows from the input"),
        ("LayerNorm(64)", "`normalized_shape` follows from the input"),
        ("LayerNorm2d(64)", "`normalized_shape` follows from the input"),
    ],
)
def test_pasted_calls_say_why(pasted: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(f"cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - {pasted}\n")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E105"
    assert diagnostic.help is not None
    assert diagnostic.help.startswith(hint)


def test_a_word_that_is_refused_hides_no_argument_that_is_missing() -> None:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads('cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(out_channels="same")\n')
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E105", "E106"]
    assert caught.value.diagnostics[0].message == "Conv2d needs `kernel_size`"


def test_every_operator_is_described() -> None:
    for op, _ in operators().values():
        assert op.__doc__
        assert op.__doc__ != AbstractOp.__doc__


@pytest.mark.parametrize(
    ("name", "args", "shape", "flops"),
    [
        ("Conv2d", {"out_channels": 6, "kernel_size": 3}, (4, 10, 10), 6 * 8 * 8),  # the bias
        ("Conv2d", {"out_channels": 6, "kernel_size": 3, "bias": False}, (4, 10, 10), 0),
        ("BatchNorm2d", {}, (4, 10, 10), 2 * 400),
        ("MaxPool2d", {"kernel_size": 3, "stride": 1}, (4, 10, 10), 9 * 4 * 8 * 8),
        ("AvgPool1d", {"kernel_size": 2}, (4, 10), 2 * 4 * 5),
        ("AdaptiveAvgPool2d", {"output_size": 1}, (4, 10, 10), 400),
        ("AdaptiveAvgPool1d", {"output_size": 3}, (1, 4), 2 + 2 + 2),  # windows overlap
        ("AdaptiveMaxPool1d", {"output_size": 4}, (3, 10), 3 * (3 + 3 + 3 + 3)),
        ("ReLU", {}, (4, 10, 10), 400),
        ("Softmax", {}, (10,), 50),
        ("Dropout", {}, (4, 10, 10), 0),
        ("Flatten", {}, (4, 10, 10), 0),
        ("LocalResponseNorm", {"size": 5}, (4, 10, 10), 9 * 400),
        ("GroupNorm", {"num_groups": 2}, (4, 10, 10), 7 * 400),
        ("LayerNorm", {"bias": False}, (4, 10), 6 * 40),
        ("Upsample", {"scale_factor": 2, "mode": "bilinear"}, (1, 2, 2), 7 * 16),
        ("Scale", {}, (4, 10, 10), 400),
    ],
)
def test_other_operations(name: str, args: dict[str, Any], shape: tuple[int, ...], flops: int) -> None:
    assert make_op(name, **args).other_flops(shape) == flops

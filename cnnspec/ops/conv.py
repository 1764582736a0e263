"""Convolutions and transposed convolutions in one, two and three dimensions."""

from math import prod
from typing import ClassVar, Literal

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractSpatialOp, Count, Initial, Shape, Sizes, elements, show_shape
from cnnspec.ops.pad import refuse_wide
from cnnspec.ops.window import GLOBAL, POINT, Border, Grouped, Sliding, Transposed, Window

__all__ = ["AbstractSlidingConv", "Conv", "ConvTranspose"]


class _AbstractConv(AbstractSpatialOp):
    """What both kinds share: a weight per (input channel of the group, output channel, tap) and a bias."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = True
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("out_channels", "kernel_size")
    inferred: ClassVar[str | None] = "in_channels"

    out_channels: Count
    kernel_size: Sizes
    stride: Sizes = 1  # type: ignore[assignment]  # expanded to one value per axis by the validator
    in_channels: Count | None = None
    groups: Count = 1
    bias: bool = True

    def check_channels(self, shape: Shape) -> None:
        self.check_rank(shape)
        channels = shape[0]
        if self.in_channels is not None and self.in_channels != channels:
            raise ShapeError(
                f"in_channels is {self.in_channels}, but the input {show_shape(shape)} has {channels}", "E203"
            )
        for name, count in (("input", channels), ("output", self.out_channels)):
            if count % self.groups:
                raise ShapeError(f"groups={self.groups} does not divide the {count} {name} channels", "E204")

    def channel_window(self, *inputs: Shape) -> Window:
        """All channels of its group."""
        if self.groups == 1:
            return GLOBAL
        size, out = inputs[0][0] // self.groups, self.out_channels // self.groups
        return POINT if size == out == 1 else Grouped(size, out)

    def initial(self, key: str, *inputs: Shape) -> Initial:
        """Uniform within `1/√fan_in`, with torch's fan-in: all of the weight but its first axis."""
        return Initial(spread=prod(self.parameter_shapes(*inputs)["weight"][1:]) ** -0.5)

    def _bias_flops(self, out: Shape) -> int:
        return elements(out) if self.bias else 0

    def parameter_formula(self, *inputs: Shape) -> str:
        """`n*m*k^2 + m` for n input and m output channels (`n/groups` where there are groups)."""
        kernel = self.kernel_size
        taps = f"{kernel[0]}^{self.rank}" if self.rank > 1 and len(set(kernel)) == 1 else "*".join(map(str, kernel))
        taps = taps.replace("^2", "²").replace("^3", "³")
        n = f"({inputs[0][0]}/{self.groups})" if self.groups > 1 else str(inputs[0][0])
        return f"{n}*{self.out_channels}*{taps}" + (f" + {self.out_channels}" if self.bias else "")


class AbstractSlidingConv(_AbstractConv):
    """A window that slides over the input and mixes channels, whatever its weight is made of."""

    slides: ClassVar[bool] = True
    per_axis: ClassVar[dict[str, int]] = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    words: ClassVar[tuple[str, ...]] = ("padding",)

    padding: Sizes | Literal["same", "valid"] = 0  # type: ignore[assignment]
    dilation: Sizes = 1  # type: ignore[assignment]

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        return self.axes

    @property
    def border(self) -> Border:
        """What stands in the padding."""
        return "constant"

    @property
    def axes(self) -> tuple[Sliding, ...]:
        """The window along each axis of space."""
        windows = []
        for axis, (kernel, stride, dilation) in enumerate(
            zip(self.kernel_size, self.stride, self.dilation, strict=True)
        ):
            if self.padding == "same":  # torch puts the odd pixel at the far end
                total = dilation * (kernel - 1)
                before, after = total // 2, total - total // 2
            elif self.padding == "valid":
                before = after = 0
            else:
                before = after = self.padding[axis]
            windows.append(Sliding(kernel, stride, dilation, before, after, border=self.border))
        return tuple(windows)

    def out_shape(self, *inputs: Shape) -> Shape:
        """`out = floor((W + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1` on each axis."""
        (shape,) = inputs
        self.check_channels(shape)
        if self.padding == "same" and max(self.stride) > 1:
            message = f"padding='same' needs stride 1, as in torch; {self._same_for_stride()}"
            raise ShapeError(message, "E204", instead={"padding": self._half()})
        out = []
        for window, size in zip(self.axes, shape[1:], strict=True):
            refuse_wide(window, size)
            result = window.out_size(size)
            if result < 1:
                padded = size + window.before + window.after
                kind = "padded input" if padded != size else "input"
                raise ShapeError(f"the window does not fit: it spans {window.extent}, but the {kind} is {padded}")
            out.append(result)
        return (self.out_channels, *out)

    def _same_for_stride(self) -> str:
        """The padding with which a size is only divided by the stride, in a sentence."""
        stride = [f"{s}" for s in self.stride]
        given = f"padding={self._half()}"
        if set(stride) == {"2"}:
            return f"`{given}` halves the size"
        return f"`{given}` divides the size by {'x'.join(stride[: 1 if len(set(stride)) == 1 else None])}"

    def _half(self) -> str:
        """The padding of half a window."""
        padding = [d * (k - 1) // 2 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return str(padding[0] if len(set(padding)) == 1 else tuple(padding))

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.out_channels, inputs[0][0] // self.groups, *self.kernel_size)}
        return weight | {"bias": (self.out_channels,)} if self.bias else weight

    def macs(self, *inputs: Shape) -> int:
        """One multiply-accumulate per output element, input channel of the group, and tap."""
        out = self.out_shape(*inputs)
        return elements(out) * (inputs[0][0] // self.groups) * prod(self.kernel_size)

    def mac_formula(self, *inputs: Shape) -> str:
        out, channels = self.out_shape(*inputs), inputs[0][0] // self.groups
        return f"{show_shape(out)} outputs * {channels} channels * {prod(self.kernel_size)} taps"

    def other_flops(self, *inputs: Shape) -> int:
        return self._bias_flops(self.out_shape(*inputs))


class Conv(AbstractSlidingConv):
    """`Conv1d`, `Conv2d`, `Conv3d`: slide a window and mix channels. `(C, *W) -> (out_channels, *out)`."""

    words: ClassVar[tuple[str, ...]] = ("padding", "padding_mode")

    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    @property
    def border(self) -> Border:
        return "constant" if self.padding_mode == "zeros" else self.padding_mode


class ConvTranspose(_AbstractConv):
    """`ConvTranspose1d`, `2d`, `3d`: the gradient of a convolution, used to grow. `(C, *W) -> (out_channels, *out)`."""

    slides: ClassVar[bool] = False  # it writes a window for each input
    per_axis: ClassVar[dict[str, int]] = {
        "kernel_size": 1,
        "stride": 1,
        "padding": 0,
        "output_padding": 0,
        "dilation": 1,
    }
    words: ClassVar[tuple[str, ...]] = ("padding_mode",)

    padding: Sizes = 0  # type: ignore[assignment]
    output_padding: Sizes = 0  # type: ignore[assignment]
    dilation: Sizes = 1  # type: ignore[assignment]
    padding_mode: Literal["zeros"] = "zeros"

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        return self._transposed()

    def _transposed(self) -> tuple[Transposed, ...]:
        fields = (self.kernel_size, self.stride, self.dilation, self.padding, self.output_padding)
        return tuple(Transposed(*values) for values in zip(*fields, strict=True))

    def out_shape(self, *inputs: Shape) -> Shape:
        """`out = (W - 1)*stride - 2*padding + dilation*(kernel_size - 1) + output_padding + 1` on each axis."""
        (shape,) = inputs
        self.check_channels(shape)
        out = []
        for window, size in zip(self._transposed(), shape[1:], strict=True):
            if window.output_padding >= max(window.stride, window.dilation):
                raise ShapeError(
                    f"output_padding {window.output_padding} must be smaller than stride {window.stride}"
                    f" or dilation {window.dilation}",
                    "E204",
                )
            result = window.out_size(size)
            if result < 1:
                raise ShapeError(f"padding {window.padding} crops the whole output: its size would be {result}")
            out.append(result)
        return (self.out_channels, *out)

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        weight = {"weight": (inputs[0][0], self.out_channels // self.groups, *self.kernel_size)}
        return weight | {"bias": (self.out_channels,)} if self.bias else weight

    def macs(self, *inputs: Shape) -> int:
        """Counted over the input grid: every input element is multiplied by every tap of its group's outputs."""
        return elements(inputs[0]) * (self.out_channels // self.groups) * prod(self.kernel_size)

    def mac_formula(self, *inputs: Shape) -> str:
        channels = self.out_channels // self.groups
        return f"{show_shape(inputs[0])} inputs * {channels} channels * {prod(self.kernel_size)} taps"

    def other_flops(self, *inputs: Shape) -> int:
        return self._bias_flops(self.out_shape(*inputs))

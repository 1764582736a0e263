"""Pooling: windows that keep the channels apart and learn nothing."""

from math import gcd, prod
from typing import Annotated, ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import AbstractSpatialOp, Count, Shape, Sizes, elements, show_shape
from cnnspec.ops.window import GLOBAL, POINT, Adaptive, Sliding, Window

__all__ = ["AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "BlurPool", "LPPool", "MaxPool"]


def _refuse_narrow(op: AbstractSpatialOp, kernel_size: Sizes, shape: Shape) -> None:
    """Torch's mean over three axes wants an input that is no smaller than the window, even with padding."""
    if op.rank == 3 and any(size < kernel for size, kernel in zip(shape[1:], kernel_size, strict=True)):
        raise ShapeError(f"the window does not fit: {op.op_name} wants {show_shape(kernel_size)} at least, as torch's")


def _slide(windows: tuple[Sliding, ...], shape: Shape) -> Shape:
    """The output size of each axis. Raises ShapeError where a window does not fit."""
    out = []
    for window, size in zip(windows, shape[1:], strict=True):
        result = window.out_size(size)
        if result < 1:
            raise ShapeError(
                f"the window does not fit: it spans {window.extent}, but the input is {size}"
                + (f" + 2*{window.before} of padding" if window.before else "")
            )
        out.append(result)
    return tuple(out)


class _AbstractPool(AbstractSpatialOp):
    """A sliding window over each channel; `stride` is the kernel size unless given."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = True
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = True
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("kernel_size",)
    per_axis: ClassVar[dict[str, int]] = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}

    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = 0  # type: ignore[assignment]
    ceil_mode: bool = False

    @property
    def strides(self) -> Sizes:
        """The stride really used."""
        return self.stride or self.kernel_size

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        return self._sliding()

    def _sliding(self) -> tuple[Sliding, ...]:
        dilation: Sizes = getattr(self, "dilation", (1,) * self.rank)
        fields = zip(self.kernel_size, self.strides, dilation, self.padding, strict=True)
        return tuple(Sliding(k, s, d, p, p, self.ceil_mode) for k, s, d, p in fields)

    def out_shape(self, *inputs: Shape) -> Shape:
        """`out = floor((W + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1` on each axis.

        `ceil_mode` rounds up, but not to a window that begins behind the input. `stride` is `kernel_size` unless given.
        """
        (shape,) = inputs
        self.check_rank(shape)
        for window in self._sliding():
            if window.before > window.kernel // 2:
                raise ShapeError(f"padding {window.before} is more than half of kernel_size {window.kernel}", "E204")
        return (shape[0], *_slide(self._sliding(), shape))

    def other_flops(self, *inputs: Shape) -> int:
        """`k` operations per output: the comparisons of a max, or the sums and the division of a mean."""
        return elements(self.out_shape(*inputs)) * prod(self.kernel_size)


class MaxPool(_AbstractPool):
    """`MaxPool1d`, `2d`, `3d`: the largest value in the window. `(C, *W) -> (C, *out)`."""

    dilation: Sizes = 1  # type: ignore[assignment]


class AvgPool(_AbstractPool):
    """`AvgPool1d`, `2d`, `3d`: the mean of the window. `(C, *W) -> (C, *out)`.

    `AvgPool1d` has no `divisor_override`, as in torch.
    """

    count_include_pad: bool = True
    divisor_override: Count | None = None

    def check_arguments(self) -> None:
        if self.rank == 1 and self.divisor_override is not None:
            raise ValueError("has no `divisor_override`, as in torch")

    def out_shape(self, *inputs: Shape) -> Shape:
        """`out = floor((W + 2*padding - kernel_size) / stride) + 1` on each axis.

        `ceil_mode` rounds up, but not to a window that begins behind the input. `stride` is `kernel_size` unless given.
        """
        out = super().out_shape(*inputs)
        _refuse_narrow(self, self.kernel_size, inputs[0])
        return out


class LPPool(AbstractSpatialOp):
    """`LPPool1d`, `2d`, `3d`: the `norm_type`-norm of the window, without padding. `(C, *W) -> (C, *out)`."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = True
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = True
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("norm_type",)
    per_axis: ClassVar[dict[str, int]] = {"kernel_size": 1, "stride": 1}

    norm_type: Annotated[float, Bounds(gt=0)]
    kernel_size: Sizes
    stride: Sizes | None = None
    ceil_mode: bool = False

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        return self._sliding()

    def _sliding(self) -> tuple[Sliding, ...]:
        strides = self.stride or self.kernel_size
        return tuple(
            Sliding(kernel, stride, ceil_mode=self.ceil_mode)
            for kernel, stride in zip(self.kernel_size, strides, strict=True)
        )

    def out_shape(self, *inputs: Shape) -> Shape:
        """`out = floor((W - kernel_size) / stride) + 1` on each axis.

        `ceil_mode` rounds up, but not to a window that begins behind the input. `stride` is `kernel_size` unless given.
        """
        (shape,) = inputs
        self.check_rank(shape)
        _refuse_narrow(self, self.kernel_size, shape)
        return (shape[0], *_slide(self._sliding(), shape))

    def other_flops(self, *inputs: Shape) -> int:
        """`2k` per output: the powers, the sums and the root."""
        return elements(self.out_shape(*inputs)) * 2 * prod(self.kernel_size)


class BlurPool(AbstractSpatialOp):
    """`BlurPool2d`: each channel under a binomial filter, and one place in `stride` of it. `(C, H, W) -> (C, *out)`.

    Zhang 2019, Making Convolutional Networks Shift-Invariant Again. The filter is fixed and no parameter: 1 2 1 over 4
    on each axis for `filt_size=3`. The image is mirrored at its ends by `(stride - 1 + filt_size - 1) // 2`.
    """

    ranks: ClassVar[tuple[int, ...]] = (2,)
    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = True
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = True
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("filt_size",)

    filt_size: Annotated[int, Bounds(ge=2, le=64)] = 3
    stride: Count = 2

    @property
    def kernel_size(self) -> Sizes:
        """The filter along each axis."""
        return (self.filt_size,) * self.rank

    @property
    def padding(self) -> int:
        """How far each end is mirrored."""
        return (self.stride + self.filt_size - 2) // 2

    @property
    def axes(self) -> tuple[Sliding, ...]:
        """The window along each axis."""
        return (Sliding(self.filt_size, self.stride, 1, self.padding, self.padding, border="reflect"),) * self.rank

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        return self.axes

    def out_shape(self, *inputs: Shape) -> Shape:
        """`out = floor((W + 2*padding - filt_size) / stride) + 1` on each axis."""
        (shape,) = inputs
        self.check_rank(shape)
        if self.padding >= min(shape[1:]):
            raise ShapeError(
                f"the padding {self.padding} is not smaller than an axis that it mirrors: {show_shape(shape)}"
            )
        return (shape[0], *_slide(self.axes, shape))

    def constant_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        return {"filt": (inputs[0][0], 1, *self.kernel_size)}

    def macs(self, *inputs: Shape) -> int:
        """One multiply-accumulate per output element and place of the filter."""
        return elements(self.out_shape(*inputs)) * prod(self.kernel_size)

    def mac_formula(self, *inputs: Shape) -> str:
        return f"{show_shape(self.out_shape(*inputs))} outputs * {prod(self.kernel_size)} taps"

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class _AbstractAdaptivePool(AbstractSpatialOp):
    """Pools to a wanted output size; None keeps the size of that axis."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = True
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("output_size",)
    per_axis: ClassVar[dict[str, int]] = {"output_size": 1}

    output_size: tuple[int | None, ...]

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        self.check_rank(shape)
        sizes = zip(self.output_size, shape[1:], strict=True)
        return (shape[0], *(size if wanted is None else wanted for wanted, size in sizes))

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        """Where the output divides the input this is an ordinary pool with kernel and stride `W/out`."""
        windows: list[Window] = []
        for size, out in zip(inputs[0][1:], self.out_shape(*inputs)[1:], strict=True):
            if size == out:
                windows.append(POINT)
            elif out == 1:
                windows.append(GLOBAL)
            elif size % out == 0:
                windows.append(Sliding(size // out, size // out))
            else:
                windows.append(Adaptive(size, out))
        return tuple(windows)

    def other_flops(self, *inputs: Shape) -> int:
        """One operation per value read: `W + out - gcd(W, out)` of each axis, as neighbours share an input where `out`
        does not divide their border."""
        (shape,) = inputs
        sizes = zip(shape[1:], self.out_shape(shape)[1:], strict=True)
        return shape[0] * prod(size + out - gcd(size, out) for size, out in sizes)


class AdaptiveAvgPool(_AbstractAdaptivePool):
    """`AdaptiveAvgPool1d`, `2d`, `3d`: means over `output_size` windows. `(C, *W) -> (C, *output_size)`.

    `None` in a list keeps the size of its axis.
    """


class AdaptiveMaxPool(_AbstractAdaptivePool):
    """`AdaptiveMaxPool1d`, `2d`, `3d`: maxima over `output_size` windows. `(C, *W) -> (C, *output_size)`.

    `None` in a list keeps the size of its axis.
    """

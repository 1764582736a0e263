"""Operators that change the resolution without learning: interpolation, and channels rearranged into space."""

from math import floor, prod
from typing import Annotated, ClassVar, Final, Literal

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import AbstractOp, Count, Shape, elements, show_shape
from cnnspec.ops.window import Resized, Sliding, Window

__all__ = ["PixelShuffle", "Upsample"]

Factor = Annotated[float, Bounds(gt=0, le=10_000)]

_SPATIAL: Final = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}  # axes that a mode is for


class Upsample(AbstractOp):
    """Each channel resampled to `size`, or by `scale_factor`. `(C, *W) -> (C, *size)`, or `floor(W * scale_factor)`.

    One of the two is given, as one number or one per axis. `linear` wants one spatial axis, `bilinear` and `bicubic`
    two, `trilinear` three.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("size",)
    words: ClassVar[tuple[str, ...]] = ("mode",)

    size: Count | tuple[Count, ...] | None = None
    scale_factor: Factor | tuple[Factor, ...] | None = None
    mode: Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"] = "nearest"
    align_corners: bool | None = None

    def check_arguments(self) -> None:
        if (self.size is None) == (self.scale_factor is None):
            raise ValueError("wants `size` or `scale_factor`, and not both")
        if self.align_corners is not None and self.mode.startswith("nearest"):
            raise ValueError(f"align_corners has no meaning for mode={self.mode}")

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        axes = len(shape) - 1
        if not (1 <= axes <= 3 and _SPATIAL.get(self.mode, axes) == axes):
            wanted = _SPATIAL.get(self.mode, "one to three")
            raise ShapeError(f"mode={self.mode} is for channels and {wanted} axes, not for {show_shape(shape)}", "E202")
        given = self.size if self.size is not None else self.scale_factor
        if isinstance(given, tuple) and len(given) != axes:
            raise ShapeError(f"{len(given)} sizes for the {axes} spatial axes of {show_shape(shape)}", "E204")
        if self.size is not None:
            return (shape[0], *(self.size if isinstance(self.size, tuple) else (self.size,) * axes))
        out = tuple(floor(size * factor) for size, factor in zip(shape[1:], self._factors(axes), strict=True))
        if min(out) < 1:
            raise ShapeError(f"scale_factor {self.scale_factor} leaves nothing of {show_shape(shape)}")
        return (shape[0], *out)

    def _factors(self, axes: int) -> tuple[float, ...]:
        assert self.scale_factor is not None
        return self.scale_factor if isinstance(self.scale_factor, tuple) else (self.scale_factor,) * axes

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        (shape,) = inputs
        sizes = tuple(zip(shape[1:], self.out_shape(shape)[1:], strict=True))
        method: Literal["nearest", "nearest-exact", "linear", "cubic"]
        match self.mode:
            case "nearest" | "nearest-exact":
                method = self.mode
            case "bicubic":
                method = "cubic"
            case _:
                method = "linear"
        scales = [size / out for size, out in sizes]
        if self.scale_factor is not None:  # torch takes the factor as given, not that of the rounded sizes
            scales = [1 / factor for factor in self._factors(len(sizes))]
        corners, copies = bool(self.align_corners), len(sizes) == 2
        return tuple(Resized(*pair, scale, method, corners, copies) for pair, scale in zip(sizes, scales, strict=True))

    def other_flops(self, *inputs: Shape) -> int:
        """A multiplication per tap and the additions between; the weights of the taps are not counted."""
        if self.mode.startswith("nearest"):
            return 0
        taps = prod([4 if self.mode == "bicubic" else 2] * (len(inputs[0]) - 1))
        return (2 * taps - 1) * elements(self.out_shape(*inputs))


class PixelShuffle(AbstractOp):
    """Channels rearranged into space (Shi et al. 2016). `(C*r*r, H, W) -> (C, H*r, W*r)` with r `upscale_factor`."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("upscale_factor",)
    upscale_factor: Count

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        factor = self.upscale_factor
        if len(shape) != 3:
            raise ShapeError(f"wants 3 axes (channels, height, width), not {show_shape(shape)}", "E202", verb=True)
        channels, height, width = shape
        if channels % factor**2:
            raise ShapeError(f"upscale_factor²={factor**2} does not divide the {channels} input channels", "E204")
        return (channels // factor**2, height * factor, width * factor)

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        """Unit `i` reads the input `floor(i/r)`."""
        return tuple(Resized(size, size * self.upscale_factor, 1 / self.upscale_factor) for size in inputs[0][1:])

    def channel_window(self, *inputs: Shape) -> Window:
        """Of the r*r channels that become one, unit (y, x) reads number `(y % r)*r + x % r`."""
        return Sliding(self.upscale_factor**2, self.upscale_factor**2)

    def other_flops(self, *inputs: Shape) -> int:
        return 0

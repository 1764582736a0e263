"""Where in an image an answer comes from: Grad-CAM and occlusion maps, for each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.exporting.in_torch import torch_module, why_not_compared
from cnnspec.exporting.subject import ends_in_softmax
from cnnspec.graph import INPUT, Graph
from cnnspec.pages.values import every_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Weights

    Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # (N, C, H, W) to (N, classes)

__all__ = ["GRID", "GradCam", "Reasons", "Why", "occlusion", "seen_last", "softmax"]

GRID: Final = 14  # places of the occluding patch along each axis, at most
_PATCH: Final = 6  # it covers this part of the image along each axis
_AT_A_TIME: Final = 32
_FEWEST: Final = 4  # places along an axis, below which a map says nothing
_MACS: Final = 400_000_000_000  # that the occlusion maps of all images may cost


@dataclass(frozen=True)
class Why:
    """Maps for several classes of one image, `(classes, rows, columns)`; None where they could not be made."""

    classes: tuple[int, ...]
    cam: NDArray[np.float32] | None  # at least 0
    occlusion: NDArray[np.float32] | None  # by how much the probability falls where that part is covered


def seen_last(graph: Graph) -> str | None:
    """The last layer whose units have a place in the image and through which all goes; None where there is none.

    Its maps are what Grad-CAM weighs: Selvaraju et al. 2017 take the last convolutional layer.
    """
    inference = graph.network("inference")
    found = None
    last_read: dict[str, int] = {}
    for place, node in enumerate(inference):
        for name in node.inputs:
            last_read[name] = place
    reach = last_read.get(INPUT, -1)  # how far what was made up to here is still read
    for place, node in enumerate(inference):
        if place >= reach and len(node.shape) == 3 and min(node.shape[1:]) > 1:
            found = node.name
        reach = max(reach, last_read.get(node.name, len(inference)))
    return found


class GradCam:
    """Grad-CAM of a network. Raises MissingExtraError without torch, CnnspecError for weights of another network."""

    def __init__(self, graph: Graph, weights: Weights, layer: str) -> None:
        inference = graph.network("inference")
        output = inference.outputs[0]
        self.layer = layer
        self.score = inference.by_name[output].inputs[0] if ends_in_softmax(inference) else output
        both = tuple(dict.fromkeys((layer, self.score)))
        self.module = torch_module(replace(inference, outputs=both, aux_outputs=()), weights, inplace=False)

    def __call__(self, image: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Of one input `(C, H, W)` for several classes: `(classes, rows, columns)` of the layer.

        Each map of the layer is weighed by the mean gradient of the class's score, before the softmax; what speaks
        against the class is left out.
        """
        import torch

        found = self.module(torch.from_numpy(image[None].copy()).requires_grad_())
        maps, scores = found[self.layer], found[self.score][0]
        cams = []
        for label in classes:
            (gradient,) = torch.autograd.grad(scores[label], maps, retain_graph=True)
            weighed = (gradient[0].mean((1, 2), keepdim=True) * maps[0]).sum(0)
            cams.append(weighed.clamp(min=0).detach().numpy())
        return np.stack(cams).astype(np.float32)


def occlusion(
    probabilities: Probabilities, image: NDArray[np.float32], classes: Sequence[int], grid: int = GRID
) -> NDArray[np.float32]:
    """By how much the probability of each class falls where a patch of the mean colour lies.

    `(classes, rows, columns)`. The patch covers a sixth of the image along each axis, and lies on at most `grid` places
    along each, as in Zeiler and Fergus 2014.
    """
    _, height, width = image.shape
    rows, columns = _patches(height, grid), _patches(width, grid)
    colour = image.mean((1, 2), keepdims=True)
    covered = []
    for row in rows:
        for column in columns:
            one = image.copy()
            one[:, row, column] = colour
            covered.append(one)
    parts = [
        probabilities(np.stack(covered[start : start + _AT_A_TIME]))[:, list(classes)]
        for start in range(0, len(covered), _AT_A_TIME)
    ]
    whole = probabilities(image[None])[0, list(classes)]
    falls = whole - np.concatenate(parts)
    return np.ascontiguousarray(falls.T.reshape(len(classes), len(rows), len(columns)), np.float32)


def _patches(size: int, grid: int) -> list[slice]:
    """What the patch covers along an axis, at each of its places, which lie evenly."""
    count = min(size, grid)
    half = max(1.0, size / _PATCH) / 2
    centres = [(place + 0.5) * size / count for place in range(count)]
    return [slice(max(0, round(centre - half)), max(1, round(centre + half))) for centre in centres]


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


class Reasons:
    """Says of a classifier's answers where in the image they come from, with what is installed and affordable.

    `images` is how many are going to be asked about: occlusion looks at fewer places where they are many.
    """

    def __init__(self, graph: Graph, weights: Weights, images: int = 1) -> None:
        self.graph = graph.network("inference")
        self.layer = seen_last(graph)
        self._cam = None
        if self.layer is not None and why_not_compared() is None:
            self._cam = GradCam(graph, weights, self.layer)
        self._output = every_layer(graph, weights, self.graph.outputs)
        self.grid = min(GRID, int((_MACS / max(1, self.graph.macs * images)) ** 0.5))

    def __call__(self, image: NDArray[np.float32], classes: Sequence[int]) -> Why:
        """The maps of one input `(C, H, W)` for these classes."""
        cam = self._cam(image, classes) if self._cam is not None else None
        covered = None
        if self.grid >= _FEWEST:
            covered = occlusion(self.probabilities, image, classes, self.grid)
        return Why(tuple(classes), cam, covered)

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(N, classes)` for inputs `(N, C, H, W)`."""
        scores = self._output(images)[self.graph.outputs[0]]
        return scores if ends_in_softmax(self.graph) else softmax(scores)

"""One training step, told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

from cnnspec.api.networks import PathLike, load
from cnnspec.api.weights import source_weights
from cnnspec.errors import UsageError, needs_extra
from cnnspec.files import expand_user, rewrite
from cnnspec.graph import Graph
from cnnspec.hints import did_you_mean
from cnnspec.language import Network
from cnnspec.ops.arguments import Bounds
from cnnspec.public import public
from cnnspec.training import Run, TrainConfig, open_run, resolve_config
from cnnspec.training.told_step import Pixels, TrainingStep
from cnnspec.zoo import find_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["draw_step", "step"]

Index: TypeAlias = Annotated[int, Bounds(ge=0, le=2**63 - 1)]


@needs_extra("train")
@public()
def step(
    spec: Network | Run | PathLike,
    *,
    image: PathLike | None = None,
    label: str | None = None,
    data: str | None = None,
    index: Index = 0,
    invert: bool = False,
    **options: object,
) -> TrainingStep:
    """Take one training step on one image and tell it in numbers. Nothing is written. Needs the extra `train`.

    A run is taken with its best weights, options and images, a spec with fresh weights or those of `weights`, and the
    options of its `train:`. The image is the file `image`, of the class `label` (its name or number), or else the one
    of this `index` among the test images of `data` (validation images where there are none), of all or of the class
    `label`. `invert` swaps dark and light of `image`. `options` are those fields of TrainConfig that say how a step
    goes: `optimizer`, `lr`, `momentum`, `nesterov`, `weight_decay`, `loss`, `seed`, `init`, `weights`, ….

    Raises UsageError where network, image, label or options do not fit, and CnnspecError where a file is damaged.
    """
    subject = _subject(spec)
    if isinstance(subject, Run):
        network = subject.network
        given = {"weights": str(subject.path), "reset": (), "leave_out": (), **options}
        config = resolve_config(("config.yaml", subject.config.model_dump()), ("the options", given))
    else:
        network = subject
        header = network.source.document.header.train
        config = resolve_config((f"`train:` of {network.source.path}", header), ("the options", options))
    graph = network.graph.network("inference")
    if len(graph.outputs) != 1 or len(graph.shape_of(graph.outputs[0])) != 1:
        raise UsageError("a step is told of networks that give one vector, a score for each class")
    if image is not None:
        sample = _from_file(graph, config, image, label, invert=invert)
    else:
        own = subject.locate_data() if isinstance(subject, Run) and data is None else config.data
        sample = _from_data(graph, config, data or own, label, index)
    import torch

    from cnnspec.images import normalize
    from cnnspec.training.one_step import take_step
    from cnnspec.training.start import fresh_network
    from cnnspec.training.starting import start_from

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        with source_weights(config.weights, network) as found:
            named = config.weights
            begun = None if named is None else start_from(network.graph, config, found or named, named)
        model = fresh_network(network.graph, config, weights=begun)
    pixels = torch.from_numpy(normalize(sample.pixels[None], graph.mean, graph.std))[0]
    start = f"the weights of {config.weights}" if config.weights else f"fresh weights of seed {config.seed}"
    told = take_step(graph, model, pixels, sample.label, config, sample.classes, start=start, source=sample.name)
    height, width, channels = sample.pixels.shape
    return replace(told, pixels=Pixels((channels, height, width), sample.pixels.transpose(2, 0, 1).tobytes()))


@public()
def draw_step(told: TrainingStep, output: PathLike) -> Path:
    """Write a page that goes through a training step, forward and back, to a file that ends in .html.

    Raises UsageError for another ending, and CnnspecError where it cannot be written.
    """
    from cnnspec.pages.step_page import step_page

    path = expand_user(output)
    if path.suffix.lower() != ".html":
        raise UsageError(f"{path} is to be a page", hint="give it the ending .html")
    rewrite(path, step_page(told).encode())
    return path


def _subject(spec: Network | Run | PathLike) -> Network | Run:
    """What a step is told of: a run, by its folder or name too, or a spec."""
    if isinstance(spec, (Network, Run)):
        return spec
    path = find_run(spec, or_spec=True)
    return load(spec) if path is None else open_run(path, figures=False)


class _Sample(NamedTuple):
    """An image as bytes `(H, W, C)`, its class among all classes, and how it is called."""

    pixels: NDArray[np.uint8]
    label: int
    classes: tuple[str, ...]
    name: str


def _from_file(graph: Graph, config: TrainConfig, image: PathLike, label: str | None, *, invert: bool) -> _Sample:
    """An image file of the class that it should be. Raises UsageError and CnnspecError."""
    from cnnspec.images import MAX_PIXELS, check_shape, read_image

    (count,) = graph.shape_of(graph.outputs[0])
    classes = graph.classes or tuple(map(str, range(count)))
    if label is None:
        raise UsageError("of which class is the image?", hint=f"`--label {classes[0]}`: a class's name or number")
    number = _number_of(label, classes)
    check_shape(graph.input_shape)
    pixels = read_image(
        image, graph.input_shape, intake=graph.intake, invert=invert, max_pixels=config.max_pixels or MAX_PIXELS
    )
    return _Sample(pixels, number, classes, os.fspath(image))


def _from_data(graph: Graph, config: TrainConfig, data: str, label: str | None, index: int) -> _Sample:
    """An image of a data set, as training reads it. Raises UsageError and CnnspecError."""
    from cnnspec.scoring.samples import open_set, pick

    opened = open_set(graph, data, config)
    number = None if label is None else _number_of(label, opened.classes)
    pixels, number, place = pick(opened, number, index)
    return _Sample(pixels, number, opened.classes, f"{place} of {opened.name}")


def _number_of(label: str, classes: tuple[str, ...]) -> int:
    """A class by its name or number. Raises UsageError."""
    if label in classes:
        return classes.index(label)
    if label.isascii() and label.isdigit() and len(label) < 10 and int(label) < len(classes):
        return int(label)
    hint = did_you_mean(label, classes) or f"there are: {', '.join(classes[:10])}{', …' * (len(classes) > 10)}"
    raise UsageError(f"there is no class `{label:.60}`", hint=hint)

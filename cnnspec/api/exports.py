"""ONNX files: writing, checking and timing them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cnnspec.api.networks import PathLike, load
from cnnspec.api.specs import WeightedSpec
from cnnspec.api.weights import NamedWeights, named_weights
from cnnspec.errors import UsageError, needs_extra
from cnnspec.exporting.options import PRECISIONS, ExportOptions, ExportResult, Quantization
from cnnspec.exporting.subject import Subject, checked_arrays, of_known, of_run, of_spec
from cnnspec.language import Network
from cnnspec.language.network import normalised
from cnnspec.onnx_backend.options import DEFAULT_OPSET, Lowering
from cnnspec.ops import show_shape
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import Count
from cnnspec.public import public
from cnnspec.training import Run, open_run
from cnnspec.training.config import Seed
from cnnspec.zoo import find_run

if TYPE_CHECKING:
    from cnnspec.exporting.files import VerifyResult
    from cnnspec.exporting.subject import Weights
    from cnnspec.runtime.bench import Bench

__all__ = ["bench", "export", "verify"]

Timed: TypeAlias = Annotated[int, Bounds(ge=1, le=2**20 - 1)]  # a batch size or a number of threads


@needs_extra("onnx")
@public()
def export(
    network: Network | Run | PathLike,
    output: PathLike | None = None,
    *,
    weights: PathLike | None = None,
    seed: Seed = 0,
    report: Callable[[str], None] = lambda text: None,
    opset: int | None = None,
    batch: Count | None = None,
    dynamic_size: bool = False,
    precision: str = "fp32",
    preprocess: bool = False,
    softmax: bool = False,
    outputs: tuple[str, ...] = (),
    fold: bool | None = None,
    verify: bool = True,
    calibrate: str | None = None,
    max_drop: Annotated[float, Bounds(ge=-1, le=1)] = 0.01,
    data_dir: str | None = None,
    skip_bad: bool = False,
) -> ExportResult:
    """Write a run or a spec as one ONNX file, `output` or `exports/NAME.onnx`, and prove it equal to the network.

    A SOURCE of `import_network`, and a spec that was made of one, has the weights of that. Another
    spec takes its weights from what `weights` names, a file of safetensors or of `torch.save`, a run's folder or its
    name in `runs`, those that torchvision or timm publish, `torchvision:IMAGENET1K_V2`, with their classes, size and
    normalisation, or gets random ones from `seed`. `precision` is fp32, fp16 or
    int8; eight bits are calibrated with the data `calibrate`, by default those of the run, and lose at most `max_drop`
    of the figure that its task is judged by, as the accuracy. `fold` is on by default for fp16 and int8. The rest is as
    in `Lowering` and `ExportOptions`.
    Needs the extra `onnx`, and for the proof (all but `verify=False`) also `train`.
    Raises VerificationError where a check fails, and then leaves no file; UsageError where the network cannot be
    exported that way; CnnspecError where the weights do not belong to it.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"there is no precision `{precision}`", hint=f"there are: {', '.join(PRECISIONS)}")
    if calibrate is not None and precision != "int8":
        raise UsageError("--calibrate is for `--precision int8`")
    lowering = Lowering(
        opset=DEFAULT_OPSET if opset is None else opset,
        batch=batch,
        dynamic_size=dynamic_size,
        half=precision == "fp16",
        preprocess=preprocess,
        softmax=softmax,
        fold=fold if fold is not None else precision != "fp32",
    )
    quantization = Quantization(calibrate, data_dir, max_drop, skip_bad) if precision == "int8" else None
    options = ExportOptions(lowering, outputs, quantization, verify)
    subject = _subject(network, weights, seed, report)
    from cnnspec.exporting.pipeline import export_network

    return export_network(subject, output, options, report)


def _subject(
    network: Network | Run | PathLike,
    weights: PathLike | None,
    seed: int,
    report: Callable[[str], None] = lambda text: None,
) -> Subject:
    """The network and its weights: a run's own, those of a file or of another maker, or random ones."""
    if isinstance(network, str | os.PathLike) and (run := find_run(network, or_spec=True)) is not None:
        network = open_run(run)
    if isinstance(network, Run):
        if weights is not None:
            raise UsageError("a run has weights of its own", hint="name its spec to give it others")
        return of_run(network)
    spec = network if isinstance(network, Network) else load(network)
    if isinstance(spec, WeightedSpec) and weights is None:
        return of_known(spec, spec.weights, spec.origin)
    if isinstance(weights, str) and (named := named_weights(weights, spec, report)) is not None:
        return _of_named(spec, named, report)
    return of_spec(spec, weights, seed)


def _of_named(spec: Network, named: NamedWeights, report: Callable[[str], None]) -> Subject:
    """A network with the weights of another maker, and with the classes and the images that they were made for."""
    if (rule := named.images) is not None and len(spec.graph.input_shape) == 1 + len(rule.size):
        channels, *_ = spec.graph.input_shape
        if spec.input_override is None and spec.graph.input_shape[1:] != rule.size:
            spec = spec.at_size((channels, *rule.size))
            report(f"{named.origin} are for images of {show_shape(rule.size)}")
        if channels == len(rule.mean):
            spec = normalised(spec, mean=rule.mean, std=rule.std, intake=rule.intake(spec.graph.input_shape))
        if rule.interpolation != "bilinear":
            report(f"{named.origin} were made with {rule.interpolation} resizing; images are resized bilinearly here")
    graph = spec.graph
    fits = not graph.classes and graph.output_shape[:1] == (len(named.classes),)

    def arrays() -> Weights:
        return checked_arrays(named.tensors(), graph, named.origin)

    return of_known(spec, arrays, named.origin, named.classes if fits else ())


@needs_extra("onnx")
@public()
def verify(
    path: PathLike,
    against: Network | Run | PathLike | None = None,
    *,
    weights: PathLike | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    skip_bad: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> VerifyResult:
    """Check an ONNX file: its structure, its shapes and its numbers. Needs the extras `onnx` and `train`.

    It is compared with the network `against`, or with the spec that it carries; the weights are those of the run, of
    the file `weights`, or the ones in the ONNX file. On `data`, a data set, the figure of its task is worked out again,
    and has to be the one that the file tells of. Raises CnnspecError for what is no ONNX file, and UsageError for
    `weights` without `against`.
    """
    if against is None and weights is not None:
        raise UsageError("weights alone say nothing of the network", hint="`--against SPEC` names it")
    subject = None if against is None else _subject(against, weights, 0)
    from cnnspec.exporting.files import verify_file

    return verify_file(path, subject, data, data_dir, skip_bad, report)


@needs_extra("onnx")
@public()
def bench(
    network: Network | Run | PathLike,
    *,
    batches: Sequence[Timed] = (1, 32, 256),
    threads: Sequence[Timed] = (),
    seconds: Annotated[float, Bounds(gt=0, le=3600)] = 1.0,
    device: str = "auto",
    torch: bool = True,
    report: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Time a network, or an ONNX file that cnnspec wrote, in onnxruntime and beside it in torch.

    `threads` is 1, 2, 4, … up to the cores unless given; each combination takes `seconds`. Needs the extra `onnx`.
    """
    from cnnspec.exporting.bench import bench_file, bench_subject
    from cnnspec.runtime.bench import BenchOptions

    options = BenchOptions(batches, threads, seconds, device, torch)
    if isinstance(network, str | os.PathLike) and os.fspath(network).endswith(".onnx"):
        return bench_file(network, options, report)
    return bench_subject(_subject(network, None, 0), options, report)

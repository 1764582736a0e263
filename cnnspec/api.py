"""The public Python API: every verb of the command line is one function here that returns a typed result.

Importing this module imports neither torch nor onnx; the functions that need them import them when called.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec import zoo
from cnnspec.errors import CnnspecError, MissingExtraError, UsageError
from cnnspec.exporting.pipeline import PRECISIONS, ExportOptions, ExportResult, export_network
from cnnspec.exporting.subject import Subject, of_run, of_spec
from cnnspec.files import write_atomic
from cnnspec.graph import Graph
from cnnspec.ops import Shape
from cnnspec.spec import MAX_NODES, Source, read_spec
from cnnspec.training import Run, TrainConfig, open_run, resolve_config
from cnnspec.training.run_folder import is_run, new_folder, read_config

if TYPE_CHECKING:
    from torch import nn

    from cnnspec.analysis import Report
    from cnnspec.analysis.calculator import Calculation, Layer
    from cnnspec.analysis.catalogue import Entry
    from cnnspec.analysis.check import Checked
    from cnnspec.analysis.diff import Difference
    from cnnspec.analysis.explain import Explanation
    from cnnspec.analysis.lint import Finding
    from cnnspec.analysis.sizes import Sizes
    from cnnspec.analysis.unit_field import UnitField
    from cnnspec.exporting.files import VerifyResult
    from cnnspec.runtime.bench import Bench
    from cnnspec.training.assess import Assessment
    from cnnspec.training.loop import TrainResult
    from cnnspec.training.progress import Progress

__all__ = [
    "PRECISIONS",
    "ExportOptions",
    "ExportResult",
    "Run",
    "Spec",
    "TrainConfig",
    "bench",
    "build",
    "bundled_networks",
    "bundled_text",
    "calculate",
    "check",
    "diff",
    "evaluate",
    "export",
    "format_text",
    "init",
    "is_run",
    "json_schema",
    "list_runs",
    "load",
    "loads",
    "open_run",
    "resume",
    "sizes",
    "train",
    "verify",
]


@dataclass(frozen=True)
class Spec:
    """A spec that has been read and worked out: a valid network."""

    source: Source
    graph: Graph
    variant: str | None = None
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)  # those that were set, as they are written

    @property
    def name(self) -> str:
        """The network's name."""
        return self.graph.name

    def analyze(self, *, batch: int = 1, optimizer: str = "sgd-momentum", precision: str = "fp32") -> Report:
        """Sizes, receptive fields, parameters, cost and memory of every layer, and the totals.

        `batch`, `optimizer` (sgd, sgd-momentum, adam, adamw) and `precision` (fp32, bf16, fp16) say what memory is for.
        """
        from cnnspec.analysis import analyze

        return analyze(self.graph, batch=batch, optimizer=optimizer, precision=precision)

    def field(self, layer: str, unit: tuple[int, ...] | None = None) -> UnitField:
        """The input pixels that one unit of a layer reads; without `unit`, the one in the middle. Raises UsageError."""
        from cnnspec.analysis.unit_field import unit_field

        return unit_field(self.graph, layer, unit)

    def largest_batch(self, memory: int, *, optimizer: str | None = None, precision: str = "fp32") -> int:
        """The largest batch that fits into `memory` bytes, a tenth left free; for inference without an optimizer."""
        from cnnspec.analysis import largest_batch

        return largest_batch(self.graph, memory, optimizer=optimizer, precision=precision)

    def explain(self, layer: str) -> Explanation:
        """The arithmetic behind one layer's figures. Raises UsageError where there is no such layer."""
        from cnnspec.analysis.explain import explain, find_node

        find_node(self.graph, layer)
        return explain(self.graph, self.analyze().layer(layer))

    def lint(
        self, *, select: Iterable[str] = (), ignore: Iterable[str] = (), report: Report | None = None
    ) -> list[Finding]:
        """The warnings about the network, without those that `lint: {ignore: [...]}` of the spec leaves out.

        `select` names the only codes to look for; it finds those too that the spec ignores. `report` is the analysis,
        where there is one already. Raises UsageError for a code that there is not.
        """
        from cnnspec.analysis.lint import lint

        silenced = self.source.document.header.lint.ignore
        return lint(self.graph, report or self.analyze(), select=select, ignore=ignore, silenced=silenced)

    def build(self) -> nn.Module:
        """The network as a `torch.fx.GraphModule`, freshly initialised. Needs the extra `train`."""
        return build(self)


def load(
    spec: str | os.PathLike[str],
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
) -> Spec:
    """Read a spec by path or bundled name and work it out.

    `variant` and `params` set its parameters, `input_shape` (without the batch axis) overrides its input.
    Raises SpecError with everything that is wrong with it, and UsageError where there is no such spec.
    """
    path, implied = zoo.find(os.fspath(spec))
    source = read_spec(path)
    variant = variant or implied
    graph = source.elaborate(variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes)
    return Spec(source, graph, variant, _written(params or {}))


def loads(
    text: str,
    *,
    path: str = "spec.yaml",
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
) -> Spec:
    """As `load`, from a text; `path` is the name in messages, and `.json` at its end makes the text JSON."""
    source = read_spec(path, text.encode("utf-8", "surrogatepass"))
    graph = source.elaborate(variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes)
    return Spec(source, graph, variant, _written(params or {}))


def _written(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: getattr(value, "word", None) or str(value) for name, value in params.items()}


def calculate(layers: Sequence[Layer]) -> Calculation:
    """The size arithmetic of layers in turn, forwards or, where an output is wanted, solved for what is left out.

    Raises UsageError where too little or too much is given, and CnnspecError where the question has no answer.
    """
    from cnnspec.analysis.calculator import calculate

    return calculate(layers)


def sizes(
    spec: str | os.PathLike[str],
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
    layer: str | None = None,
    output: tuple[int, ...] | None = None,
    span: tuple[int, int] | None = None,
) -> Sizes:
    """The input sizes that a spec takes: the smallest, those that lose no border pixel, and what each of them gives.

    `layer` is whose size is meant by the output (by default the last feature map), `output` a wanted size of it, and
    `span` the smallest and largest input to list. A spec that is valid at some larger input only is taken too. Raises
    SpecError where it is wrong in other ways, and UsageError.
    """
    from cnnspec.analysis.sizes import sizes

    path, implied = zoo.find(os.fspath(spec))
    return sizes(
        read_spec(path),
        variant=variant or implied,
        params=params,
        input_shape=input_shape,
        max_nodes=max_nodes,
        layer=layer,
        output=output,
        span=span,
    )


def bundled_networks() -> Iterator[Entry]:
    """The bundled networks with their parameters, cost and receptive field, one after the other."""
    from cnnspec.analysis.catalogue import catalogue

    return catalogue()


def bundled_text(name: str) -> str:
    """The spec of a bundled network, as it is written. Raises UsageError where there is none of this name."""
    return zoo.bundled_path(name).read_text("utf-8")


def check(
    spec: str | os.PathLike[str],
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    max_nodes: int = MAX_NODES,
) -> Checked:
    """Every error of a spec, or else every warning about it; without `variant` and `params` those of its variants too.

    `select` and `ignore` are codes of warnings. Raises UsageError where there is no such spec, variant or code.
    """
    from cnnspec.analysis.check import check

    path, implied = zoo.find(os.fspath(spec))
    chosen = variant or implied
    return check(path, variant=chosen, params=params, select=select, ignore=ignore, max_nodes=max_nodes)


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft-07) of specs, for editors."""
    from cnnspec.spec.schema import json_schema

    return json_schema()


def init(path: str | os.PathLike[str], *, force: bool = False) -> list[Path]:
    """Write a starter spec, and the schema for editors beside it. Returns what was written.

    Raises UsageError where the spec is there already (unless `force`) or is not to be YAML.
    """
    from cnnspec.spec.starter import SCHEMA_FILE, STARTER

    spec = Path(path)
    if spec.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{spec} does not end in .yaml", hint=f"write `cnnspec init {spec.stem or 'net'}.yaml`")
    if spec.exists() and not force:
        raise UsageError(f"{spec} is there already", hint="`--force` writes over it")
    schema = spec.with_name(SCHEMA_FILE)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", spec.stem).lstrip("._-") or "network"
    write_atomic(schema, json.dumps(json_schema(), indent=1) + "\n")
    write_atomic(spec, STARTER.format(name=name))
    return [spec, schema]


def format_text(text: str, *, path: str = "spec.yaml", long: bool = False) -> str:
    """A spec in its canonical form, with its remarks; `long` writes every layer out. Raises SpecError."""
    from cnnspec.spec.format import format_text

    return format_text(text, path=path, long=long)


def diff(before: Spec | str | os.PathLike[str], after: Spec | str | os.PathLike[str]) -> Difference:
    """What changed from one network to another: layers, and totals side by side. Raises as `load`."""
    from cnnspec.analysis.diff import diff

    first, second = (spec if isinstance(spec, Spec) else load(spec) for spec in (before, after))
    return diff(first.graph, first.analyze(), second.graph, second.analyze())


def build(spec: Spec | Graph | str | os.PathLike[str]) -> nn.Module:
    """The network as a `torch.fx.GraphModule` with the spec's dotted names. Needs the extra `train`."""
    from cnnspec.torch_backend import build_module

    if isinstance(spec, Graph):
        return build_module(spec)
    return build_module(spec.graph if isinstance(spec, Spec) else load(spec).graph)


def train(
    spec: Spec | str | os.PathLike[str],
    *,
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
    runs: str | os.PathLike[str] = "runs",
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Train a network and write its run folder, `runs/name`. Needs the extra `train`.

    `options` are the fields of TrainConfig; they win over the file `config`, that over the spec's `train:`, and that
    over the defaults. Raises UsageError where an option, the data or the run's name do not fit, and CnnspecError where
    training fails.
    """
    found = spec if isinstance(spec, Spec) else load(spec)
    in_file = read_config(config)[1] if config is not None else {}
    resolved = resolve_config(
        (f"`train:` of {found.source.path}", found.source.document.header.train),
        (str(config), in_file),
        ("the options", options),
    )
    if (
        "WORLD_SIZE" in os.environ
    ):  # started by torchrun: all processes agree on the folder, and the first one checks it
        name = name or found.variant or found.name
        if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) and is_run(Path(runs) / name):
            return resume(Path(runs) / name, progress=progress)
        overwrite = overwrite or os.environ.get("RANK") != "0"
    folder = new_folder(Path(runs), name, found.variant or found.name, overwrite=overwrite)
    loop = _training("loop")
    job = loop.Job(found.source, found.graph, resolved, folder, found.variant, found.params, overwrite=overwrite)
    return loop.train(job, progress)  # type: ignore[no-any-return]


def resume(
    run: str | os.PathLike[str],
    *,
    device: str | None = None,
    checkpoint_every: float | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Continue a run where its newest good checkpoint was written. Needs the extra `train`.

    Raises UsageError where there is no such run, and CnnspecError where training fails.
    """
    found = open_run(run)
    machine = {"device": device, "checkpoint_every": checkpoint_every}
    config = resolve_config(("config.yaml", found.config.model_dump()), ("the options", machine))
    loop = _training("loop")
    job = loop.Job(found.source, found.graph, config, found.path, found.variant, found.params, resume=True)
    return loop.train(job, progress)  # type: ignore[no-any-return]


def evaluate(
    target: Run | str | os.PathLike[str],
    *,
    data: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
    device: str = "auto",
    sheet: str | os.PathLike[str] | None = None,
) -> Assessment:
    """Score a run's best weights, or a file that `export` wrote, on the images of a data set. Needs the extra `train`.

    `split` is `test` or `val`; an exported file wants `data`. `sheet` is where the worst mistakes are drawn, as a PNG.
    Raises UsageError where the target or the data do not exist or do not fit, and CnnspecError where they are damaged.
    """
    if split not in ("test", "val"):
        raise UsageError(f"there is no split `{split}`", hint="there are: test, val")
    assess = _training("assess")
    options = {"data_dir": data_dir, "split": split, "device": device, "sheet": Path(sheet) if sheet else None}
    if isinstance(target, Run):
        return assess.assess_run(target, data=data, **options)  # type: ignore[no-any-return]
    if is_run(target) or not Path(target).is_file():
        return assess.assess_run(open_run(target), data=data, **options)  # type: ignore[no-any-return]
    if data is None:
        raise UsageError(f"on which images is {os.fspath(target)} to be scored?", hint="`--data digits`, a folder, …")
    return assess.assess_model(target, data=data, **options)  # type: ignore[no-any-return]


def list_runs(
    folder: str | os.PathLike[str] = "runs", *, on_error: Callable[[CnnspecError], None] = lambda error: None
) -> list[Run]:
    """The runs in a folder, by name; one that cannot be read goes to `on_error` and is left out.

    Raises UsageError where there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"there is no folder {os.fspath(folder)}", hint="`cnnspec train` makes the first run")
    found = []
    for path in sorted(Path(folder).iterdir()):
        if is_run(path):
            try:
                found.append(open_run(path))
            except CnnspecError as error:
                on_error(error)
    return found


def _training(name: str) -> Any:
    """A module of the training package that needs torch. Raises MissingExtraError."""
    try:
        return importlib.import_module(f"cnnspec.training.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("cnnspec"):
            raise
        raise MissingExtraError(error.name, "train") from None


def export(
    network: Spec | Run | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> ExportResult:
    """Write a run or a spec as one ONNX file, `output` or `exports/NAME.onnx`, and prove it equal to the network.

    A spec takes its weights from a safetensors file, or gets random ones from `seed`. `options` are the fields of
    ExportOptions. Needs the extra `onnx`, and for the proof (all but `verify=False`) also `train`.
    Raises VerificationError where a check fails, and then leaves no file; UsageError where the network cannot be
    exported that way; CnnspecError where the weights do not belong to it.
    """
    subject = _subject(network, weights, seed)
    return export_network(subject, output, ExportOptions(**options), report)


def _subject(
    network: Spec | Run | str | os.PathLike[str], weights: str | os.PathLike[str] | None, seed: int
) -> Subject:
    """The network and its weights: a run's own, those of a file, or random ones."""
    if isinstance(network, str | os.PathLike) and is_run(network):
        network = open_run(network)
    if isinstance(network, Run):
        if weights is not None:
            raise UsageError("a run has weights of its own", hint="name its spec to give it others")
        return of_run(network)
    spec = network if isinstance(network, Spec) else load(network)
    return of_spec(spec.source, spec.graph, spec.variant, spec.params, weights, seed)


def verify(
    path: str | os.PathLike[str],
    against: Spec | Run | str | os.PathLike[str] | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> VerifyResult:
    """Check an ONNX file: its structure, its shapes and its numbers. Needs the extras `onnx` and `train`.

    It is compared with the network `against`, or with the spec that it carries; the weights are those of the run, of
    the file `weights`, or the ones in the ONNX file. Raises CnnspecError for what is no ONNX file.
    """
    from cnnspec.exporting.files import verify_file

    subject = None if against is None else _subject(against, weights, 0)
    return verify_file(path, subject, report)


def bench(
    network: Spec | Run | str | os.PathLike[str],
    *,
    batches: Sequence[int] = (1, 32, 256),
    threads: Sequence[int] = (),
    seconds: float = 1.0,
    device: str = "auto",
    torch: bool = True,
    report: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Time a network, or an ONNX file that cnnspec wrote, in onnxruntime and beside it in torch.

    `threads` is 1, 2, 4, … up to the cores unless given; each combination takes `seconds`. Needs the extra `onnx`.
    """
    from cnnspec.exporting.bench import bench_file, bench_subject

    options: dict[str, Any] = {
        "batches": batches,
        "threads": threads,
        "seconds": seconds,
        "device": device,
        "torch": torch,
        "report": report,
    }
    if isinstance(network, str | os.PathLike) and os.fspath(network).endswith(".onnx"):
        return bench_file(network, **options)
    return bench_subject(_subject(network, None, 0), **options)

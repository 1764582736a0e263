"""Tools around specs: checks, sizes, differences, the formatter, the schema and the bundled networks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec import zoo
from cnnspec.api.networks import PathLike, Spec, load
from cnnspec.errors import UsageError
from cnnspec.files import rewrite
from cnnspec.graph import MAX_NODES, Purpose
from cnnspec.importing.sources import is_source
from cnnspec.language import Source, read_source, read_spec
from cnnspec.ops import Shape
from cnnspec.ops.base import Count
from cnnspec.public import public

if TYPE_CHECKING:
    from cnnspec.analysis.calculator import Calculation
    from cnnspec.analysis.catalogue import Entry
    from cnnspec.analysis.check import Checked
    from cnnspec.analysis.diff import Difference
    from cnnspec.analysis.layer_sizes import Layer
    from cnnspec.analysis.sizes import Sizes
    from cnnspec.editor.fixes import Fixed

__all__ = [
    "bundled_networks",
    "bundled_remark",
    "bundled_text",
    "calculate",
    "check",
    "diff",
    "fix",
    "format_text",
    "init",
    "json_schema",
    "sizes",
    "spec_files",
]


@public(Layer="cnnspec.analysis.layer_sizes")
def calculate(layers: Sequence[Layer]) -> Calculation:
    """The size arithmetic of layers in turn, forwards or, where an output is wanted, solved for what is left out.

    Raises UsageError where too little or too much is given, and CnnspecError where the question has no answer.
    """
    from cnnspec.analysis.calculator import calculate

    return calculate(layers)


@public()
def sizes(
    spec: PathLike,
    *,
    variant: str | None = None,
    params: Mapping[str, object] | None = None,
    input_shape: Shape | None = None,
    max_nodes: Count = MAX_NODES,
    layer: str | None = None,
    output: tuple[int, ...] | None = None,
    span: tuple[int, int] | None = None,
    purpose: Purpose = "inference",
) -> Sizes:
    """The input sizes that a spec takes: the smallest, those that lose no border pixel, and what each of them gives.

    `layer` is whose size is meant by the output (by default the last feature map), `output` a wanted size of it, and
    `span` the smallest and largest input to list. `purpose` says whose sizes: those that inference takes, or those
    that training takes too, of a `layer` that only training has in any case. A spec that is valid at some larger input
    only is taken too. Raises
    SpecError where it is wrong in other ways, and UsageError.
    """
    from cnnspec.analysis.sizes import sizes

    if is_source(spec):
        source, implied, path = _imported(spec, input_shape), None, Path(os.fspath(spec))
    else:
        path, implied = zoo.find(os.fspath(spec))
        source = read_spec(path)
    with zoo.own_copy(os.fspath(spec), path):
        return sizes(
            source,
            variant=variant or implied,
            params=params,
            input_shape=input_shape,
            max_nodes=max_nodes,
            layer=layer,
            output=output,
            span=span,
            purpose=purpose,
        )


@public()
def bundled_networks() -> Iterator[Entry]:
    """The bundled networks with their parameters, cost and receptive field, one after the other."""
    from cnnspec.analysis.catalogue import catalogue

    return catalogue()


@public()
def bundled_text(name: str) -> str:
    """The spec of a bundled network, as it is written. Raises UsageError where there is none of this name.

    A variant has its family's file: a first line says what `bundled_remark` does.
    """
    text, remark = zoo.bundled_path(name).read_text("utf-8"), bundled_remark(name)
    return text if remark is None else f"# {remark}\n{text}"


@public()
def bundled_remark(name: str) -> str | None:
    """Where the file of a bundled network is its family's: that it is, and how to get the variant. Raises as above."""
    family, variant = zoo.bundled_path(name).stem, name.removesuffix(".yaml")
    return None if variant == family else f"By itself this is {family}: `--variant {variant}` makes it {variant}."


@public()
def check(
    spec: PathLike | Source,
    *,
    text: str | None = None,
    variant: str | None = None,
    params: Mapping[str, object] | None = None,
    input_shape: Shape | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    max_nodes: Count = MAX_NODES,
) -> Checked:
    """Every error of a spec, or else every warning about it; without `variant` and `params` those of its variants too.

    `spec` is a path, a bundled name, `-` for stdin, or a spec that has been read. With `text` that is what is checked,
    and `spec` its name in messages: an editor's text need not be on disk. `input_shape` takes the place of
    its own. `select` and `ignore` are codes of warnings. Raises UsageError where there is no such spec, variant or
    code.
    """
    from cnnspec.analysis.check import check
    from cnnspec.training.config import spec_faults

    implied: str | None = None
    where: AbstractContextManager[None] = nullcontext()
    if isinstance(spec, Source):
        source = spec
    elif text is not None:
        source = read_source(spec, text.encode("utf-8", "surrogatepass"))
    elif is_source(spec):
        source = _imported(spec, input_shape)
    else:
        path, implied = zoo.find(os.fspath(spec))
        source, where = read_source(path), zoo.own_copy(os.fspath(spec), path)
    chosen = variant or implied
    document = source.document
    faults = spec_faults(source) if document.header.train or document.search else []
    with where:
        return check(
            source,
            faults,
            variant=chosen,
            params=params,
            input_shape=input_shape,
            select=select,
            ignore=ignore,
            max_nodes=max_nodes,
        )


def _imported(spec: PathLike, input_shape: Shape | None = None) -> Source:
    """The text that a network of another maker becomes."""
    from cnnspec.api.imports import read_text, shown_as

    return read_spec(shown_as(os.fspath(spec)), read_text(spec, input_shape).encode())


@public()
def fix(text: str, *, name: PathLike = "spec.yaml", select: Iterable[str] = (), ignore: Iterable[str] = ()) -> Fixed:
    """The text of a spec with all made that is known to mend its errors and warnings, and what was done.

    `name` is its name in messages, `select` and `ignore` are codes of warnings. Raises UsageError for an unknown code.
    """
    from cnnspec.editor.fixes import mend

    return mend(text, lambda each: check(name, text=each, select=select, ignore=ignore).diagnostics)


@public()
def spec_files(folder: PathLike) -> tuple[list[Path], list[Path]]:
    """The specs below a folder, by name, and the files in YAML or JSON that are none: they lack the key `cnnspec:`.

    Hidden files and folders are passed over. Raises UsageError where a folder cannot be read.
    """
    from cnnspec.language.folder import spec_files

    return spec_files(folder)


@public()
def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft-07) of specs, with the options of training, for editors."""
    from cnnspec.language.schema import json_schema
    from cnnspec.training.config import options_schema

    schema = json_schema()
    return {**schema, "properties": {**schema["properties"], "train": options_schema()}}


@public()
def init(path: PathLike, *, force: bool = False) -> list[Path]:
    """Write a starter spec, and the schema for editors beside it. Returns the paths of both.

    Raises UsageError where the spec, or another file of the schema's name, is there already (unless `force`), and
    where the spec is not to be YAML or has no folder to be in.
    """
    import json

    from cnnspec.language.starter import SCHEMA_FILE, STARTER

    spec = Path(path)
    if spec.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{spec} does not end in .yaml", hint=f"write `cnnspec init {spec.stem or 'net'}.yaml`")
    if spec.exists() and not force:
        raise UsageError(f"{spec} is there already", hint="`--force` writes over it")
    schema = spec.with_name(SCHEMA_FILE)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", spec.stem).lstrip("._-") or "network"
    if not spec.parent.is_dir():
        raise UsageError(f"there is no folder {spec.parent}")
    wanted = (json.dumps(json_schema(), indent=1) + "\n").encode()
    if not _holds(schema, wanted):
        if os.path.lexists(schema) and not force:
            hint = f"`cnnspec schema > {schema}` writes the schema of this version; `--force` writes over both files"
            raise UsageError(f"{schema} is there already, and holds something else", hint=hint)
        rewrite(schema, wanted)
    rewrite(spec, STARTER.format(name=name).encode())
    return [spec, schema]


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file is there that holds just these bytes."""
    try:
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


@public()
def format_text(text: str, *, path: str = "spec.yaml", long: bool = False) -> str:
    """A spec in its canonical form, with its remarks; `long` writes every layer out. Raises SpecError."""
    from cnnspec.language.format import format_text

    return format_text(text, path=path, long=long)


@public()
def diff(before: Spec | PathLike, after: Spec | PathLike, *, purpose: Purpose = "inference") -> Difference:
    """What changed from one network to another: layers, and totals side by side. Raises as `load`.

    Networks for inference are compared without what only training has; whether that differs is said.
    """
    from cnnspec.analysis.diff import diff

    first, second = (spec if isinstance(spec, Spec) else load(spec) for spec in (before, after))
    reports = [spec.analyze(purpose=purpose) for spec in (first, second)]
    difference = diff(first.graph, reports[0], second.graph, reports[1])
    if purpose == "train" or not any(report.differs for report in reports):
        return difference
    if any(report.refused for report in reports):
        return replace(difference, training_differs=bool(reports[0].refused) != bool(reports[1].refused))
    whole = diff(first.graph, first.analyze(purpose="train"), second.graph, second.analyze(purpose="train"))
    rows = [row for change in whole.changes for row in (change.before, change.after) if row is not None]
    moved = whole.outputs_moved and not difference.outputs_moved
    return replace(difference, training_differs=moved or any(row.aux or row.dead for row in rows))

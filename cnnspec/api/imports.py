"""Networks of other makers: importing them as specs, proved equal, and reading them where a spec is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.api.specs import PathLike, Spec, WeightedSpec
from cnnspec.checks import Check
from cnnspec.errors import UsageError, needs_extra
from cnnspec.graph import Purpose
from cnnspec.importing.own import OwnExport, own_export
from cnnspec.importing.pipeline import GapsError, Imported, import_models, import_source
from cnnspec.importing.sources import parse_source
from cnnspec.language import read_spec
from cnnspec.ops import Shape
from cnnspec.public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "GapsError",
    "ImportResult",
    "ImportedSpec",
    "from_torch",
    "import_network",
    "load_source",
    "read_named",
    "read_text",
    "shown_as",
]


@dataclass(frozen=True)
class ImportResult:
    """What was imported: the text, and what was proved of it. `paths` are the files that were written."""

    source: str
    text: str = field(repr=False)
    layers: int
    params: int
    macs: int
    variants: tuple[str, ...]
    notes: tuple[str, ...]
    checks: tuple[Check, ...]
    left_over: tuple[str, ...]
    keys: Mapping[str, str] = field(repr=False)  # of the spec's tensors that are called otherwise in the source
    paths: tuple[Path, ...] = ()

    @property
    def lines(self) -> int:
        """How many lines the text has."""
        return self.text.count("\n")

    def to_dict(self) -> dict[str, object]:
        """The result as plain data."""
        return {
            "cnnspec": 1,
            "source": self.source,
            "paths": [str(path) for path in self.paths],
            "lines": self.lines,
            "layers": self.layers,
            "params": self.params,
            "macs": self.macs,
            "variants": list(self.variants),
            "notes": list(self.notes),
            "checks": [check.to_dict() for check in self.checks],
            "left_over": list(self.left_over),
            "keys": dict(self.keys),
            "text": self.text,
        }


@public()
def import_network(
    source: str,
    output: PathLike | None = None,
    *,
    weights: PathLike | None = None,
    input_shape: Shape | None = None,
    force: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> ImportResult:
    """Make a spec of a network of another maker, prove it equal, and write it to `output`.

    `source` is `net.py:factory(width=64)`, `timm:NAME`, `torchvision:NAME` or `pt2:FILE`, which run code of others, or
    a file that runs nothing. Several models of a library, with commas between, become one spec with variants. `weights`
    is where the source's own are written, as safetensors, by the spec's names. `input_shape`, without the batch axis,
    is what it is read for; by default what the source says. A spec that is there is written over with `force` only.
    Raises CnnspecError with everything that the language cannot say (`GapsError`) and for what cannot be read,
    VerificationError where the spec is not what the source computes, and then writes nothing, and UsageError.
    """
    from cnnspec.importing.write import check_targets, write

    name = parse_source(source)
    if name is None:
        hint = _PICKLED if source.lower().endswith((".pt", ".pth", ".ckpt", ".safetensors")) else SOURCES
        raise UsageError(f"`{source}` is no source that can be imported", hint=hint)
    if weights is not None and len(name.named) > 1:
        raise UsageError("weights are of one network, and several are imported", hint="import one of them by itself")
    check_targets(output, weights, force=force)
    if name.kind == "file" and (own := own_export(name.stands_at)) is not None:
        return _carried(own, output, weights)
    imported = import_source(name, input_shape, report)
    report("comparing with the source")
    imported = imported.proved()
    write(imported, output, weights)
    return _result(imported, tuple(Path(path) for path in (output, weights) if path is not None))


_PICKLED = (
    "such a file has weights, and not what is done with them: `net.py:factory` names the code that makes the network"
)
SOURCES = "a source is net.py:factory, timm:NAME, torchvision:NAME, pt2:FILE or a file: docs/importing.md has all"


def _result(imported: Imported, paths: tuple[Path, ...]) -> ImportResult:
    first = imported.members[0]
    graph = imported.graph(first).network("inference")
    keys = {ours: key for ours, key in first.source_keys.items() if ours != key}
    return ImportResult(
        imported.source,
        imported.text,
        len(graph),
        sum(node.params for node in graph),
        graph.macs,
        tuple(member.variant for member in imported.members if member.variant),
        imported.notes,
        imported.checks,
        first.lifted.left_over,
        keys,
        paths,
    )


def _carried(own: OwnExport, output: PathLike | None, weights: PathLike | None) -> ImportResult:
    """The spec that an exported file carries, which its seal proves."""
    from cnnspec.importing.write import write_files

    said, network = own.said, own.metadata.network()
    write_files(said.text, output, own.tensors if weights is not None else None, weights)
    graph = network.graph.network("inference")
    return ImportResult(
        str(own.path),
        said.text,
        len(graph),
        sum(node.params for node in graph),
        graph.macs,
        (),
        (said.note,),
        (Check("seal", True, "the file is as it was written"),),
        (),
        {},
        tuple(Path(path) for path in (output, weights) if path is not None),
    )


class CarriedSpec(WeightedSpec):
    """The spec that an exported file carries."""

    own: OwnExport

    def weights(self) -> dict[str, NDArray[Any]]:
        """The weights in the file. Raises CnnspecError where they are rounded to bytes."""
        return self.own.tensors()


class ImportedSpec(WeightedSpec):
    """A spec that was made of a network of another maker, with that network's weights.

    It is a Spec with all its verbs. `build` gives the network with the weights, which is evaluated as the source is.
    """

    imported: Imported

    @classmethod
    def of(cls, imported: Imported, *, variant: str | None = None, **options: Any) -> ImportedSpec:
        """The spec of what was imported. Raises as `Spec.elaborate`."""
        source = read_spec(shown_as(imported.source), imported.text.encode())
        spec = cls.elaborate(source, variant=variant, **options)
        object.__setattr__(spec, "imported", imported)
        object.__setattr__(spec, "origin", f"those of {imported.source}")
        return spec

    @property
    def text(self) -> str:
        """The text of the spec."""
        return self.source.text

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be said of how it was made."""
        return self.imported.notes

    @property
    def checks(self) -> tuple[Check, ...]:
        """What was proved."""
        return self.imported.checks

    def weights(self) -> dict[str, NDArray[Any]]:
        """The source's weights by the spec's `state_dict` names."""
        member = next(each for each in self.imported.members if each.variant == self.variant)
        return member.tensors()

    def save(self, output: PathLike, *, weights: PathLike | None = None, force: bool = False) -> None:
        """Write the text, and the weights as safetensors; over a spec that is there with `force` only.

        Raises UsageError and CnnspecError.
        """
        from cnnspec.importing.write import check_targets, write

        check_targets(output, weights, force=force)
        write(self.imported, output, weights)


def shown_as(source: str) -> str:
    """What the text of a source is called in messages; by its name it is YAML."""
    return f"{source} as a spec" if source.lower().endswith(".json") else source


def load_source(
    spec: PathLike,
    variant: str | None,
    params: Mapping[str, object] | None,
    input_shape: Shape | None,
    max_nodes: int,
    purpose: Purpose,
) -> Spec:
    """The spec of a SOURCE, not proved, or the one that an exported file carries. Raises as `import_network`."""
    name = parse_source(os.fspath(spec))
    if name is not None and name.kind == "file" and (own := own_export(name.stands_at)) is not None:
        carried = own.metadata.network()
        spec_of = CarriedSpec.elaborate(
            carried.source,
            variant=variant or carried.variant,
            params={**(carried.params if variant is None else {}), **(params or {})},
            input_shape=input_shape or own.metadata.input_shape,
            max_nodes=max_nodes,
            purpose=purpose,
        )
        object.__setattr__(spec_of, "own", own)
        object.__setattr__(spec_of, "origin", f"those in {own.path}")
        return spec_of
    return ImportedSpec.of(
        read_named(spec, input_shape), variant=variant, params=params, max_nodes=max_nodes, purpose=purpose
    )


def read_named(spec: PathLike, input_shape: Shape | None = None) -> Imported:
    """What a SOURCE is as a spec, not proved. Raises as `import_network`."""
    name = parse_source(os.fspath(spec))
    assert name is not None
    return import_source(name, input_shape, quick=True)


def read_text(spec: PathLike, input_shape: Shape | None = None) -> str:
    """The text that a SOURCE becomes, or that an exported file carries. Raises as `import_network`."""
    name = parse_source(os.fspath(spec))
    if name is not None and name.kind == "file" and (own := own_export(name.stands_at)) is not None:
        return own.said.text
    return read_named(spec, input_shape).text


@needs_extra("train")
@public()
def from_torch(module: object, example: object, *, name: str | None = None, prove: bool = True) -> ImportedSpec:
    """A live module of torch as a spec, with its weights, proved equal.

    `example` is a tensor as the module reads it, with a batch axis in front, or a shape without one. The module stays
    as it is. Raises GapsError (a CnnspecError) with everything that the language cannot say, VerificationError where
    the spec is not what the module computes, and UsageError.
    """
    import torch

    from cnnspec.torch_backend.capture import capture

    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"`module` is to be a torch.nn.Module, and not a {type(module).__name__}")
    if isinstance(example, (tuple, list)) and any(isinstance(each, torch.Tensor) for each in example):
        if len(example) != 1:
            hint = "a module around it may fill in the others, or give the part that reads one"
            raise UsageError(f"`example` is {len(example)} inputs, and a spec has one", hint=hint)
        (example,) = example
    shape = tuple(example.shape[1:]) if isinstance(example, torch.Tensor) else example
    if not isinstance(shape, (tuple, list)) or not 1 <= len(shape) <= 4:
        raise UsageError("`example` is to be a tensor with a batch axis, or a shape without one: (3, 224, 224)")
    if not all(type(size) is int and 1 <= size < 2**31 for size in shape):
        raise UsageError(f"{tuple(shape)!r:.60} is no input shape", hint="one to four whole numbers: (3, 224, 224)")
    called = name or type(module).__name__.lower()
    imported = import_models(called, [capture(module, tuple(shape), called)])
    return ImportedSpec.of(imported.proved() if prove else imported)

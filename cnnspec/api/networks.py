"""Networks from specs: reading, analysing and building them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec import zoo
from cnnspec.api.specs import PathLike, Spec
from cnnspec.errors import CnnspecError, needs_extra
from cnnspec.graph import MAX_NODES, Graph, Purpose
from cnnspec.importing.sources import is_source
from cnnspec.language import Network, read_spec
from cnnspec.ops import Shape
from cnnspec.ops.base import Count
from cnnspec.public import public

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PathLike", "Spec", "build", "load", "loads"]


@public()
def load(
    spec: PathLike,
    *,
    variant: str | None = None,
    params: Mapping[str, object] | None = None,
    input_shape: Shape | None = None,
    max_nodes: Count = MAX_NODES,
    purpose: Purpose = "inference",
) -> Spec:
    """Read a spec by path or bundled name, or that of a run by its folder or name, and work it out.

    A SOURCE as `import_network` takes it becomes a spec first, for `input_shape` where that is given; `timm:NAME` and
    the like run code of others. `variant` and `params` set its parameters, `input_shape` (without the batch axis)
    overrides its input. Where `purpose` is "train", layers that only training has must take that input too.
    Raises SpecError with everything that is wrong with it, and UsageError where there is no such spec.
    """
    if is_source(spec):
        from cnnspec.api.imports import load_source

        return load_source(spec, variant, params, input_shape, max_nodes, purpose)
    run = zoo.find_run(spec, or_spec=True)
    if run is None:
        path, implied = zoo.find(os.fspath(spec))
        source, shape = read_spec(path), input_shape
    else:
        from cnnspec.training.run_folder import open_run
        from cnnspec.training.run_weights import manifest_fault

        trained = open_run(run, figures=False).network
        if (fault := manifest_fault(run)) is not None:
            raise CnnspecError(fault, hint=f"`cnnspec train --resume {run}` makes it anew")
        source, implied, shape = trained.source, trained.variant, input_shape or trained.input_override
        params = {**(trained.params if variant is None else {}), **(params or {})}
    with zoo.own_copy(os.fspath(spec), Path(source.path)):
        return Spec.elaborate(
            source,
            variant=variant or implied,
            params=params,
            input_shape=shape,
            max_nodes=max_nodes,
            purpose=purpose,
        )


@public()
def loads(
    text: str,
    *,
    path: str = "spec.yaml",
    variant: str | None = None,
    params: Mapping[str, object] | None = None,
    input_shape: Shape | None = None,
    max_nodes: Count = MAX_NODES,
    purpose: Purpose = "inference",
) -> Spec:
    """As `load`, from a text; `path` is the name in messages, and `.json` at its end makes the text JSON."""
    source = read_spec(path, text.encode("utf-8", "surrogatepass"))
    return Spec.elaborate(
        source, variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
    )


@needs_extra("train")
@public()
def build(spec: Network | Graph | PathLike) -> nn.Module:
    """The network as a `torch.fx.GraphModule` with the spec's dotted names. Needs the extra `train`."""
    from cnnspec.torch_backend import build_module

    graph = spec if isinstance(spec, Graph) else (spec if isinstance(spec, Network) else load(spec)).graph
    return build_module(graph.network("train"))

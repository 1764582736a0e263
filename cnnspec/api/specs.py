"""A spec that has been read and worked out, with the verbs."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from cnnspec.errors import needs_extra
from cnnspec.graph import Purpose
from cnnspec.language import Network
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import Count
from cnnspec.public import public

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from cnnspec.analysis import Report
    from cnnspec.analysis.explain import Explanation
    from cnnspec.analysis.field_state import TensorField
    from cnnspec.analysis.lint import Finding
    from cnnspec.analysis.memory import Optimizer, Precision
    from cnnspec.analysis.unit_field import UnitField
    from cnnspec.api.compared import Code

__all__ = ["PathLike", "Spec", "WeightedSpec"]

PathLike: TypeAlias = str | os.PathLike[str]
Bytes: TypeAlias = Annotated[int, Bounds(ge=0, le=2**63 - 1)]

_FRAME: Final = 1_000_000  # letters of a page that a notebook is given
_MEMORY: Final = {"Optimizer": "cnnspec.analysis.memory", "Precision": "cnnspec.analysis.memory"}


class Spec(Network):
    """A spec that has been read and worked out: a valid network, with the verbs.

    `graph` is all that is declared; `graph.network("inference")` is what inference runs, and what is exported.
    """

    @public(**_MEMORY)
    def analyze(
        self,
        *,
        purpose: Purpose = "inference",
        batch: Count = 1,
        optimizer: Optimizer = "sgd-momentum",
        precision: Precision = "fp32",
        frozen: Sequence[str] | None = None,
    ) -> Report:
        """Sizes, receptive fields, parameters, cost and memory of every layer, and the totals.

        `purpose` says which network is meant: for "inference" what the outputs need, which is what is exported; for
        "train" all that is declared, with `aux_outputs`. `batch`, `optimizer` (sgd, sgd-momentum, adam, adamw) and
        `precision` (fp32, bf16, fp16) say what memory is for. What is below the names `frozen` is not trainable, by
        default what `freeze` and the like in the spec's `train:` keep for good. Raises SpecError where layers that only
        training has do not take the input that was given.
        """
        from cnnspec.analysis import analyze

        names = self.frozen if frozen is None else tuple(frozen)
        return analyze(self.graph, purpose=purpose, batch=batch, optimizer=optimizer, precision=precision, frozen=names)

    @property
    def frozen(self) -> tuple[str, ...]:
        """What the spec's `train:` freezes in every epoch; what else stands there is for training to refuse."""
        from cnnspec.analysis.freezing import Freezing

        given = self.source.document.header.train
        names, until, thaw = given.get("freeze"), given.get("freeze_until"), given.get("unfreeze")
        freezing = Freezing(
            tuple(name for name in names if isinstance(name, str)) if isinstance(names, (list, tuple)) else (),
            until if isinstance(until, str) else None,
            given.get("head_only") is True,
            tuple((name, 0) for name in thaw if isinstance(name, str)) if isinstance(thaw, Mapping) else (),
        )
        return tuple(sorted(freezing.at(self.graph)))

    @public()
    def field(self, layer: str, unit: tuple[int, ...] | None = None, *, channel: int | None = None) -> UnitField:
        """The input pixels that one unit of a layer reads; without `unit`, the one in the middle.

        `channel` is one channel of the layer; without it, what any channel reads there. Raises UsageError.
        """
        from cnnspec.analysis.unit_field import unit_field

        return unit_field(self.graph, layer, unit, channel=channel, states=self._fields)

    @cached_property
    def _fields(self) -> dict[str, TensorField]:
        """The fields of all layers, for all units that are asked about."""
        from cnnspec.analysis.receptive_field import fields

        return fields(self.graph)

    @public(**_MEMORY)
    def largest_batch(self, memory: Bytes, *, optimizer: Optimizer | None = None, precision: Precision = "fp32") -> int:
        """The largest batch that fits into `memory` bytes, a tenth left free; for inference without an optimizer.

        Raises SpecError where layers that only training has do not take the input that was given.
        """
        from cnnspec.analysis import largest_batch

        graph = self.graph.network("inference" if optimizer is None else "train")
        return largest_batch(graph, memory, optimizer=optimizer, precision=precision)

    @public()
    def explain(self, layer: str, *, purpose: Purpose = "inference") -> Explanation:
        """The arithmetic behind a layer's figures, or the sums of a block in the network of this purpose.

        What only training has is explained too. Raises UsageError where there is no such layer or block.
        """
        from cnnspec.analysis.explain import explain

        report = self.analyze(purpose=purpose)
        if not self.graph.refused and not any(f"{row.name}.".startswith(f"{layer}.") for row in report.layers):
            report = self.analyze(purpose="train")
        return explain(self.graph, report, layer)

    @public(Report="cnnspec.analysis")
    def lint(
        self, *, select: Iterable[str] = (), ignore: Iterable[str] = (), report: Report | None = None
    ) -> list[Finding]:
        """The warnings about the network, without those that `lint: {ignore: [...]}` of the spec leaves out.

        `select` names the only codes to look for; it finds those too that the spec ignores. All that is declared is
        looked at, whatever it is for. `report` is an analysis, where there is one already. Raises UsageError for a
        code that there is not.
        """
        from cnnspec.analysis.lint import lint

        silenced = self.source.document.header.lint.ignore
        return lint(self.graph, report or self.analyze(), select=select, ignore=ignore, silenced=silenced)

    def _repr_html_(self) -> str:
        """The page in a frame, for notebooks; the layer table where that would be more than 1 MB."""
        from html import escape

        from cnnspec.drawing.page import to_page

        frame = escape(to_page(self))
        if len(frame) > _FRAME:
            return self.analyze()._repr_html_()
        size = "width:100%;height:560px;border:1px solid #8884;border-radius:6px"
        return f'<iframe sandbox="allow-scripts" title="{escape(self.name)}" style="{size}" srcdoc="{frame}"></iframe>'

    @needs_extra("train")
    def build(self) -> nn.Module:
        """The network as a `torch.fx.GraphModule`, freshly initialised. Needs the extra `train`."""
        from cnnspec.torch_backend import build_module

        return build_module(self.graph.network("train"))

    @public()
    def code(self, *, verify: bool = True) -> Code:
        """The network as stand-alone source for PyTorch, compared with `build` where torch is installed.

        Raises VerificationError where they differ.
        """
        from cnnspec.api.compared import compared_code

        return compared_code(self, verify)


class WeightedSpec(Spec, ABC):
    """A spec whose weights are known: those of what it was made of."""

    origin: str

    @abstractmethod
    def weights(self) -> dict[str, NDArray[Any]]:
        """The weights by the spec's `state_dict` names."""

    @needs_extra("train")
    def build(self) -> nn.Module:
        """The network as a `torch.fx.GraphModule` with these weights, in training mode."""
        import torch

        from cnnspec.torch_backend import build_module

        module = build_module(self.graph.network("train"))
        state = {name: torch.from_numpy(array) for name, array in self.weights().items()}
        module.load_state_dict(state, strict=False)  # counters of batch norm may be missing
        return module

"""The bundled networks with their figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cnnspec import zoo
from cnnspec.analysis import analyze
from cnnspec.analysis.papers import DIFFERENCES
from cnnspec.language import read_spec
from cnnspec.ops import Shape

__all__ = ["Entry", "catalogue"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundled network, as inference runs it.

    `receptive_field` is the one of its last feature map, before a global pool or dense layer.
    """

    name: str
    file: str
    variant: str | None
    reference: str | None
    input: Shape
    params: int
    macs: int
    train_params: int  # with auxiliary heads
    train_macs: int
    receptive_field: tuple[int, ...]

    @property
    def differs(self) -> str | None:
        """Where it is not its paper's network, or has other figures; None where no difference is known."""
        return DIFFERENCES.get(self.name)

    def to_dict(self) -> dict[str, Any]:
        """The entry as `--format json` prints it."""
        return {
            "name": self.name,
            "file": self.file,
            "variant": self.variant,
            "reference": self.reference,
            "input": list(self.input),
            "params": self.params,
            "macs": self.macs,
            "train": {"params": self.train_params, "macs": self.train_macs},
            "receptive_field": list(self.receptive_field),
            "differs": self.differs,
        }


def catalogue() -> Iterator[Entry]:
    """Every bundled name, file by file."""
    for name, (path, variant) in sorted(zoo.names().items(), key=lambda item: item[1][0]):
        source = read_spec(path)
        report = analyze(source.elaborate(variant=variant))
        reference = source.document.header.reference
        totals, train = report.inference, report.train or report.inference
        figures = totals.params, totals.macs, train.params, train.macs
        yield Entry(name, path.stem, variant, reference, report.input, *figures, totals.receptive_field)

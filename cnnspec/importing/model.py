"""A network of somebody else's that has been read, and can be run: what every kind of source comes to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.foreign import Network

    Array: TypeAlias = NDArray[Any]
    Batch: TypeAlias = NDArray[np.float32]

__all__ = ["Model"]


class Model(Protocol):
    """A source that has been read. What it says of itself is torch-free; to run it may need its own library.

    It is run with tensors that are given, so that other ones than its own can be tried.
    """

    @property
    def batch(self) -> int:
        """How many samples it takes at once."""

    @property
    def network(self) -> Network:
        """What it computes."""

    @property
    def cannot_run(self) -> str | None:
        """Why it cannot be run here, so that nothing is compared with it; None where it can."""

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one sample, counted on the source by other means than ours; None: not known."""

    def tensors(self) -> Mapping[str, Array]:
        """All that it keeps, by its own keys."""

    def outputs(self, tensors: Mapping[str, Array], batch: Batch) -> Sequence[Array]:
        """What it gives at inference."""

    def values(
        self, tensors: Mapping[str, Array], batch: Batch, wanted: Collection[str]
    ) -> Iterator[tuple[str, Array]]:
        """What each of the `wanted` calls of its network gives at inference, in running order."""

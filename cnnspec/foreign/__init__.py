"""Networks of other programs: as they were read, and lifted to a graph."""

from cnnspec.foreign.network import Array, Call, ForeignNetwork, Reference

__all__ = ["Array", "Call", "ForeignNetwork", "Reference"]

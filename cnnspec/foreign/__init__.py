"""Networks that were written elsewhere: what every source is read to, and how that becomes a graph."""

from __future__ import annotations

from cnnspec.foreign.lift import Gap, Lifted, lift
from cnnspec.foreign.network import Call, Filled, Network, Reference, Stored

__all__ = ["Call", "Filled", "Gap", "Lifted", "Network", "Reference", "Stored", "lift"]

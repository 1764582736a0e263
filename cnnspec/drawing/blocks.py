"""Which groups of a network are calls of which blocks."""

from __future__ import annotations

from cnnspec.errors import CnnspecError
from cnnspec.language import Network

__all__ = ["block_names"]


def block_names(network: Network) -> dict[str, str]:
    """The name of the block by the name of each group that is a call of one.

    What a block has inside was called in a longer chain of blocks than the call itself.
    """
    try:
        outcome = network.source.outcome(
            variant=network.variant, params=network.params, input_shape=network.input_override
        )
    except CnnspecError:  # worked out with other limits
        return {}
    chains = {use.name: use.frame.chain for use in outcome.uses}
    names: dict[str, str] = {}
    for name, chain in chains.items():
        group = name.rpartition(".")[0]
        around = chains.get(group)
        if around is not None and len(around) < len(chain):
            names[group] = chain[len(around)]
    return names

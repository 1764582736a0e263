"""How much it may take to work out receptive fields: in what is done and not in seconds, so that all machines agree."""

from __future__ import annotations

from typing import Final

__all__ = ["TooIrregular", "Work"]

MOST_UNIONS: Final = 2**21  # of what units read, to know what those of later layers read: some seconds
HEAVY: Final = 2**16  # pixels of a mask that are moved while the rest of a union is made


class TooIrregular(ValueError):
    """What units read repeats so late that it is not worked out. States the fact; the walk adds the place."""


class Work:
    """The work that is left: for one network, or for several together."""

    def __init__(self, most: int = MOST_UNIONS) -> None:
        self.left = most

    @property
    def over(self) -> bool:
        """Whether it was more than there may be."""
        return self.left < 0

    def spend(self, unions: int, span: int = 0) -> None:
        """Note work that is about to be done: so many unions of pixels that span so many, which may be kept as bits.

        Raises TooIrregular where it is more than is left.
        """
        self.left -= unions * (1 + span // HEAVY)
        if self.over:
            raise TooIrregular("its units, with those before them, read very many that read differently")

"""What a process can have on this machine."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["MAX_THREADS", "machine_memory"]

MAX_THREADS: Final = 1024  # or processes; more than any machine has use for, and some thousands may not start


def machine_memory() -> int:
    """The bytes of memory that this process may have, whoever else uses them at the moment."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        import resource
    except (ValueError, OSError, AttributeError, ImportError):  # on Windows
        return 2**40
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return memory if limit == resource.RLIM_INFINITY else min(memory, limit)

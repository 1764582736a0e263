"""What is said of a cluster that is not there. One that runs is a matter of `benchmarks/search.py kills --ray`."""

from __future__ import annotations

import socket

import pytest

from cnnspec.errors import CnnspecError

pytest.importorskip("ray", reason="Ray is not installed")


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    from cnnspec.search.ray_crew import cluster

    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(CnnspecError, match=f"no Ray cluster answers at {address}: Connection refused"),
            cluster(address),
        ):
            pass

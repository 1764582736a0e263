"""Batches made ready by a thread come in their order, with their errors, and stop when nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnspec.data.ahead import copied_ahead, made_ahead


def test_values_come_in_their_order_from_another_thread() -> None:
    threads = set[int]()

    def make() -> Iterator[int]:
        for value in range(50):
            threads.add(threading.get_ident())
            yield value

    assert list(made_ahead(make)) == list(range(50))
    assert threads
    assert threading.get_ident() not in threads


def test_an_error_comes_in_its_turn() -> None:
    def make() -> Iterator[int]:
        yield from range(3)
        raise ValueError("the fourth")

    values = made_ahead(make)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(values)


def test_few_are_made_ahead_and_none_when_nobody_asks() -> None:
    made, before = [0], threading.active_count()

    def make() -> Iterator[int]:
        while True:
            made[0] += 1
            yield made[0]

    values = made_ahead(make)
    assert [next(values) for _ in range(3)] == [1, 2, 3]
    values.close()  # type: ignore[attr-defined]
    assert made[0] <= 3 + 4
    assert threading.active_count() == before


def test_a_copy_waits_for_its_event_and_its_memory_for_the_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's part, with streams and copies that only note what is asked of them."""
    done: list[str] = []

    class Copied:
        def __init__(self, number: int) -> None:
            self.number = number

        def is_pinned(self) -> bool:
            return self.number == 1

        def pin_memory(self) -> Copied:
            done.append(f"pin {self.number}")
            return self

        def to(self, device: Any, non_blocking: bool) -> Copied:
            assert non_blocking
            done.append(f"copy {self.number} on {current[-1]}")
            return self

        def record_stream(self, stream: Any) -> None:
            done.append(f"hold {self.number}")

    current = ["learning"]

    @contextmanager
    def entered(stream: Any) -> Iterator[None]:
        current.append("copying")
        yield
        current.pop()

    copying = SimpleNamespace(record_event=lambda: "event")
    learning = SimpleNamespace(wait_event=lambda event: done.append(f"wait for {event}"))
    for name, stand_in in {
        "Stream": lambda device: copying, "device": lambda device: entered(None), "stream": entered,
        "current_stream": lambda device: learning,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    given: list[Any] = [(Copied(0), Copied(1)), (Copied(2), Copied(1))]
    assert list(copied_ahead(given, torch.device("cuda", 0))) == given
    for number in range(3):
        place = done.index(f"copy {number} on copying")
        assert place < done.index(f"hold {number}")
    assert done.count("wait for event") == 2
    assert {"pin 0", "pin 2"} <= {*done}
    assert "pin 1" not in done


def test_on_the_cpu_no_thread_is_wanted() -> None:
    before = threading.active_count()
    batches = copied_ahead([(torch.ones(2), torch.zeros(2))], torch.device("cpu"))
    images, _ = next(batches)
    assert isinstance(images, Tensor)
    assert threading.active_count() == before

"""The count goes to its stream alone: what is printed meanwhile stays where it belongs."""

from __future__ import annotations

import io

import pytest

from cnnspec.cli.render.counting import counted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_count_and_stdout_only_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Terminal()
    for number in counted(range(200), "images", stream):
        print(number)
    assert capsys.readouterr().out.split() == [str(number) for number in range(200)]
    assert "images" in stream.getvalue()


def test_without_a_terminal_nothing_is_shown() -> None:
    stream = io.StringIO()
    assert list(counted("abc", "images", stream)) == ["a", "b", "c"]
    assert stream.getvalue() == ""

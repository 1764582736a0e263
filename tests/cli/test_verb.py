"""A verb takes from its arguments what typer takes, and refuses what typer refuses."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperCommand

from cnnspec.cli.verb import VerbCommand


def outcome(cls: type[TyperCommand], arguments: list[str]) -> Any:
    """What a verb is called with, or how it is refused."""
    seen: dict[str, Any] = {}
    app = typer.Typer(add_completion=False)

    @app.command(cls=cls)
    def verb(
        spec: Annotated[str, typer.Argument()],
        form: Annotated[str, typer.Option("--format")] = "table",
        explain: Annotated[list[str] | None, typer.Option("--explain")] = None,
        depth: Annotated[int | None, typer.Option("--depth", min=1)] = None,
        nodes: Annotated[int, typer.Option("--nodes")] = 20_000,
        force: Annotated[bool, typer.Option("--force/--no-force")] = False,
    ) -> None:
        seen.update(spec=spec, form=form, explain=explain, depth=depth, nodes=nodes, force=force)

    try:
        typer.main.get_command(app)(args=arguments, standalone_mode=False)
    except typer.BadParameter.__mro__[1] as error:  # type: ignore[misc]
        return error.format_message()
    return seen


@pytest.mark.parametrize(
    "line",
    [
        *("net", "net --format csv", "--format csv net", "net --explain a --explain b", "-- -net", "net --format="),
        *("net --force", "net --no-force", "net --depth 3", "net --explain a --nodes 7 --force"),
        *("", "--force", "net more", "net --nothing", "net --depth 0", "net --depth x", "net --format"),
    ],
)
def test_a_verb_reads_its_arguments_as_typer_does(line: str) -> None:
    expected = outcome(TyperCommand, line.split())
    assert outcome(VerbCommand, line.split()) == expected


def test_a_verb_with_several_texts_gets_a_list() -> None:
    assert outcome(VerbCommand, ["net", "--explain", "a", "--explain", "b"])["explain"] == ["a", "b"]

"""`cnnspec fmt`: specs in their canonical form."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.api.terms import STDIN, read_file
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible
from cnnspec.files import rewrite

app = typer.Typer()

CHANGED = 1


@app.command()
def fmt(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="The specs to rewrite; `-` goes from stdin to stdout.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 where a file would change.")
    ] = False,
    long: Annotated[bool, typer.Option("--long", help="Write every layer as a mapping with named arguments.")] = False,
) -> None:
    """Rewrite specs canonically: the shortest line for each layer, and every remark kept.

    Examples:

      cnnspec fmt net.yaml

      cnnspec fmt --check specs/*.yaml

      cnnspec fmt - < net.yaml
    """
    changed = 0
    for path in files:
        data = read_file(path)
        mark, text = common.split_mark(data)
        formatted = api.format_text(text, path=str(path), long=long)
        written = mark + formatted.encode()
        piped = str(path) == STDIN and not check
        if piped:
            sys.stdout.flush()
            sys.stdout.buffer.write(written)  # a spec is UTF-8, whatever the terminal takes
        if formatted == text:
            continue
        changed += 1
        if not piped:
            if not check:
                rewrite(path, written)
            print(f"{'would change' if check else 'changed'} {visible(str(path))}")
    print(f"{len(files)} file{'s' * (len(files) > 1)}, {changed} changed", file=sys.stderr)
    if check and changed:
        raise typer.Exit(CHANGED)

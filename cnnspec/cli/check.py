"""`cnnspec check`: what is wrong with specs, for people, commit hooks and CI."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.api.terms import STDIN, parse_setting, read_file
from cnnspec.cli import common, report
from cnnspec.cli.render.diagnostics import FORMS, Listing
from cnnspec.cli.render.foreign import say
from cnnspec.errors import UsageError
from cnnspec.files import rewrite

app = typer.Typer()

INVALID = 3


@app.command()
def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="Specs: paths, folders, bundled names, or `-`.")
    ],
    form: Annotated[str, common.format_option(tuple(FORMS), "How to print findings.")] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 on warnings too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print findings, and nothing else.")] = False,
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="CODE", help="Only these warnings: W301,W305.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="CODE", help="Not these warnings: W301,W305.")
    ] = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    input_shape: common.InputOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="First write what is known to mend a finding: a misspelt word, a missing layer."),
    ] = False,
) -> None:
    """Check specs: every error, or else every warning. Exits with 3 where there is an error.

    Of a folder, every .yaml, .yml and .json file below it with the key `cnnspec:` at its top. A spec that
    cannot be read keeps no other from being checked; then it exits with 2. Without `--variant` and
    `--set` every variant of a spec is checked too.

    Examples:

      cnnspec check net.yaml

      cnnspec check specs/*.yaml --strict --ignore W308,W310

      cnnspec check net.yaml --input 3x64x64

      cnnspec check net.yaml --fix

      cnnspec check . --quiet

      cnnspec check specs --format junit > report.xml
    """
    common.check_choice("--format", form, tuple(FORMS))
    checked: list[api.Checked] = []
    failed: dict[str, UsageError] = {}
    for file in _specs(files, failed, quiet=quiet):
        try:
            if fix:
                _fix(file, _codes(select), _codes(ignore))
            common.tell_of_code(file)
            checked.append(
                api.check(
                    file,
                    variant=variant,
                    params=dict(parse_setting(text) for text in settings or []),
                    input_shape=common.parse_shape(input_shape) if input_shape else None,
                    select=_codes(select),
                    ignore=_codes(ignore),
                    max_nodes=max_nodes,
                )
            )
        except UsageError as error:
            failed[error.message] = error
    if checked and (text := FORMS[form](Listing(checked, sys.stdout, strict=strict, quiet=quiet))):
        print(text)
    for unread in failed.values():
        report(unread)
    if failed:
        raise typer.Exit(UsageError.exit_code)
    if any(file.errors or (strict and file.warnings) for file in checked):
        raise typer.Exit(INVALID)


def _fix(file: str, select: list[str], ignore: list[str]) -> None:
    """Rewrite a spec with all that is known to mend it, and say what that was."""
    if file == STDIN or not Path(file).is_file():
        raise UsageError(f"`--fix` writes files, and {file:.200} is none")
    mark, text = common.split_mark(read_file(file))
    fixed = api.fix(text, name=file, select=select, ignore=ignore)
    if fixed.done:
        rewrite(Path(file), mark + fixed.text.encode())
        for done in fixed.done:
            say(f"fixed {file}: {done}", sys.stderr)


def _specs(files: list[str], failed: dict[str, UsageError], *, quiet: bool) -> Iterator[str]:
    """What is to be checked, folders taken apart; what of them cannot be read goes to `failed`."""
    for file in files:
        if not Path(file).is_dir():
            yield file
            continue
        try:
            specs, others = api.spec_files(file)
            if not specs:
                hint = f"{len(others)} in YAML or JSON have no key `cnnspec:`" if others else None
                raise UsageError(f"there is no spec in {file}", hint=hint)
        except UsageError as error:
            failed[error.message] = error
            continue
        yield from map(str, specs)
        if others and not quiet:
            some = "file is" if len(others) == 1 else "files are"
            say(f"{file}: {len(others)} YAML or JSON {some} left out: without the key `cnnspec:`", sys.stderr)


def _codes(given: list[str] | None) -> list[str]:
    """The codes of a flag that may stand twice, and may have several with commas between."""
    return [code.strip() for text in given or [] for code in text.split(",") if code.strip()]

"""The command line. Each verb is one file of its name; only the file of the verb that runs is imported."""

from __future__ import annotations

import atexit
import io
import os
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from cnnspec import interrupts
from cnnspec.cli.verb import HELP_NAMES, verb_command
from cnnspec.errors import CnnspecError, SpecError, UsageError, missing_extra, unreadable

__all__ = ["VERBS", "app", "main"]

VERBS: Final = (  # as `--help` lists them
    *("inspect", "draw", "calc", "sizes", "diff"),
    *("check", "explain", "fmt", "schema", "init", "import", "zoo"),
    *("step", "train", "eval", "runs", "search", "export", "code", "verify", "predict"),
    *("bench", "doctor", "serve", "lsp"),
)

WrongUsage: Final = typer.BadParameter.__mro__[1]  # typer carries click inside, and does not export this base


class _Verbs(TyperGroup):
    """Finds a verb's command in the module of its name."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in VERBS and not ctx.resilient_parsing:  # as while a line is completed
            from cnnspec.hints import did_you_mean

            hint = did_you_mean(args[0], VERBS) or "`cnnspec --help` lists them"
            raise UsageError(f"there is no verb `{args[0]:.60}`", hint=hint)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return verb_command(cmd_name) if cmd_name in VERBS else None


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)


def _show_version(value: bool) -> None:
    if value:
        from cnnspec import __version__

        print(f"cnnspec {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", metavar="", help="Print the version and exit.", callback=_show_version, is_eager=True
    ),
    debug: bool = typer.Option(
        False, "--debug", metavar="", help="Show the traceback of an error.", envvar="CNNSPEC_DEBUG"
    ),
) -> None:
    """Convolutional networks as short declarations: analysed exactly, compiled into PyTorch, trained, exported, run.

    A SPEC is a path (.yaml, .yml, .json) or the name of a bundled network: lenet5, simple_cnn, …

    Start with: cnnspec inspect lenet5
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code that the outcome has."""
    if argv is not None:
        _run(argv)
    # The process is ours. Before it builds its first model, pydantic reads the metadata of every installed package for
    # plugins, which have no use here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    _replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        # Names of files may be bytes that are no text, and in the C locale ASCII is all that there is.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run(sys.argv[1:])
    except SystemExit as end:
        measured = sys.getprofile() or sys.gettrace()  # by who wants to print something after us
        if isinstance(end.code, int) and not measured:
            _leave(end.code)
        raise


def _replace_closed_streams() -> None:
    """A stream that was closed before we started is an empty one; else the next file that is opened has its number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace"))


def _tell_gaps(gaps: Any, arguments: list[str]) -> None:
    """The table of what is missing; `import` has told it already, as its result."""
    if "import" not in arguments[:1]:
        from cnnspec.cli.render.foreign import say
        from cnnspec.cli.render.gaps import gap_table

        say(gap_table(gaps), sys.stderr)


def _run(arguments: list[str]) -> NoReturn:
    debug = "--debug" in arguments or bool(os.environ.get("CNNSPEC_DEBUG"))
    try:
        result = _call(arguments)
        sys.stdout.flush()
        sys.exit(result if isinstance(result, int) else 0)
    except CnnspecError as error:
        if debug:
            raise
        if gaps := getattr(error, "gaps", ()):  # of a SOURCE that the language cannot say
            _tell_gaps(gaps, arguments)
        report(error)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "onnx")  # whichever import of a verb meets it first
        if debug or missing is None:
            raise
        report(missing)
        sys.exit(missing.exit_code)
    except WrongUsage as error:  # type: ignore[misc]
        if not arguments:
            error.show()  # it is the help
        else:
            report(_wrong_usage(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort) as error:
        print("interrupted", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 130))  # typer's own is 1
    except OSError as error:
        if debug:
            raise
        if unread := unreadable(error):
            report(unread)
            sys.exit(unread.exit_code)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end of the process tries it again
        if not isinstance(error, BrokenPipeError):  # then its reader has gone, and nobody is left to tell
            report(CnnspecError(f"cannot write the output: {error.strerror}"))
        sys.exit(1)


def _call(arguments: list[str]) -> Any:
    """What the verb gives back. A signal ends it, also where something has swallowed it or made another error of it."""
    try:
        if arguments[:1] and arguments[0] in VERBS:  # the program itself has nothing to read
            command, name, rest = verb_command(arguments[0]), f"cnnspec {arguments[0]}", arguments[1:]
        else:
            command, name, rest = app, "cnnspec", arguments
        result = command(args=rest, standalone_mode=False, prog_name=name)
    except SystemExit:
        raise
    except BaseException:
        if (number := interrupts.handler.received) is not None:
            raise interrupts.Stopped(number) from None
        raise
    if (number := interrupts.handler.received) is not None:
        raise interrupts.Stopped(number)
    return result


def _wrong_usage(error: Any) -> UsageError:
    """Typer's message about the arguments, to be told as our own are."""
    message = error.format_message().rstrip(".")
    page = f"`{error.ctx.command_path} --help` lists what there is" if error.ctx else None
    return UsageError(message[:1].lower() + message[1:], hint=page)


def _leave(code: int) -> NoReturn:
    """End the process without taking apart what it has made: the system takes back everything.

    It would need a twelfth of the time of `inspect`, and 0.7 s where torch is loaded.
    """
    interrupts.handler.ignore()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def report(error: CnnspecError) -> None:
    """Print an error to stderr, as a person wants to read it."""
    if isinstance(error, SpecError):
        from cnnspec.cli.render.diagnostics import show

        print(show(error.diagnostics, error.path, error.text, sys.stderr), file=sys.stderr)
        return
    stopped = error.exit_code > 128  # by a signal, as somebody wanted
    from cnnspec.cli.render.foreign import say, visible

    message = visible(error.message)
    say(message if stopped else f"error: {message}", sys.stderr)
    if error.hint:
        hint = visible(error.hint)
        say(f"  {hint}" if stopped else f"  help: {hint}", sys.stderr)

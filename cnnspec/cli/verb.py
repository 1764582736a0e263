"""The command of one verb, as the program runs it."""

from __future__ import annotations

import importlib
from typing import Any, Final

import typer
from typer.core import TyperCommand

__all__ = ["HELP_NAMES", "VerbCommand", "verb_command"]

HELP_NAMES: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}
OF_THE_PROGRAM: Final = ("install_completion", "show_completion")  # typer gives them to every verb as well
TEXTS: Final = (str, list[str])  # what the arguments of a call are before anything is made of them


class VerbCommand(TyperCommand):
    """A command that takes texts and flags as they stand.

    To typer every parameter is a validator of pydantic, given or not: a start would wait for pydantic, which takes as
    long as all of `inspect lenet5`. Where something has to be converted, or is wrong, typer does its work.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        plain = {param.name: param for param in self.params if _is_plain(param)}
        needed = {param.name for param in self.params if param.required}
        asked = all(name in plain and _stands(value) for name, value in given.items()) and needed <= given.keys()
        if rest or not asked or ctx.resilient_parsing:  # as while a line is completed
            return super().parse_args(ctx, args)
        ctx.params.update(given)
        return []


def _is_plain(param: Any) -> bool:
    """Whether a parameter takes a text, several, or none."""
    kind = getattr(param, "type_descriptor", None)
    return param.callback is None and kind is not None and kind.annotation in (*TEXTS, bool)


def _stands(value: object) -> bool:
    """Whether there is nothing to make of what the parser has read."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, str) for item in value)
    return isinstance(value, (str, bool))


def verb_command(verb: str) -> Any:
    """The command of a verb, from the module of its name, which exports it as `app`."""
    module = importlib.import_module(f"cnnspec.cli.{verb}")
    (registered,) = module.app.registered_commands
    registered.cls = VerbCommand
    command = typer.main.get_command(module.app)
    command.name = verb
    command.context_settings = {**HELP_NAMES, **command.context_settings}
    command.params = [param for param in command.params if param.name not in OF_THE_PROGRAM]
    for param in command.params:
        if param.metavar is None and getattr(param, "is_flag", False):
            param.metavar = ""  # it takes no value, and needs no word for its kind
    return command

"""`cnnspec explain`: what the code of an error or warning means, and what a layer is and takes."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnspec.api.terms import describe, families, operators, siblings, summary
from cnnspec.codes import codes, explain_code
from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

app = typer.Typer()


@app.command()
def explain(
    topic: Annotated[
        str | None, typer.Argument(metavar="CODE|LAYER", help="E104, or Conv2d. Without it: all.", show_default=False)
    ] = None,
) -> None:
    """Print what an error or warning means and how to mend it, or what a layer is and takes. Alone, list all of them.

    In the call of a layer, arguments after `*` are written by name, as in Python.

    Examples:

      cnnspec explain E104

      cnnspec explain Conv2d
    """
    if topic is None:
        _list_all()
        return
    layers = {name.lower(): name for name in operators()}
    if topic.lower() in layers:
        print(describe(layers[topic.lower()]).rstrip())
    elif topic.upper() in codes():
        print(explain_code(topic).rstrip())
    else:
        hint = did_you_mean(topic, [*codes(), *operators()]) or "`cnnspec explain` lists all codes and layers"
        raise UsageError(f"there is no code and no layer `{topic:.60}`", hint=hint)


def _list_all() -> None:
    for code, title in codes().items():
        print(f"{code}  {title}")
    for about, ops in families().items():
        print(f"\n{about}")
        for op in ops:
            first, *others = siblings(op)
            print(f"  {', '.join([first, *(name[-2:] for name in others)]):25}  {summary(op)}")

"""`cnnspec explain`: what a code of an error or warning means, what a layer is and takes, and what a figure is."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnspec.api.terms import describe, families, operators, siblings, summary
from cnnspec.codes import codes, explain_code
from cnnspec.errors import UsageError
from cnnspec.glossary import explain_term, names_of, terms
from cnnspec.hints import did_you_mean

app = typer.Typer()


@app.command()
def explain(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CODE|LAYER|WORD", help="E104, Conv2d, or a word of a table. Without it: all.", show_default=False
        ),
    ] = None,
) -> None:
    """Print what an error or warning means and how to mend it, what a layer is and takes, or what a figure is.

    Figures are known by the headings of tables and the keys of JSON. Alone, list all that can be explained.

    In the call of a layer, arguments after `*` are written by name, as in Python.

    Examples:

      cnnspec explain E104

      cnnspec explain Conv2d

      cnnspec explain "receptive field"

      cnnspec explain peak_inference_bytes
    """
    if not words:
        _list_all()
        return
    topic = " ".join(words)
    layers = {name.lower(): name for name in operators()}
    if topic.lower() in layers:
        print(describe(layers[topic.lower()]).rstrip())
    elif topic.upper() in codes():
        print(explain_code(topic).rstrip())
    elif entry := explain_term(topic):
        print(entry.rstrip())
    else:
        part = next((term for term in terms() if topic.lower() in term.lower()), None) if len(topic) > 3 else None
        hint = did_you_mean(topic, [*codes(), *operators(), *terms()]) or (part and f"did you mean `{part}`?")
        hint = hint or "`cnnspec explain` lists all codes, layers and figures"
        raise UsageError(f"there is no code, no layer and no figure `{topic:.60}`", hint=hint)


def _list_all() -> None:
    for code, title in codes().items():
        print(f"{code}  {title}")
    for about, ops in families().items():
        print(f"\n{about}")
        for op in ops:
            first, *others = siblings(op)
            print(f"  {', '.join([first, *(name[-2:] for name in others)]):25}  {summary(op)}")
    print("\nFigures")
    for title, names in names_of().items():
        print(f"  {title:25}  {', '.join(names)}")

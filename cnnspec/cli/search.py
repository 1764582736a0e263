"""`cnnspec search`: the best network within limits, and what a search has come to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cnnspec import api
from cnnspec.api.terms import COSTS
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible
from cnnspec.cli.render.search import front_table, screen_text, watch_search
from cnnspec.errors import UsageError

if TYPE_CHECKING:
    from cnnspec.api import SearchResult

app = typer.Typer()

FORMATS: Final = ("text", "json")
PARTS: Final = ("screen", "front", "best")
ACCEPTED: Final = {  # the options of each part, by their names here
    "search": {
        "data", "data_dir", "name", "searches", "file", "workers", "ray", "pareto", "trials", "epochs", "device",
        "seed", "config", "variant", "settings", "input_shape",
    },
    "screen": {"file", "sample", "variant", "settings", "input_shape"},
    "front": {"searches", "cost", "picture"},
    "best": {"searches", "output", "trial", "force"},
}  # fmt: skip
FLAGS: Final = {"file": "--search", "settings": "--set", "input_shape": "--input"}


@app.command()
def search(
    words: Annotated[
        list[str],
        typer.Argument(metavar="SPEC|screen SPEC|front NAME|best NAME", help="What to do.", show_default=False),
    ],
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="digits, mnist, …, a folder, or a .npz file.")
    ] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where downloaded data sets lie.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The search's name, below `--searches`.")] = None,
    searches: Annotated[str | None, typer.Option(metavar="DIR", help="The folder of all searches: searches.")] = None,
    file: Annotated[
        str | None, typer.Option("--search", metavar="FILE", help="A section `search` in place of the spec's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Processes on this machine: 1.")] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="The workers run on this Ray cluster.")
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Make cost a second objective; no trial ends early.")
    ] = False,
    trials: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many networks are trained.")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, help="The most epochs of each.")] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", min=0, help="Of the candidates and of training.")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Options of training from a YAML file.")] = None,
    sample: Annotated[int | None, typer.Option(metavar="N", min=1, help="screen: candidates to look at: 200.")] = None,
    cost: Annotated[
        str | None, typer.Option(metavar="FIGURE", help="front: what the score is weighed against.")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(metavar="FILE", help="front: draw it, as .png or as a page, .html.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="best: where the spec is written.")
    ] = None,
    trial: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="best: this trial in place of the best.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="best: write over a file that is there.")] = False,
    form: Annotated[str, common.format_option(FORMATS, "How to print the result.")] = "text",
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    input_shape: common.InputOption = None,
) -> None:
    """Search for the best network within limits. Candidates are judged by their declaration before any is trained.

    What may vary and what it may cost stands in the section `search` of the spec. The same command again continues a
    search that was cut off, and so does it on another machine that shares the folder. Every trial is a run.

    Examples:

      cnnspec search screen net.yaml

      cnnspec search net.yaml --data digits --name small

      cnnspec search front small --picture front.html

      cnnspec search best small -o best.yaml
    """
    common.check_choice("--format", form, FORMATS)
    part, subject = _part(words)
    given: dict[str, Any] = {
        "data": data, "data_dir": data_dir, "name": name, "searches": searches, "file": file, "workers": workers,
        "ray": ray, "pareto": pareto or None, "trials": trials, "epochs": epochs, "device": device, "seed": seed,
        "config": config, "sample": sample, "cost": cost, "picture": picture, "output": output, "trial": trial,
        "force": force or None,
        "variant": variant, "settings": settings, "input_shape": input_shape,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    for key in given.keys() - ACCEPTED[part]:
        flag = FLAGS.get(key, "--" + key.replace("_", "-"))
        verb = "`cnnspec search SPEC`" if part == "search" else f"`cnnspec search {part}`"
        raise UsageError(f"{verb} takes no `{flag}`", hint="`cnnspec search --help` says which takes which")
    {"search": _search, "screen": _screen, "front": _front, "best": _best}[part](subject, form, given)


def _part(words: list[str]) -> tuple[str, str]:
    """Which part of the verb is meant, and the spec or the search that it is for."""
    if len(words) == 2 and words[0] in PARTS:
        return words[0], words[1]
    if len(words) == 1 and words[0] not in PARTS:
        return "search", words[0]
    if words[0] in PARTS:
        what = "a spec" if words[0] == "screen" else "the name of a search"
        raise UsageError(f"`cnnspec search {words[0]}` takes {what}, and only that")
    raise UsageError(
        f"`{' '.join(words):.100}` is not one spec", hint="`cnnspec search SPEC`, or `search screen|front|best`"
    )


def _spec(subject: str, given: dict[str, Any]) -> api.Spec:
    where = {key: given.pop(key, None) for key in ("variant", "settings", "input_shape")}
    return common.load_spec(subject, purpose="train", **where)


def _search(subject: str, form: str, given: dict[str, Any]) -> None:
    if "data" not in given:
        raise UsageError("on which images are the trials trained?", hint="`--data digits`, a folder, …")
    spec = _spec(subject, given)
    if "file" in given:
        given["search"] = given.pop("file")
    with watch_search(sys.stderr) as progress:
        result = api.search(spec, progress=progress, **given)
    common.print_result(form, result.to_dict, lambda: _result_text(result))


def _result_text(result: SearchResult) -> str:
    name, best = visible(result.path.name), result.best
    lines = [f"{visible(str(result.path))}: {result.done} trial{'s' * (result.done != 1)}"]
    if best is not None and best.score is not None:
        lines[0] += f", the best {best.name} with {best.figure.named(best.score)} in validation"
        lines.append(f"`cnnspec search best {name} -o best.yaml` writes it, `cnnspec search front {name}` lists all")
    return "\n".join(lines)


def _screen(subject: str, form: str, given: dict[str, Any]) -> None:
    seen = api.screen(_spec(subject, given), search=given.get("file"), sample=given.get("sample", 200))
    common.print_result(form, lambda: {"cnnspec": 1, **seen.to_dict()}, lambda: screen_text(seen))


def _front(subject: str, form: str, given: dict[str, Any]) -> None:
    if "cost" in given:
        common.check_choice("--cost", given["cost"], COSTS)
    result = api.open_search(subject, **given)
    cost = given.get("cost")
    common.print_result(form, lambda: result.to_dict(cost), lambda: front_table(result, cost))


def _best(subject: str, form: str, given: dict[str, Any]) -> None:
    if "output" not in given:
        raise UsageError("where is the spec to be written?", hint=f"`cnnspec search best {subject} -o best.yaml`")
    output = given.pop("output")
    run = api.write_best(subject, output, **given)
    document = {"cnnspec": 1, "spec": output, "run": str(run)}
    text = f"{visible(output)}: the network of {visible(str(run))}, which `cnnspec export {visible(str(run))}` exports"
    common.print_result(form, lambda: document, lambda: text)

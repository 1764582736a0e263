"""Searching for the best network within limits: verdicts, screens, searches and what has come of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cnnspec.api.networks import PathLike, load
from cnnspec.errors import SpecError, UsageError, needs_extra
from cnnspec.files import rewrite
from cnnspec.language import Network, read_file
from cnnspec.language.document import SearchSection
from cnnspec.language.figures import MEASURED, parse_limit
from cnnspec.language.search_section import COSTS
from cnnspec.limits import MAX_THREADS
from cnnspec.ops.arguments import Bounds
from cnnspec.public import OneOf, public

if TYPE_CHECKING:
    from cnnspec.search.judge import Verdict
    from cnnspec.search.progress import SearchProgress
    from cnnspec.search.screen import Screen
    from cnnspec.search.start import SearchResult

__all__ = ["judge", "open_search", "screen", "search", "write_best"]

Cost = Annotated[str, OneOf(COSTS)]
Trials = Annotated[int, Bounds(ge=1, le=100_000)]
Sample = Annotated[int, Bounds(ge=1, le=100_000)]
Processes = Annotated[int, Bounds(ge=1, le=MAX_THREADS)]


@public()
def judge(spec: Network | PathLike, limits: Mapping[str, str | int | float]) -> Verdict:
    """The figures of a network, and the limits that it does not keep: `figures, violations = judge(…)`.

    Limits are as in the section `search` of a spec: `{"params": "500k", "peak": "1MB", "field": ">= 28"}`.
    Nothing is built: it takes milliseconds. Raises SpecError for an invalid spec, and UsageError for a limit that there
    is not, another unit, or one on what has to be measured.
    """
    parsed = {name: parse_limit(name, limit) for name, limit in limits.items()}
    for name in MEASURED:
        if name in parsed:
            raise UsageError(
                f"`{name}` follows from no declaration", hint="`bench` measures it, and `search` where asked"
            )
    from cnnspec.search.judge import judge_graph

    return judge_graph((spec if isinstance(spec, Network) else load(spec)).graph, parsed)


@public()
def screen(spec: Network | PathLike, *, search: PathLike | None = None, sample: Sample = 200, seed: int = 0) -> Screen:
    """What the space of a spec's section `search` holds, without training: how much is valid, and within the limits.

    The whole space is looked at where it has at most `sample` candidates, else so many of it. `search` is a file with
    a section that takes the place of the spec's own. Raises SpecError and UsageError.
    """
    network = spec if isinstance(spec, Network) else load(spec, purpose="train")
    section = _section(network, search)
    from cnnspec.search.screen import screen

    return screen(network, section, sample=sample, seed=seed)


def _section(network: Network, file: PathLike | None) -> SearchSection:
    """What a search over a network is told. Raises SpecError for what is wrong with it, and UsageError without one."""
    from cnnspec.training.config import space_faults, spec_faults

    if file is not None:
        from cnnspec.language.search_section import read_search_text

        data, path = read_file(file), os.fspath(file)
        section = read_search_text(data, path, network.source.document)
        if faults := list(space_faults(section)):
            raise SpecError(faults, path=path, text=data.decode("utf-8-sig"))
    else:
        own = network.source.document.search
        if own is None:
            raise UsageError(
                f"{network.source.path} has no section `search`",
                hint="write `search: {space: {…}, limits: {…}}` into it, or give a file with `--search`",
            )
        section = own
    if faults := spec_faults(network.source):
        raise SpecError(faults, path=network.source.path, text=network.source.text)
    return section


@needs_extra("search")
@public(SearchProgress="cnnspec.search.progress")
def search(
    spec: Network | PathLike,
    *,
    data: str,
    name: str | None = None,
    searches: PathLike = "searches",
    search: PathLike | None = None,
    workers: Processes = 1,
    ray: str | None = None,
    pareto: bool = False,
    trials: Trials | None = None,
    config: PathLike | None = None,
    progress: SearchProgress | bool | None = True,
    **options: object,
) -> SearchResult:
    """Search for the best network that a spec's section `search` allows; the same call again continues.

    Trials are runs in `searches/NAME/trials`; `name` is the network's unless given. `workers` is the number of
    processes on this machine, or on the Ray cluster at the address `ray`, whose nodes share the folder; the same call
    on other machines that share it adds theirs. With `pareto` cost is a second objective, and no trial ends early.
    `trials` takes the place of the section's number. `options` are fields of TrainConfig; they win over the file
    `config`, that over `epochs` of the section, and that over the spec's `train:`.
    Needs the extras `search` and `train`, `onnx` where a limit is on latency, and `ray` for a cluster.
    Raises UsageError where an option, the data or the name do not fit or nothing is within the limits, SpecError, and
    CnnspecError where trials fail.
    """
    from cnnspec.search.folder import SearchPlan, new_search, with_trials
    from cnnspec.search.progress import SearchLines, SilentSearch
    from cnnspec.search.start import run_search
    from cnnspec.training.config import resolve_config
    from cnnspec.training.run_folder import read_config

    network = spec if isinstance(spec, Network) else load(spec, purpose="train")
    network.graph.network("train")
    section = _section(network, search)
    resolved = resolve_config(
        (f"`train:` of {network.source.path}", network.source.document.header.train),
        ("`search:`", {"epochs": section.epochs}),
        (str(config), read_config(config)[1] if config is not None else {}),
        ("the options", {"data": data, **options}),
    )
    plan = SearchPlan(network, section, resolved, pareto)
    if trials is not None:
        plan = with_trials(plan, trials)
    listener = progress if not isinstance(progress, bool) else SearchLines(sys.stderr) if progress else None
    folder = new_search(Path(searches), name or network.name)
    return run_search(folder, plan, data, workers=workers, progress=listener or SilentSearch(), ray=ray)


@needs_extra("search")
@public()
def open_search(
    name: PathLike, *, searches: PathLike = "searches", cost: Cost | None = None, picture: PathLike | None = None
) -> SearchResult:
    """What a search has come to, by its name or its folder: its trials, the best, and `front(cost)`.

    `picture` is where the score against `cost` is drawn: a PNG, or where its name ends in `.html` a page that has the
    trials across all that varies too. Raises UsageError where there is no such search, for a picture of another kind,
    and for a `cost` that no trial has.
    """
    from cnnspec.search.start import open_search

    ending = None if picture is None else Path(picture).suffix.lower()
    if ending not in (None, ".png", ".html", ".htm"):
        raise UsageError(f"{picture} is no picture of a search", hint="its name ends in .png, or in .html for a page")
    result = open_search(Path(name), Path(searches))
    if cost in MEASURED and result.trials and all(each.figures.value(cost) is None for each in result.trials):
        hint = f"it is measured where a limit is on it, or `cost: {cost}` stands in the section `search`"
        raise UsageError(f"no trial of {result.path} has a measured {cost}", hint=hint)
    if picture is not None and ending != ".png":
        from cnnspec.pages.search_page import search_page

        rewrite(picture, search_page(result, cost).encode())
    elif picture is not None:
        from cnnspec.search.picture import plot_front

        plot_front(result, cost or result.plan.section.cost, Path(picture))
    return result


@needs_extra("search")
@public()
def write_best(
    name: PathLike, output: PathLike, *, trial: int | None = None, searches: PathLike = "searches", force: bool = False
) -> Path:
    """Write the best network of a search, or that of one `trial`, as a spec with its parameters fixed.

    Returns its run. Raises UsageError where no trial has been trained yet, and where the file is there already, unless
    `force`.
    """
    from cnnspec.search.best import fixed_spec

    result = open_search(name, searches=searches)
    record = result.best if trial is None else next((each for each in result.trials if each.number == trial), None)
    if record is None:
        what = "no trained trial yet" if trial is None else f"no trial {trial}"
        raise UsageError(f"{result.path} has {what}", hint=f"`cnnspec search front {result.path.name}` lists them")
    if os.path.lexists(output) and not force:
        raise UsageError(f"{os.fspath(output)} is there already", hint="`--force` writes over it")
    if Path(output).suffix.lower() == ".json" and not result.plan.network.source.json:
        raise UsageError(f"the spec of {result.path} is YAML", hint="let the name end in .yaml")
    rewrite(output, fixed_spec(result.plan, record).encode())
    return record.run

"""The folder of a search: what is looked for, and where everything about it lies.

    searches/<name>/
      search.yaml      the section `search`, the options of training, and how the spec was called
      spec.yaml        the spec, as it was read (spec.json where it was JSON)
      study.journal    what was tried and what came of it, one line per event
      trials/t0007/    a training run like any other
      locks/           who is at work on what

Importing this module imports neither torch nor optuna.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import write_atomic
from cnnspec.language import Network, NetworkRecord, read_file
from cnnspec.language.document import SearchSection
from cnnspec.language.read_parts import Parts, TooManyFaults
from cnnspec.language.search_section import read_search
from cnnspec.language.source import read_text
from cnnspec.language.tree import MapValue, SourceError, Value, plain
from cnnspec.search.locks import FileLock
from cnnspec.tasks import TASKS, Figure
from cnnspec.training.config import MAY_CHANGE, TrainConfig, resolve_config
from cnnspec.training.run_folder import network_files

__all__ = ["JOURNAL", "SEARCHES", "SearchFolder", "SearchPlan", "find_search", "new_search", "with_trials"]

SEARCHES: Final = "searches"  # the folder of all searches
JOURNAL: Final = "study.journal"
RECORD: Final = "search.yaml"


@dataclass(frozen=True)
class SearchPlan:
    """What is searched for: the network whose parameters vary, the space and its limits, and how trials train."""

    network: Network
    section: SearchSection
    config: TrainConfig
    pareto: bool = False  # two objectives, score and cost, instead of one

    @property
    def figure(self) -> Figure:
        """What is searched for the highest of: the first figure of the network's task."""
        return (self.network.graph.task or TASKS["classification"]).best

    def config_of(self, options: dict[str, Any]) -> TrainConfig:
        """The options of a trial. Raises UsageError for a value that an option cannot have."""
        return resolve_config(("the search", self.config.model_dump()), ("the space", options))


@dataclass(frozen=True)
class SearchFolder:
    """One search's place on disk."""

    path: Path

    @property
    def name(self) -> str:
        """The search's name."""
        return self.path.resolve().name

    @property
    def journal(self) -> Path:
        """Where the study is."""
        return self.path / JOURNAL

    @property
    def begun(self) -> bool:
        """Whether there is a search in it."""
        return (self.path / RECORD).is_file()

    def trial(self, number: int) -> Path:
        """The run of a trial."""
        return self.path / "trials" / f"t{number:04}"

    def lock(self, name: str) -> FileLock:
        """A lock that everybody who works on the search knows by this name."""
        return FileLock(self.path / "locks" / name)

    def trial_lock(self, number: int) -> FileLock:
        """The lock that whoever trains a trial holds."""
        return self.lock(f"t{number:04}")

    def write(self, plan: SearchPlan) -> None:
        """Note what is searched for. Raises CnnspecError where that cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CnnspecError(f"cannot write to {self.path}: {error.strerror or error}") from None
        file, text, section = network_files(plan.network)
        document = {
            "spec": {**section, "input": list(plan.network.input_override or ())},  # a space may vary the declared one
            "search": dict(plan.section.plain),
            "pareto": plan.pareto,
            "train": plan.config.model_dump(mode="json"),
        }
        write_atomic(self.path / file, text)
        written = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None)
        write_atomic(self.path / RECORD, written, sync=True)  # last: with it the folder is a search

    def read(self) -> SearchPlan:
        """What is searched for here. Raises CnnspecError where a file is damaged."""
        path = self.path / RECORD
        try:
            root = read_text(read_file(path), json=False).value
            document = plain(root) if isinstance(root, MapValue) else {}
            called, train, pareto = (document[key] for key in ("spec", "train", "pareto"))
            section = _section(root)
            file = self.path / str(called["file"])
            record = NetworkRecord(
                spec=read_file(file).decode("utf-8", "surrogateescape"),
                variant=called.get("variant"),
                params={key: str(value) for key, value in (called.get("set") or {}).items()},
                input_shape=tuple(called["input"]) or None,
            )
            network = Network.from_record(record, str(file), purpose="train")
            config = resolve_config((str(path), train))
        except (SourceError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CnnspecError(f"{path} is damaged: {reason:.200}") from None
        return SearchPlan(network, section, config, bool(pareto))

    def check_same(self, plan: SearchPlan) -> None:
        """Raise UsageError where the search in this folder is another one, saying in what."""
        begun, hint = self.read(), "`--name` gives another name"
        if _told(begun.network) != _told(plan.network):
            raise UsageError(f"{self.path} exists, and is a search over another network", hint=hint)
        if begun.pareto != plan.pareto:
            kind = "with" if begun.pareto else "without"
            raise UsageError(f"{self.path} was begun {kind} `--pareto`", hint=hint)
        for key in sorted({*begun.section.plain, *plan.section.plain} - {"trials"}):
            was, now = begun.section.plain.get(key), plan.section.plain.get(key)
            if was != now:
                raise UsageError(f"{self.path} was begun with `{key}: {was}`, and not {now}", hint=hint)
        before, after = (each.config.model_dump(exclude=MAY_CHANGE - {"epochs"}) for each in (begun, plan))
        for key, value in after.items():
            if before[key] != value:
                raise UsageError(f"{self.path} was begun with `{key}` {before[key]}, and not {value}", hint=hint)


def _told(network: Network) -> object:
    """What makes a network another to search over: neither remarks nor sections that are compared for themselves."""
    document = {key: value for key, value in network.source.plain().items() if key not in ("search", "train")}
    return document, replace(network.record(), spec="")


def _section(root: MapValue | Any) -> SearchSection:
    """The section `search` of a search's own record."""
    parts = Parts()
    value: Value | None = root.get("search")
    section = None
    with suppress(TooManyFaults):
        section = None if value is None else read_search(value, parts)
    if section is None or parts.found:
        raise ValueError(parts.found[0].message if parts.found else "it has no section `search`")
    return section


def find_search(name: str | Path, searches: Path = Path(SEARCHES)) -> SearchFolder:
    """The search of this name, or in this folder. Raises UsageError where there is none."""
    for path in (Path(name), searches / name):
        if (path / RECORD).is_file():
            return SearchFolder(path)
    there = sorted(path.parent.name for path in searches.glob(f"*/{RECORD}")) if searches.is_dir() else []
    listed = f"there are: {', '.join(there)}" if there else "`cnnspec search SPEC --data DATA` begins one"
    raise UsageError(f"there is no search {name}", hint=listed)


def new_search(searches: Path, name: str) -> SearchFolder:
    """The folder of a search, which may be there. Raises UsageError for what is no name, or is something else."""
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UsageError(f"`{name:.100}` is no name for a search: letters, digits, `.`, `_` and `-`")
    folder = SearchFolder(searches / name)
    if folder.path.exists() and not folder.begun:
        others = [path.name for path in folder.path.iterdir()] if folder.path.is_dir() else [name]
        if [other for other in others if other not in ("locks", "spec.yaml", "spec.json") and ".tmp" not in other]:
            raise UsageError(f"{folder.path} exists, and is no search", hint="`--name` gives another name")
    return folder


def with_trials(plan: SearchPlan, trials: int) -> SearchPlan:
    """The plan with another number of trials."""
    section = plan.section._replace(trials=trials, plain={**plan.section.plain, "trials": trials})
    return replace(plan, section=section)

"""The folder of a training run: what is in it, and how to read it back.

    runs/<name>/
      spec.yaml           the spec, as it was read (spec.json where it was JSON)
      config.yaml         every option, resolved, and where the images were; `--config` takes it and reproduces the run
      environment.json    versions, machine, command line
      classes.json        the class names, in the order of the outputs
      start.json          of the weights that it began with, what was taken, reset and left over
      metrics.jsonl       one line per epoch; results.csv is the same as a table
      best.safetensors    the weights of the best epoch, and last.safetensors those of the last
      manifest.json       digests of the weights
      answers.json        how the outputs are read, where that is not by the highest score of a class
      result.json         the figures of the finished run
      curves.png          and confusion.png or residuals.png, of the test images or without them the validation images
      checkpoints/        what a resumed run continues from

`run_writer` writes it. Importing this module imports no torch.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, Field, RootModel, ValidationError

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import expand_user
from cnnspec.graph import Graph
from cnnspec.language import Network, NetworkRecord, read_file
from cnnspec.language.network import normalised
from cnnspec.language.source import read_text
from cnnspec.language.tree import SourceError, plain
from cnnspec.public import public
from cnnspec.tasks import CLASSES, TASKS, Answers, Task
from cnnspec.training.config import TrainConfig, resolve_config
from cnnspec.training.metrics import EpochMetrics, merit
from cnnspec.training.run_files import ANSWERS, CHECKPOINTS, check_links, checked, read_answers, read_json, read_result
from cnnspec.training.run_weights import best_weights
from cnnspec.zoo import RUNS, find_run, is_run

__all__ = [
    "PICTURES", "START", "DataPlace", "Run", "has_checkpoint", "is_run", "network_files", "open_run", "read_config",
]  # fmt: skip

START: Final = "start.json"
PICTURES: Final = ("confusion.png", "residuals.png")  # beside the curves, by the task


class _NetworkSection(BaseModel):
    """The section `spec` of config.yaml. The spec is one of the folder's own files."""

    file: Literal["spec.yaml", "spec.json"] = "spec.yaml"
    input: tuple[Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)], ...] | None = None
    variant: str | None = None
    set: dict[str, object] | None = None
    mean: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()  # where they are not those of the spec
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()


class DataPlace(BaseModel):
    """The section `data` of config.yaml: where the images were, which the options may say from some other folder."""

    path: Annotated[str, Field(strict=True, min_length=1, max_length=4096)]
    recorded: Annotated[str, Field(strict=True, max_length=40)]  # a day


class _Classes(RootModel[tuple[Annotated[str, Field(max_length=10_000)], ...]]):
    """classes.json."""


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it: the network, how it was trained, and what came of it."""

    path: Path
    network: Network
    config: TrainConfig
    classes: tuple[str, ...] = ()
    metrics: tuple[EpochMetrics, ...] = ()  # one per epoch
    result: dict[str, Any] | None = None  # None where the run has not finished
    answers: Answers = CLASSES  # how the outputs are read
    place: DataPlace | None = None  # of images that lie in a folder or file

    def __repr__(self) -> str:
        done = f"{len(self.metrics)} of {self.config.epochs} epochs"
        best = ""
        if self.metrics:
            figure, value = max(self.metrics, key=merit).best
            best = f", {figure.named(value)} in validation"
        return f"<Run {self.path} of {self.network.name} on {self.config.data}: {done}{best}>"

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.path.resolve().name

    @property
    def task(self) -> Task:
        """What it was trained for."""
        return TASKS[self.answers.task]

    @property
    def graph(self) -> Graph:
        """The network's graph."""
        return self.network.graph

    def locate_data(self, flag: str = "--data") -> str:
        """What its images are opened by: the name of a data set, or where they lie, from whatever folder it is called.

        Raises UsageError where they are gone; `flag` is what takes another place.
        """
        from cnnspec.data.shards import are_there  # numpy comes with it, and a screen of a space needs none

        given = self.config.data
        if self.place is None or are_there(self.place.path):
            return given if self.place is None else self.place.path
        if expand_user(given).exists():  # moved along with the folder that it is called from
            return given
        raise UsageError(
            f"the images of {self.path} were in {self.place.path} on {self.place.recorded}, given as `--data {given}`;"
            " nothing is there now",
            hint=f"`{flag} NEW` says where they are",
        )

    @property
    def params(self) -> int:
        """How many parameters were in training, frozen ones included."""
        return sum(node.params for node in self.graph)

    @property
    def trainable_params(self) -> int:
        """How many of them were trained, by the last epoch: all but those that `--freeze` and the like keep."""
        frozen = self.config.freezing.at(self.graph, self.config.epochs - 1)
        return self.params - sum(node.frozen_params(frozen) for node in self.graph)

    @property
    def weights(self) -> Path:
        """The file of the best weights, its digest verified. Raises CnnspecError where there is none or it is bad."""
        return best_weights(self.path)


def has_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a run has got as far as its first checkpoint."""
    return any((Path(path) / CHECKPOINTS).glob("*.pt"))


@public()
def open_run(path: str | os.PathLike[str], *, figures: bool = True) -> Run:
    """Read a run, by its folder or its name; without `figures` only what it began with: all that continuing it needs.

    Raises UsageError where it is none, and CnnspecError where a file in it is damaged.
    """
    path = find_run(path) or Path(path)
    if not is_run(path):
        what = (
            "is no run: it has no config.yaml"
            if path.is_dir()
            else "is no folder"
            if path.exists()
            else "does not exist"
        )
        near = next((near for near in (RUNS / path, path.parent) if is_run(near)), None)
        hint = f"did you mean {near}?" if near else "`cnnspec runs` lists the runs"
        raise UsageError(f"the run folder {path} {what}", hint=hint)
    check_links(path)
    spec, options, data = read_config(path / "config.yaml")
    network = _read_network(path, spec)
    config = resolve_config((str(path / "config.yaml"), options))
    begun = Run(path, network, config, place=checked(DataPlace, data, path / "config.yaml") if data else None)
    if not figures:
        return begun
    metrics: tuple[EpochMetrics, ...] = ()
    try:
        with suppress(FileNotFoundError):
            lines = (path / "metrics.jsonl").read_text("utf-8").splitlines()
            metrics = tuple(EpochMetrics.model_validate(json.loads(line)) for line in lines)
    except ValidationError as error:  # as a text it has several lines
        raise CnnspecError(f"{path / 'metrics.jsonl'} is damaged: {error.errors()[0]['msg']}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CnnspecError(f"{path / 'metrics.jsonl'} is damaged: {error}") from None
    result, answers = read_result(path / "result.json"), read_answers(path / ANSWERS)
    classes = checked(_Classes, read_json(path / "classes.json", list), path / "classes.json")
    return replace(begun, classes=classes.root, metrics=metrics, result=result, answers=answers)


def network_files(network: Network) -> tuple[str, str, dict[str, object]]:
    """The name and the text of the file that keeps a network's spec, and the section `spec` of config.yaml."""
    record = network.record()
    file = "spec.json" if network.source.json else "spec.yaml"
    section: dict[str, object] = {"file": file, "input": list(record.input_shape or ())}
    if record.variant:
        section["variant"] = record.variant
    if record.params:
        section["set"] = record.params
    if not network.as_declared:
        section |= {"mean": list(network.graph.mean), "std": list(network.graph.std)}
    return file, record.spec, section


def _read_network(path: Path, section: dict[str, object]) -> Network:
    """The network of a run's folder, from what `network_files` gave.

    Raises CnnspecError for a section that is damaged, SpecError and UsageError.
    """
    written = checked(_NetworkSection, section, path / "config.yaml")
    file = path / written.file
    record = NetworkRecord(
        spec=read_file(file).decode("utf-8", "surrogateescape"),  # what is no UTF-8 is told as in any spec
        variant=written.variant,
        params={key: str(value) for key, value in (written.set or {}).items()},
        input_shape=written.input or None,
    )
    network = Network.from_record(record, str(file), purpose="train")
    if not written.mean:
        return network
    if {len(written.mean), len(written.std)} != {network.graph.input_shape[0]}:
        raise CnnspecError(f"{path / 'config.yaml'} is damaged: it has not a mean and std for each channel")
    return normalised(network, mean=written.mean, std=written.std)


class ConfigFile(NamedTuple):
    """The sections of a configuration file."""

    spec: dict[str, Any]
    train: dict[str, Any]
    data: dict[str, Any]


def read_config(path: str | os.PathLike[str]) -> ConfigFile:
    """The sections of a configuration file; without sections all of it is `train`.

    Raises UsageError where the file cannot be read as that.
    """
    try:
        text = read_text(read_file(path), json=Path(path).suffix == ".json")
        if text.found:
            raise SourceError(*text.found)
    except SourceError as error:
        raise UsageError(f"{path} cannot be read as options: {error}") from None
    document = plain(text.value)
    if not isinstance(document, dict):
        raise UsageError(f"{path} is no mapping of options", hint="write `epochs: 20` and the like")
    if "train" not in document and "spec" not in document:
        return ConfigFile({}, document, {})
    parts = [document.get(section) or {} for section in ConfigFile._fields]
    if not all(isinstance(part, dict) for part in parts):
        raise UsageError(f"{path}: `spec`, `train` and `data` are mappings")
    return ConfigFile(*parts)

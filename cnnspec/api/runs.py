"""Training runs: starting, continuing, scoring and listing them. The loop is imported when it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.api.networks import PathLike, load
from cnnspec.errors import CnnspecError, SpecError, UsageError, needs_extra
from cnnspec.language import Network
from cnnspec.public import public
from cnnspec.training import Run, TrainConfig, open_run, resolve_config
from cnnspec.training.config import spec_faults
from cnnspec.training.job import Existing, Job, TrainResult
from cnnspec.training.progress import Progress, Silent, listening
from cnnspec.training.run_folder import has_checkpoint, is_run, read_config
from cnnspec.training.run_writer import reserve
from cnnspec.training.shared import Shared
from cnnspec.zoo import find_run

if TYPE_CHECKING:
    from cnnspec.data.given import Given
    from cnnspec.scoring.class_figures import Assessment
    from cnnspec.scoring.figures import TaskAssessment

__all__ = ["evaluate", "list_runs", "resume", "train"]


@needs_extra("train")
@public()
def train(
    spec: Network | PathLike,
    *,
    data: object = None,
    val: object = None,
    test: object = None,
    config: PathLike | None = None,
    name: str | None = None,
    runs: PathLike = "runs",
    existing: Existing = "refuse",
    progress: Progress | bool | None = True,
    shared: Shared | None = None,
    **options: object,
) -> TrainResult:
    """Train a network and write its run folder, `runs/name`. Needs the extra `train`.

    `existing` says what becomes of a run that is there already: `refuse` is an error, `overwrite` takes it away, and
    `resume` continues it, where it is of the same network; where there is none, all of them start. `progress` listens,
    and may end the run after an epoch; by default it is shown in a notebook or on a terminal, and nowhere with None or
    False. `shared` is what runs of this process have in common; see `Shared`.

    `data` is the name or path of a data set, or holds the samples: `(x, y)` of arrays, a data set of `(image, label)`,
    or what gives such one by one. Then `val` may choose the best epoch and `test` be scored at the end; without both a
    fifth is held back for the test, and without `val` a part of the rest chooses.

    `options` are the fields of TrainConfig; they win over the file `config`, that over the spec's `train:`, and that
    over the defaults. `weights` may be a SOURCE of `import_network`; one that runs code of others only as an option.
    Raises SpecError for what is wrong in `train:`, UsageError where an option, the data or the run's name do not fit,
    and CnnspecError where training fails. Torch's settings and random numbers are afterwards what they were.
    """
    from cnnspec.api.weights import refuse_code, source_weights

    given, word = _samples(data, val, test)
    if word is not None:
        options["data"] = word
    network = spec if isinstance(spec, Network) else load(spec)
    network.graph.network("train")  # which has to take the input too
    if faults := spec_faults(network.source):
        raise SpecError(faults, path=network.source.path, text=network.source.text)
    in_file = read_config(config)[1] if config is not None else {}
    resolved = resolve_config(
        (f"`train:` of {network.source.path}", network.source.document.header.train),
        (str(config), in_file),
        ("the options", options),
    )
    if resolved.weights != options.get("weights"):
        refuse_code(resolved.weights)
    first = True
    if "WORLD_SIZE" in os.environ:  # started by torchrun: all processes agree on the folder, and the first checks it
        name = name or network.name
        from cnnspec.training.device import pick_device
        from cnnspec.training.distributed import join_ranks

        device = pick_device(resolved.device)
        ranks = join_ranks(device)
        if ranks.restarted() and ranks.share(lambda: _has_begun(Path(runs) / name, network, resolved)):
            return resume(Path(runs) / name, data=data, val=val, test=test, progress=progress, shared=shared)
        if existing == "resume":
            existing, resolved = ranks.share(lambda: _as_demanded(Path(runs) / name, network, resolved))
        first = ranks.first
        if existing == "refuse" and not first:
            existing = "overwrite"
    with reserve(Path(runs), name, network.name, existing=existing, write=first) as folder:
        if existing == "resume" and "WORLD_SIZE" not in os.environ:
            existing, resolved = _as_demanded(folder, network, resolved)
        with listening(progress) as listener:
            report = (listener or Silent()).message
            with source_weights(resolved.weights, network, report) as weights:
                return _run(Job(network, resolved, folder, existing, given, weights), listener, shared)


def _samples(data: object, val: object, test: object) -> tuple[Given | None, str | None]:
    """Samples from Python, if it is such that were given, and the word for the option `data`, if anything was.

    Raises UsageError for what is neither samples nor the name of a data set.
    """
    if data is None or isinstance(data, str | os.PathLike):
        if val is not None or test is not None:
            raise UsageError(
                "`val` and `test` go with samples in `data`, and there is only a name",
                hint="a folder holds its own: DIR/train, DIR/val and DIR/test",
            )
        return None, None if data is None else str(os.fspath(data))
    from cnnspec.data.given import IN_PYTHON, Given

    return Given.of(data, val, test), IN_PYTHON


@needs_extra("train")
@public()
def resume(
    run: PathLike,
    *,
    epochs: int | None = None,
    patience: int | None = None,
    device: str | None = None,
    checkpoint_every: float | None = None,
    data: object = None,
    val: object = None,
    test: object = None,
    max_pixels: int | None = None,
    progress: Progress | bool | None = True,
    shared: Shared | None = None,
) -> TrainResult:
    """Continue a run where its newest good checkpoint was written. Needs the extra `train`.

    What is given takes the place of what config.yaml says, and is written there; `data` is where the same images are
    now, or the same samples from Python again, with their `val` and `test`. With other `epochs` the learning rate
    follows the schedule of a run of that length from here on. `progress` and `shared` are as in `train`.
    Raises UsageError where there is no such run, and CnnspecError where training fails.
    """
    begun = open_run(find_run(run) or run, figures=False)
    samples, word = _samples(data, val, test)
    given = {
        "epochs": epochs, "patience": patience, "device": device, "checkpoint_every": checkpoint_every, "data": word,
        "max_pixels": max_pixels,
    }  # fmt: skip
    config = resolve_config(("config.yaml", begun.config.model_dump()), ("the options", given))
    source = samples or word or begun.locate_data()
    return _run(Job(begun.network, config, begun.path, "resume", source), progress, shared)


def _run(job: Job, progress: Progress | bool | None, shared: Shared | None) -> TrainResult:
    from cnnspec.training.loop import train

    with listening(progress) as listener:
        return train(job, listener, shared)


def _has_begun(folder: Path, network: Network, config: TrainConfig) -> bool:
    """Whether the run in this folder is the one that is to be started: the same network with the same options."""
    if not is_run(folder):
        return False
    run = open_run(folder, figures=False)
    return run.network.record() == network.record() and run.config == _as_measured(config, run)


def _as_demanded(folder: Path, network: Network, config: TrainConfig) -> tuple[Existing, TrainConfig]:
    """How to go on in a folder whose run is to be resumed, if there is one, and with which options.

    Raises UsageError where its run is of another network. That its other options fit is seen by the loop.
    """
    if not is_run(folder):
        return "refuse", config  # one that comes meanwhile
    if not has_checkpoint(folder):
        return "overwrite", config  # nothing has been trained yet
    run = open_run(folder, figures=False)
    if run.network.record() != network.record():
        raise UsageError(f"{folder} exists, and is a run of another network", hint="`--name` gives another name")
    return "resume", _as_measured(config, run)


def _as_measured(config: TrainConfig, run: Run) -> TrainConfig:
    """The options with what was measured when the run began, where they leave it open."""
    names = ("threads", "channels_last")
    return config.model_copy(
        update={name: getattr(run.config, name) for name in names if getattr(config, name) is None}
    )


@needs_extra("train")
@public()
def evaluate(
    target: Run | PathLike,
    *,
    data: object = None,
    data_dir: str | None = None,
    split: str = "test",
    skip_bad: bool = False,
    max_pixels: int | None = None,
    device: str = "auto",
    sheet: PathLike | None = None,
) -> Assessment | TaskAssessment:
    """Score a run's best weights, or a file that `export` wrote, on the images of a data set.

    Needs the extra `train`; without it a file is scored on a folder with `test/CLASS/` (or `val/CLASS/`) in it.

    `data` is as in `train`; of samples from Python all are scored. `split` is `test` or `val`; an exported file wants
    `data`. `skip_bad` leaves out images that cannot be read, as does
    a run that was trained so. `max_pixels` is the most that an image file may have,
    in place of the run's or of 89 million. `sheet` is where the worst mistakes are drawn, as a PNG.
    Raises UsageError where the target or the data do not exist or do not fit, and CnnspecError where they are damaged.
    """
    if split not in ("test", "val"):
        raise UsageError(f"there is no split `{split}`", hint="there are: test, val")
    picture = Path(sheet) if sheet else None
    if not isinstance(target, Run):
        if Path(target).suffix == ".onnx" and not Path(target).exists():
            raise UsageError(
                f"there is no file {os.fspath(target)}", hint="`cnnspec export RUN -o FILE.onnx` makes one"
            )
        run = find_run(target)
        if run is not None or not Path(target).is_file():
            target = open_run(run or target)
    with needs_extra("train" if isinstance(target, Run) else "onnx"):
        from cnnspec.scoring.assess import assess_model, assess_run
    samples, word = _samples(data, None, None)
    source = word if samples is None else samples.as_test()
    if isinstance(target, Run):
        return assess_run(
            target, data=source, data_dir=data_dir, split=split, skip_bad=skip_bad, max_pixels=max_pixels,
            device=device, sheet=picture,
        )  # fmt: skip
    if source is None:
        raise UsageError(f"on which images is {os.fspath(target)} to be scored?", hint="`--data digits`, a folder, …")
    return assess_model(
        target, data=source, data_dir=data_dir, split=split, skip_bad=skip_bad, max_pixels=max_pixels, device=device,
        sheet=picture,
    )  # fmt: skip


@public()
def list_runs(folder: PathLike = "runs", *, on_error: Callable[[CnnspecError], None] = lambda error: None) -> list[Run]:
    """The runs in a folder, by name; one that cannot be read goes to `on_error` and is left out.

    Raises UsageError where there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"there is no folder {os.fspath(folder)}", hint="`cnnspec train` makes the first run")
    runs = []
    for path in sorted(Path(folder).iterdir()):
        try:
            if is_run(path):
                runs.append(open_run(path))
        except CnnspecError as error:
            on_error(error)
    return runs

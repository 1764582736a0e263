"""What the page of a network is given beyond the network: what it computes on samples, and its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnspec.api.specs import WeightedSpec
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.exporting.subject import Subject, of_known, of_run, of_spec
from cnnspec.language import Network
from cnnspec.training import Run

if TYPE_CHECKING:
    from cnnspec.api.networks import PathLike
    from cnnspec.pages.samples import Samples

__all__ = ["Shown", "page_parts"]


@dataclass(frozen=True)
class Shown:
    """What a page is to show of a network at work: with which weights, and on which images.

    `values` false leaves it out, also for a run; `live` gives the page the network itself, to be drawn on. `report` is
    told what could not be shown.
    """

    weights: PathLike | None = None
    images: Sequence[str] = ()
    data: str | None = None
    values: bool = True
    live: bool = False
    report: Callable[[str], None] = lambda text: None

    @property
    def is_asked(self) -> bool:
        """Whether something was named, so that it is an error where it cannot be shown."""
        return self.weights is not None or bool(self.images) or self.data is not None


def page_parts(network: Network, run: Run | None, beside: Run | None, shown: Shown) -> dict[str, Any]:
    """The keys `runs` and `computed` of a page's data, as far as they can be made.

    Raises UsageError and CnnspecError where what was asked for cannot be shown.
    """
    from cnnspec.pages.in_browser import check_live

    parts: dict[str, Any] = {}
    if run is not None:
        from cnnspec.pages.run_data import run_data

        parts["runs"] = [run_data(each) for each in (run, beside) if each is not None]
        if shown.values:
            for each, data in zip((run, beside), parts["runs"], strict=False):
                assert each is not None
                with _as_far_as_possible(each, "its images", shown):
                    data["judged"] = _judged(each, shown)
    if shown.live:
        check_live(network.graph)
        parts["computed"] = _computed(network, run, shown)
    elif shown.is_asked or (run is not None and shown.values):
        with _as_far_as_possible(run, "what it computes", shown):
            parts["computed"] = _computed(network, run, shown)
    return parts


@contextmanager
def _as_far_as_possible(run: Run | None, what: str, shown: Shown) -> Iterator[None]:
    """Where nothing but a run was named, what cannot be shown is told and left out."""
    try:
        yield
    except CnnspecError as error:
        if run is None or shown.is_asked:
            raise
        hint = f" ({error.hint})" if error.hint else ""
        shown.report(f"{run.path}: without {what}: {error.message}{hint}")


def _judged(run: Run, shown: Shown) -> dict[str, Any]:
    from cnnspec.scoring.assess import judge_run

    judged = judge_run(run, split="test" if (run.result or {}).get("test_images") else "val")
    from cnnspec.pages.run_judged import judged_data

    return judged_data(judged)


def _computed(network: Network, run: Run | None, shown: Shown) -> dict[str, Any]:
    from cnnspec.pages.computed import computed
    from cnnspec.pages.in_browser import in_browser

    subject = _subject(network, run, shown)
    samples = _samples(network, run, shown)
    data = computed(subject, samples, classes=subject.classes, report=shown.report)
    if shown.live:
        data["live"] = in_browser(subject, [each["layer"] for each in data["tensors"] if each["layer"] >= 0])
    return data


def _subject(network: Network, run: Run | None, shown: Shown) -> Subject:
    if run is not None:
        if shown.weights is not None:
            raise UsageError("a run has weights of its own", hint="name its spec to give it others")
        return of_run(run)
    if isinstance(network, WeightedSpec) and shown.weights is None:
        return of_known(network, network.weights, network.origin)
    if shown.weights is None:
        raise UsageError("there are no weights to compute with", hint="`--weights` names a file of them, or a run")
    return of_spec(network, shown.weights, 0)


def _samples(network: Network, run: Run | None, shown: Shown) -> Samples:
    from cnnspec.pages.samples import blank, noise, of_data, of_files

    graph = network.graph
    if shown.images:
        return of_files(graph, shown.images)
    if shown.data is None and run is None:
        if shown.live:
            return blank(graph)
        if len(graph.input_shape) != 3 or graph.input_shape[0] not in (1, 3):
            return noise(graph)
        raise UsageError(
            "on which images is it to be shown?", hint="`--images` names files or a folder, `--data` a data set"
        )
    from cnnspec.scoring.samples import open_set

    if run is not None:
        try:
            return of_data(graph, open_set(graph, shown.data or run.locate_data(), run.config, classes=run.classes))
        except CnnspecError as error:
            if not shown.live or shown.data is not None:
                raise
            shown.report(f"{run.path}: without its images: {error.message}")
            return blank(graph)
    assert shown.data is not None
    return of_data(graph, open_set(graph, shown.data))

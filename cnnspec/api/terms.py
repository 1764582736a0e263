"""What a front needs besides the functions and their results: the words that options take, and how values are written.

It hands names on, each from its module when it is first asked for, so that `cli` needs nothing from below `api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.api.later import import_later

if TYPE_CHECKING:
    from cnnspec.analysis.axis_sizes import FURTHEST
    from cnnspec.analysis.layer_sizes import find_operator
    from cnnspec.analysis.memory import OPTIMIZER_STATE, PRECISIONS
    from cnnspec.analysis.report import CONVENTION, OTHER
    from cnnspec.diagnostics import Paint, count, render, render_all, visible
    from cnnspec.graph import INPUT, MAX_NODES, PURPOSES, Purpose
    from cnnspec.importing.sources import parse_source, runs_code
    from cnnspec.intake import inputs_word
    from cnnspec.language.figures import show_figure
    from cnnspec.language.search_section import COSTS
    from cnnspec.language.spec_source import STDIN, parse_setting, read_file
    from cnnspec.ops import AXES, Shape, operators, show_shape
    from cnnspec.ops.describe import describe, families, siblings, summary
    from cnnspec.runtime.answers import Answer
    from cnnspec.runtime.pictures import with_pictures
    from cnnspec.runtime.readers import Readers
    from cnnspec.runtime.session import BATCH_SIZE, DEVICES, check_device
    from cnnspec.runtime.sources import expand
    from cnnspec.search.progress import SearchLines, trial_line
    from cnnspec.search.records import Standing
    from cnnspec.search.space import show_value
    from cnnspec.tasks import MASK_SIZES, figure_texts, figures_line
    from cnnspec.training.progress import Lines, epoch_line, speaks, time_left
    from cnnspec.training.run_folder import read_config
    from cnnspec.training.signals import Interrupted
    from cnnspec.zoo import is_bundled

__all__ = [
    "AXES",
    "BATCH_SIZE",
    "CONVENTION",
    "COSTS",
    "DEVICES",
    "FURTHEST",
    "INPUT",
    "MASK_SIZES",
    "MAX_NODES",
    "OPTIMIZER_STATE",
    "OTHER",
    "PRECISIONS",
    "PURPOSES",
    "STDIN",
    "Answer",
    "Interrupted",
    "Lines",
    "Paint",
    "Purpose",
    "Readers",
    "SearchLines",
    "Shape",
    "Standing",
    "check_device",
    "count",
    "describe",
    "epoch_line",
    "expand",
    "families",
    "figure_texts",
    "figures_line",
    "find_operator",
    "inputs_word",
    "is_bundled",
    "operators",
    "parse_setting",
    "parse_source",
    "read_config",
    "read_file",
    "render",
    "render_all",
    "runs_code",
    "show_figure",
    "show_shape",
    "show_value",
    "siblings",
    "speaks",
    "summary",
    "time_left",
    "trial_line",
    "visible",
    "with_pictures",
]

LATER: Final = {
    "cnnspec.analysis.axis_sizes": ("FURTHEST",),
    "cnnspec.analysis.layer_sizes": ("find_operator",),
    "cnnspec.analysis.memory": ("OPTIMIZER_STATE", "PRECISIONS"),
    "cnnspec.analysis.report": ("CONVENTION", "OTHER"),
    "cnnspec.zoo": ("is_bundled",),
    "cnnspec.graph": ("INPUT", "MAX_NODES", "PURPOSES", "Purpose"),
    "cnnspec.diagnostics": ("Paint", "count", "render", "render_all", "visible"),
    "cnnspec.intake": ("inputs_word",),
    "cnnspec.importing.sources": ("parse_source", "runs_code"),
    "cnnspec.language.spec_source": ("STDIN", "parse_setting", "read_file"),
    "cnnspec.language.figures": ("show_figure",),
    "cnnspec.language.search_section": ("COSTS",),
    "cnnspec.search.progress": ("SearchLines", "trial_line"),
    "cnnspec.search.records": ("Standing",),
    "cnnspec.search.space": ("show_value",),
    "cnnspec.ops": ("AXES", "Shape", "operators", "show_shape"),
    "cnnspec.ops.describe": ("describe", "families", "siblings", "summary"),
    "cnnspec.runtime.answers": ("Answer",),
    "cnnspec.runtime.pictures": ("with_pictures",),
    "cnnspec.runtime.readers": ("Readers",),
    "cnnspec.runtime.session": ("BATCH_SIZE", "DEVICES", "check_device"),
    "cnnspec.runtime.sources": ("expand",),
    "cnnspec.tasks": ("MASK_SIZES", "figure_texts", "figures_line"),
    "cnnspec.training.progress": ("Lines", "epoch_line", "speaks", "time_left"),
    "cnnspec.training.run_folder": ("read_config",),
    "cnnspec.training.signals": ("Interrupted",),
}
__getattr__ = import_later(__name__, LATER)

"""An analysis as a table, CSV, Markdown, LaTeX or JSON.

The table is laid out by hand: rich needs 0.4 s for the 500 layers of a large network, more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from cnnspec.api import LayerReport, Report
from cnnspec.api.terms import CONVENTION, OTHER, Shape, show_shape
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.figures import in_unit, shares, size_text
from cnnspec.cli.render.foreign import csv_line
from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

if TYPE_CHECKING:
    from cnnspec.api import Explanation, UnitField

__all__ = ["FORMATS", "check_columns", "render", "render_explanation", "render_field"]

FORMATS: Final = ("table", "json", "csv", "markdown", "latex")
DROPPED_FIRST: Final = ("share", "stride", "field", "MACs", "operator")  # where the terminal is too narrow
ROUNDED: Final = ("params", "MACs")  # before `field` or `MACs` is dropped, where that is enough to keep it


class Column(NamedTuple):
    """A column of the table: its heading, its text for each row, and on which side it is aligned."""

    heading: str
    texts: Callable[[Report], list[str]]
    left: bool = False
    sizes: bool = False  # holds sizes, `6x28x28`, where names may look like some


def _each(text: Callable[[LayerReport], str]) -> Callable[[Report], list[str]]:
    return lambda report: [text(row) for row in report.layers]


def _stride(row: LayerReport) -> str:
    strides = [str(stride) for stride in row.effective_stride]
    return strides[0] if len(set(strides)) == 1 else "x".join(strides) or "-"


def _shares(report: Report) -> list[str]:
    texts = shares([row.macs for row in report.layers])
    return [text if row.macs else "-" for row, text in zip(report.layers, texts, strict=True)]


COLUMNS: Final = (
    Column("layer", _each(lambda row: row.name), left=True),
    Column("operator", _each(lambda row: row.op), left=True),
    Column("output", _each(lambda row: show_shape(row.output_shape)), left=True, sizes=True),
    Column("field", _each(lambda row: row.field_text), sizes=True),
    Column("stride", _each(_stride), sizes=True),
    Column("params", _each(lambda row: f"{row.params:,}" if row.params else "-")),
    Column("MACs", _each(lambda row: f"{row.macs:,}" if row.macs else "-")),
    Column("share", _shares),
)


CSV_COLUMNS: Final[dict[str, Callable[[LayerReport], object]]] = {
    "name": lambda row: row.name,
    "op": lambda row: row.op,
    "output_shape": lambda row: show_shape(row.output_shape),
    "receptive_field": lambda row: show_shape(row.receptive_field),
    "effective_stride": lambda row: "x".join(str(stride) for stride in row.effective_stride),
    "effective_padding": lambda row: show_shape(row.effective_padding),
    "params": lambda row: row.params,
    "buffers": lambda row: row.buffers,
    "macs": lambda row: row.macs,
    "flops": lambda row: "" if row.flops is None else row.flops,
    "output_bytes": lambda row: row.output_bytes,
    "min_receptive_field": lambda row: show_shape(row.min_receptive_field),
    "global_context": lambda row: str(row.global_context).lower(),
    "aux": lambda row: str(row.aux).lower(),
    "dead": lambda row: str(row.dead).lower(),
    "sees_everything": lambda row: str(row.sees_everything).lower(),
}


def check_columns(form: str, chosen: Sequence[str]) -> None:
    """Raise UsageError for columns that the form of FORMATS does not have."""
    if chosen and form == "json":
        raise UsageError("`--columns` is for tables, and JSON has every figure", hint="`--format csv` has columns too")
    known = list(CSV_COLUMNS) if form == "csv" else [column.heading for column in COLUMNS]
    for name in chosen:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
            raise UsageError(f"`--format {form}` has no column `{name:.60}`", hint=hint)


def render(report: Report, form: str, width: int | None = None, chosen: Sequence[str] = ()) -> str:
    """The report in one of FORMATS other than json, with the columns chosen, in that order, or all.

    A table of all of them is fitted to `width` characters where one is given.
    """
    by_heading = {column.heading: column for column in COLUMNS}
    columns = [by_heading[heading] for heading in chosen] if form != "csv" and chosen else COLUMNS
    match form:
        case "csv":
            return _csv(report, chosen)
        case "markdown":
            return _markdown(report, columns)
        case "latex":
            return _latex(report, columns)
        case _:
            return _table(report, columns, width, fitted=not chosen)


def _cells(report: Report, columns: Sequence[Column]) -> list[list[str]]:
    return [list(row) for row in zip(*(column.texts(report) for column in columns), strict=True)]


def _total(report: Report, columns: Sequence[Column]) -> list[str]:
    totals = report.totals
    known = {
        "layer": "total",
        "operator": f"{totals.layers} layers",
        "params": f"{totals.params:,}",
        "MACs": f"{totals.macs:,}",
    }
    return [known.get(column.heading, "") for column in columns]


def _table(report: Report, all_columns: Sequence[Column], width: int | None, *, fitted: bool) -> str:
    columns, cells = _fitted(report, all_columns, width if fitted else None)
    rule = ["-" * max(map(len, column)) for column in cells]
    head, *body, total = zip(*cells, strict=True)
    left = {number for number, column in enumerate(columns) if column.left}
    lines = [
        f"{report.name}   input {show_shape(report.input)}{_purpose(report)}",
        "",
        *aligned([head, rule, *body, rule, total], left),
        "",
    ]
    shown = {column.heading for column in columns}
    hidden = [column.heading for column in all_columns if column.heading not in shown]
    if hidden:
        lines += [*_wrapped(f"not shown in {width} columns: {', '.join(hidden)}", width, 2), ""]
    for text in _summary(report):
        lines += _wrapped(text, width, 12)
    if any(row.global_context and not row.sees_everything for row in report.layers):
        lines += _wrapped("* and the whole input, through a global pool, a dense layer or a norm", width, 2)
    if any(row.field_parts for row in report.layers):
        fields = "fields      the largest over the channels; JSON and `--explain LAYER` tell them apart"
        lines += _wrapped(fields, width, 12)
    return "\n".join(lines)


def _fitted(report: Report, all_columns: Sequence[Column], width: int | None) -> tuple[list[Column], list[list[str]]]:
    """The columns for which there is room, and their texts from heading to total."""
    columns = list(all_columns)
    totals = _total(report, columns)
    cells = {
        column.heading: [column.heading, *column.texts(report), total]
        for column, total in zip(columns, totals, strict=True)
    }

    def fits() -> bool:
        widths = [max(map(len, cells[column.heading])) for column in columns]
        return width is None or sum(widths) + 2 * (len(widths) - 1) <= width

    for dropped in DROPPED_FIRST:
        if fits():
            break
        if dropped in ("field", "MACs"):
            exact = {heading: cells[heading] for heading in ROUNDED}
            cells |= {heading: list(map(_rounded, texts)) for heading, texts in exact.items()}
            if fits():
                break
            cells |= exact
        columns = [column for column in columns if column.heading != dropped]
    return columns, [cells[column.heading] for column in columns]


def _rounded(cell: str) -> str:
    """`115,605,504` as `116 M`: three digits of a number of four or more."""
    digits = cell.replace(",", "")
    if not digits.isdigit() or len(digits) < 4:
        return cell
    return in_unit(int(digits), "#.3g")


def _wrapped(text: str, width: int | None, indent: int) -> list[str]:
    """A line in lines of `width`, the further ones with an indent."""
    if width is None or len(text) <= width:
        return [text]
    from textwrap import wrap  # a narrow terminal only

    return wrap(text, max(width, indent + 20), subsequent_indent=" " * indent, break_on_hyphens=False)


def _summary(report: Report) -> list[str]:
    totals = report.totals
    flops = "unknown" if totals.flops is None else f"{totals.flops:,}"
    buffers = f", and {totals.buffers:,} numbers in buffers" if totals.buffers else ""
    lines = [
        f"parameters  {totals.params:,} = {size_text(totals.param_bytes)} in float32{buffers}",
        f"cost        {totals.macs:,} MACs, {flops} FLOPs per sample",
        *(f"            {part}" for part in CONVENTION.split("; ")),
    ]
    if other := report.other_lines():
        lines += [OTHER[report.purpose].ljust(12) + other[0], *(f"            {line}" for line in other[1:])]
    memory = report.memory
    training = "" if totals.training_bytes is None else f", {size_text(totals.training_bytes)} to train"
    lines.append(f"memory      {size_text(totals.peak_inference_bytes)} of tensors at the peak of inference{training}")
    lines.append(f"            (batch {memory.batch}, {memory.precision}, {memory.optimizer})")
    return lines


def _purpose(report: Report) -> str:
    """Which network is shown, where inference and training have different ones."""
    return f"   for {OTHER['train' if report.purpose == 'inference' else 'inference']}" if report.differs else ""


def _other(report: Report) -> list[str]:
    """What the other purpose's network has, as a line below a table."""
    lines = report.other_lines()
    return [f"{OTHER[report.purpose]}: {' '.join(lines)}"] if lines else []


def _csv(report: Report, chosen: Sequence[str]) -> str:
    cells = {head: CSV_COLUMNS[head] for head in chosen or CSV_COLUMNS}
    return "\n".join([csv_line(cells), *(csv_line([cell(row) for cell in cells.values()]) for row in report.layers)])


def _markdown(report: Report, columns: Sequence[Column]) -> str:
    rows = [*_cells(report, columns), [f"**{cell}**" if cell else "" for cell in _total(report, columns)]]
    lines = [
        "| " + " | ".join(column.heading for column in columns) + " |",
        "|" + "|".join(":--" if column.left else "--:" for column in columns) + "|",
        *("| " + " | ".join(cell.replace("|", r"\|").replace("*", r"\*") for cell in row) + " |" for row in rows[:-1]),
        "| " + " | ".join(rows[-1]) + " |",
        "",
        CONVENTION,
        *(part for line in _other(report) for part in ("", line)),
    ]
    return "\n".join(lines)


LATEX: Final = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def _latex(report: Report, columns: Sequence[Column]) -> str:
    def line(cells: Sequence[str]) -> str:
        texts = [_latex_cell(cell, sizes=column.sizes) for cell, column in zip(cells, columns, strict=True)]
        return " & ".join(texts) + r" \\"

    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            f"% {CONVENTION}",
            *(f"% {line}" for line in _other(report)),
            rf"\begin{{tabular}}{{{''.join('l' if column.left else 'r' for column in columns)}}}",
            r"\toprule",
            line([column.heading for column in columns]),
            r"\midrule",
            *map(line, _cells(report, columns)),
            r"\midrule",
            line(_total(report, columns)),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex_cell(cell: str, *, sizes: bool) -> str:
    r"""A cell as LaTeX: `6x28x28` as `$6 \times 28 \times 28$`, and a star behind it stays outside."""
    size, star = cell.rstrip("*"), cell[len(cell.rstrip("*")) :]
    numbers = size.split("x")
    if sizes and len(numbers) > 1 and all(number.isdigit() for number in numbers):
        return "$" + r" \times ".join(numbers) + "$" + star
    return cell.translate(LATEX)


def render_field(field: UnitField, input_shape: Shape) -> str:
    """The input rectangle of one unit as text."""

    def rectangle(bounds: tuple[tuple[int, int], ...] | None) -> str:
        if bounds is None:
            return "no pixel"
        sizes = "x".join(str(last - first + 1) for first, last in bounds)
        return f"{', '.join(f'{first}..{last}' for first, last in bounds)}  ({sizes})"

    channel = "" if field.channel is None else f" of channel {field.channel}"
    lines = [
        f"{field.layer}: unit {','.join(map(str, field.unit))}{channel} reads, of {show_shape(input_shape)}",
        f"  clipped    {rectangle(field.clipped)}",
        f"  unclipped  {rectangle(field.unclipped)}",
    ]
    if field.clipped and any(n < b - a + 1 for n, (a, b) in zip(field.pixels, field.clipped, strict=True)):
        lines.append(f"  of these   {show_shape(field.pixels)} pixels are read: dilation or stride leaves holes")
    if field.global_context:
        lines.append("  and the whole input, through a global pool, a dense layer or a norm")
    return "\n".join(lines)


def render_explanation(explanation: Explanation, width: int | None = None) -> str:
    """The arithmetic of one layer as text, in lines of `width` characters where one is given."""
    indent = max(len(heading) for heading, _ in explanation.lines) + 4
    lines = [f"{explanation.layer}: {explanation.call}"]
    for heading, text in explanation.lines:
        lines += _wrapped(f"  {heading.ljust(indent - 2)}{text}", width, indent)
    return "\n".join(lines)

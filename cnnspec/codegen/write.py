"""The entry: a network as stand-alone source for PyTorch, from the spec's own blocks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from cnnspec.codegen.classes import MappingClass
from cnnspec.codegen.context import Context
from cnnspec.codegen.expressions import UnsayableError, as_tree
from cnnspec.codegen.flat import flat_class
from cnnspec.codegen.known import Known, Pool
from cnnspec.codegen.layout import WIDTH, Brackets, Line, Node
from cnnspec.codegen.names import camel
from cnnspec.codegen.source_file import SourceFile
from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.language import Network, read_spec
from cnnspec.language.document import NOTHING, Expr
from cnnspec.language.spec_source import parse_setting
from cnnspec.ops import show_shape
from cnnspec.outline import refold

__all__ = ["Written", "write_code"]

LONG: Final = 40  # layers of a spec without blocks that is worth folding


class Written(NamedTuple):
    """Source: its text, and the name of the class that is the network. It is made without arguments."""

    text: str
    name: str


def write_code(network: Network) -> Iterator[Written]:
    """The source of a network, the best first; the others are ways out where that is not the network.

    It is written from the blocks of the spec; what they do not say in Python's words, from the blocks that the graph
    folds into, or layer by layer. Raises SpecError where layers that only training has refuse the input.
    """
    graph = network.graph.network("train")
    found: list[Written] = []
    with suppress(UnsayableError):
        found.append(spec_source(network))
    if not found or (not network.source.document.blocks and len(graph) > LONG):
        with suppress(UnsayableError, CnnspecError):
            found.append(spec_source(_refolded(graph)))
    yield from sorted(found, key=lambda each: each.text.count("\n"))
    yield flat_source(graph)


def _refolded(graph: Graph) -> Network:
    """The network with blocks for what repeats. Raises CnnspecError and UnsayableError."""
    made = refold(graph)
    network = Network.elaborate(read_spec("spec.yaml", made.text.encode()), purpose="train")
    outputs = graph.outputs + graph.aux_outputs
    if network.graph.state_shapes() != graph.state_shapes() or any(made.names[name] != name for name in outputs):
        raise UnsayableError("names that had to change")
    return network


def header(graph: Graph) -> list[str]:
    """The docstring of the file."""
    given = ", ".join(show_shape(graph.shape_of(name)) for name in graph.outputs)
    lines = [f"{graph.name}: {show_shape(graph.input_shape)} to {given}."]
    if graph.mean:
        mean, std = f"The input is normalised: mean {_listed(graph.mean)},", f"std {_listed(graph.std)}."
        both = f"{mean} {std}"
        lines += ["", *([both] if len(both) <= WIDTH else [mean, std])]
    escaped = [_plain(line) for line in lines]
    return ['"""' + escaped[0] + '"""'] if len(lines) == 1 else ['"""' + escaped[0], *escaped[1:], '"""']


def _plain(line: str) -> str:
    """A line for a docstring: a name may hold anything."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    return shown.replace("\\", "\\\\").replace('"', "'")


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(map(repr, numbers))


def spec_source(network: Network) -> Written:
    """The source as the spec is written. Raises UnsayableError."""
    document = network.source.document
    graph = network.graph.network("train")
    outcome = network.source.outcome(
        variant=network.variant,
        params=network.params,
        input_shape=network.input_override,
        max_nodes=network.max_nodes,
    )
    known = Known.of(document, graph, outcome.uses)
    file = SourceFile(known)
    name = known.names.new_class(camel(graph.name))
    main = _main(file, name)
    file.check_runs()
    early, late = _constants(file, network)
    return Written(file.text(late, early, header(graph), main), name)


def flat_source(graph: Graph) -> Written:
    """The source of a graph, layer by layer."""
    file = SourceFile(Known.of(NOTHING, graph, ()))
    name = file.known.names.new_class(camel(graph.name))
    lines, needed = flat_class(graph, name)
    for each in needed:
        file.need(each)
    return Written(file.text([], [], header(graph), lines), name)


def _main(file: SourceFile, name: str) -> list[Line]:
    """The class of the whole network."""
    known = file.known
    block, graph = known.document.main, known.graph
    assert block.body is not None
    if block.inputs:
        raise UnsayableError("a network of several inputs")
    ctx = Context(file, block, frozenset(), is_main=True)
    pool: Pool = [ast.Constant(size) for size in dict.fromkeys((graph.input_shape[0], graph.input_shape[-1]))]
    header = known.document.header
    several = len(graph.outputs) > 1 or bool(graph.aux_outputs)
    if not several and not header.outputs:
        made, _ = file.body_class(ctx, name, block.body, ("input",), pool)
        return file.opening(name, ctx, made, (), [])
    writer = MappingClass(ctx, file, ("input",))
    writer.write(block.body, pool)
    by_node = _steps(known, writer)
    if not set(graph.outputs + graph.aux_outputs) <= by_node.keys():
        raise UnsayableError("outputs inside of blocks")
    results = {output: by_node[output] for output in graph.outputs + graph.aux_outputs}
    writer.forward.join = None
    writer.forward.joined = []
    file.need("nn")
    if several:
        forward = list(writer.forward.lines(results, graph.aux_outputs))
    else:
        writer.forward.result = results[graph.outputs[0]]
        forward = list(writer.forward.lines())
    file.idle += writer.left_out()
    file.training += writer.left_out(training=True)
    made = ("nn.Module", [Line(2, "super().__init__()"), *ctx.lines], forward)
    return file.opening(name, ctx, made, (), [])


def _steps(known: Known, writer: MappingClass) -> dict[str, int | str]:
    """The steps by the nodes that they come to."""
    found: dict[str, int | str] = {}
    for index, item in enumerate(writer.items):
        for use in known.of_item(item):
            found[use.result.name] = index
    return found


def _constants(file: SourceFile, network: Network) -> tuple[list[Line], list[Line]]:
    """The document's parameters and local values that anything uses: those that name no class, and those that do."""
    document = network.source.document
    variant = document.variants[network.variant] if network.variant is not None else ()
    given: dict[str, Expr | None] = {arg.name or "": arg.expr for arg in variant}
    given |= {name: parse_setting(f"{name}={value}")[1] for name, value in network.params.items()}
    values: list[tuple[str, Expr | None]] = [(p.name, given.get(p.name, p.default)) for p in document.main.params]
    values += document.main.let
    ctx = Context(file, document.main, frozenset(), is_main=True)
    texts: dict[str, Node] = {}
    for name, expr in reversed(values):
        if f"={name}" in file.whole().needed:
            tree = as_tree(expr)
            if tree is None:
                raise UnsayableError("a word")
            texts[name] = _node(ctx, tree)
    names = file.known.names.values
    if not file.has_all_values():
        raise UnsayableError("a block that nothing calls as a value")
    early: list[Line] = []
    late: list[Line] = []
    later: set[str] = set()
    for name, expr in values:
        if name in texts:
            tree = as_tree(expr)
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree is not None else set()
            behind = bool(used & (document.blocks.keys() | later | {"make_divisible"}))
            later |= {name} if behind else set()
            (late if behind else early).append(Line(0, f"{names[name]} = ", texts[name]))
    return early, late


def _node(ctx: Context, tree: ast.expr) -> Node:
    """A value, list by list."""
    if isinstance(tree, ast.List) and tree.elts:
        return Brackets("", tuple(_node(ctx, item) for item in tree.elts), pair="[]")
    return ctx.text(tree)

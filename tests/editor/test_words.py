"""What is said of the word under the cursor, what can be written at a place, and where names are."""

from __future__ import annotations

from cnnspec.editor.complete import complete, signature
from cnnspec.editor.hover import hover
from cnnspec.editor.names import Names
from cnnspec.editor.sections import ITEM, Options, keys_below, no_options
from cnnspec.editor.snapshot import Choice, Snapshot, look
from cnnspec.editor.structure import folds, structure
from cnnspec.language.read_parts import BLOCK_KEYS, ITEM_KEYS, TOP_KEYS
from cnnspec.language.schema import json_schema
from cnnspec.lsp.training import training_options
from cnnspec.training.config import TrainConfig
from cnnspec.zoo import find

TEXT = """cnnspec: 1
input: [3, 32, 32]
params: {width: 8}
variants:
  wide: {width: 16}
blocks:
  Unit:
    params: {out: int, stride: 1}
    let: {half: out // 2}
    layers:
      conv: Conv2d(half, 3, stride=stride, padding=1)
      relu: ReLU
      sum: Add(conv, relu)
layers:
  stem: Conv2d(width * 2, 3, padding=same)
  unit: Unit(width * 4, 2)
  more: Unit(width * 8) * 2
  flatten: Flatten
  fc: Linear(10)
"""


def at(text: str, word: str, skip: int = 0) -> tuple[int, int]:
    """The line and column (from 1) of a word, in the middle of it."""
    start = -1
    for _ in range(skip + 1):
        start = text.index(word, start + 1)
    line = text.count("\n", 0, start) + 1
    return line, start - (text.rfind("\n", 0, start) + 1) + 1 + len(word) // 2


def said(word: str, skip: int = 0, snapshot: Snapshot | None = None, options: Options = no_options) -> str:
    snapshot = snapshot or look(TEXT)
    found = hover(snapshot, *at(snapshot.text, word, skip), options=options)
    return "" if found is None else found.markdown


def test_hover_says_what_words_mean() -> None:
    assert "# Conv1d, Conv2d, Conv3d" in said("Conv2d")
    assert "`padding` of Conv2d, by default" in said("padding", 1)
    assert said("width", 2) == "parameter `width`\n\n- as declared: `8`\n- wide: `16`"
    assert said("half", 1) == "`half` = `16` or `32`"
    assert "| unit |" in said("Unit", 1)
    assert "more.0" in said("more")
    held = look(TEXT.replace("{width: 8}", "{width: 8, part: Unit}").replace("r: Unit(", "r: part("))
    assert "| unit |" in said("Unit", 1, held)
    assert said("* 4") == "`width * 4` = `32`"


def test_hover_says_what_is_wrong() -> None:
    snapshot = look(TEXT.replace("ReLU", "ReL"))
    found = hover(snapshot, *at(snapshot.text, "ReL"), findings=snapshot.outcome.diagnostics)
    assert found is not None
    assert found.markdown.startswith("# E103")


def test_hover_of_nothing_is_nothing() -> None:
    snapshot = look(TEXT)
    lines = TEXT.split("\n")
    for line in range(1, len(lines) + 1):
        for column in range(1, len(lines[line - 1]) + 2):
            hover(snapshot, line, column)
    assert hover(snapshot, 1, 10) is None
    assert hover(snapshot, 999, 1) is None


def labels(text: str, choice: Choice | None = None, options: Options = no_options) -> list[str]:
    """What can be written where the text has a `|`."""
    before, after = text.split("|")
    snapshot = look(before + after, before=look(TEXT), choice=choice)
    line = before.count("\n") + 1
    return [each.label for each in complete(snapshot, line, len(before) - (before.rfind("\n") + 1) + 1, options)]


def test_completion_knows_where_it_is() -> None:
    assert labels(TEXT + "out|") == ["outputs", "aux_outputs"]
    assert labels(TEXT + "task: seg|") == ["segmentation"]
    assert labels(TEXT + "task: {ty|")[0] == "type"
    assert labels(TEXT + "  last: Lin|")[0] == "Linear"
    assert "params" not in labels(TEXT + "|")  # which stands there already
    assert "Unit" in labels(TEXT + "  last: |")
    assert labels(TEXT.replace("Linear(10)", "Linear(wid|")).count("width") == 1
    assert labels(TEXT + "  la|") == []  # a name of its own
    assert labels(TEXT + "  last:\n    ty|") == ["type"]
    assert labels(TEXT + "outputs: [fl|") == ["flatten"]
    assert labels(TEXT.replace("ReLU", "ReLU(inp|"))[0] == "inplace"
    assert labels(TEXT.replace("padding=same", "padd|"))[0] == "padding"
    assert labels(TEXT.replace("padding=same", "padding=s|"))[0] == "same"
    assert labels(TEXT.replace("Unit(width * 4, 2)", "Unit(str|"))[0] == "stride"
    assert labels(TEXT.replace("Add(conv, relu)", "Add(co|"))[0] == "conv"
    assert labels(TEXT.replace("fc: Linear(10)", "fc: Linear(10)(fl|"))[0] == "flatten"
    assert labels(TEXT.replace("wide: {width", "wide: {wi|"))[0] == "width"


def test_completion_offers_what_the_long_form_of_a_layer_takes() -> None:
    long = TEXT + "  last:\n    type: Conv2d\n"
    assert labels(long + "    kern|")[0] == "kernel_size"
    assert labels(long + "    repe|") == ["repeat"]
    assert labels(long + "    padding_mode: |")[:4] == ["zeros", "reflect", "replicate", "circular"]
    assert labels(TEXT + "  last:\n    kern|\n    type: Conv2d")[0] == "kernel_size"
    assert labels(TEXT + "  last: {type: Conv2d, kern|")[0] == "kernel_size"
    assert labels(TEXT + "  last: {type: Soft|")[0] == "Softplus"
    assert labels(TEXT + "  last:\n    type: Unit\n    str|")[0] == "stride"
    assert "kernel_size" not in labels(TEXT + "  one:\n    type: Conv2d\n  other:\n    |")


def test_completion_knows_the_codes_that_may_be_ignored() -> None:
    for text in ("lint: {ignore: [W305, W31|", "lint:\n  ignore: [W31|", "lint:\n  ignore:\n    - W31|"):
        assert labels(TEXT + text)[:10] == [f"W{number}" for number in range(310, 320)], text


def test_a_key_that_is_written_anew_is_offered_though_the_text_before_had_it() -> None:
    assert labels(TEXT.replace("\nlayers:", "\nlay|")) == ["layers"]


def test_completion_knows_what_a_parameter_may_be() -> None:
    assert "ReLU" in labels(TEXT.replace("{width: 8}", "{width: 8, act: Re|}"))
    assert labels(TEXT.replace("{width: 8}", "{width: 8, de|}")) == []  # a name of its own
    assert labels(TEXT.replace("{width: 8}", "\n  width: 8\n  norm: Tr|"))[0] == "True"
    assert labels(TEXT.replace("{width: 8}", "{width: |}")).count("width") == 0
    assert "in_channels" not in labels(TEXT.replace("{width: 8}", "{width: 8, in: in_|}"))
    assert labels(TEXT.replace("out: int", "out: i|"))[:2] == ["int", "in_channels"]
    assert "Unit" in labels(TEXT.replace("out: int", "out: int, of: Un|"))
    assert labels(TEXT.replace("out // 2", "ou|"))[0] == "out"
    assert labels(TEXT.replace("{half: out // 2}", "\n      half: out // str|"))[0] == "stride"
    assert "half" not in labels(TEXT.replace("out // 2", "ha|"))
    assert not {"out", "stride", "half"} & {*labels(TEXT.replace("out: int", "out: |"))}  # they come after it


def test_signature_follows_the_cursor() -> None:
    def active(text: str) -> str | None:
        before, after = text.split("|")
        found = signature(look(before + after), before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None if found is None or found.active is None else found.arguments[found.active]

    assert active(TEXT.replace("Linear(10)", "Linear(|10)")) == "out_features"
    assert active(TEXT.replace("width * 2, 3", "width * 2, |3")) == "kernel_size"
    assert active(TEXT.replace("padding=same", "padding=|same")) == "padding"
    assert active(TEXT.replace("Unit(width * 4, 2)", "Unit(width * 4, |2)")) == "stride"
    assert active(TEXT.replace("Flatten", "Flatten|")) is None


def test_names_are_found_where_they_are_used() -> None:
    names = Names(look(TEXT).source.document, TEXT.split("\n"))
    for word, times in (("width", 5), ("Unit", 3), ("half", 2), ("conv", 2), ("out", 2), ("stride", 2)):
        found = names.at(*at(TEXT, word))
        assert found is not None
        places = names.of(found.symbol)
        assert len(places) == times, word
        assert all(TEXT.split("\n")[p.place.line - 1][p.place.column - 1 :].startswith(word) for p in places)


def test_names_of_the_zoo_are_where_they_say() -> None:
    for name in ("resnet18", "efficientnet_b0", "shufflenet_v2_x0_5", "googlenet"):
        text = find(name)[0].read_text("utf-8")
        lines = text.split("\n")
        for each in Names(look(text).source.document, lines).all:
            line, column, _, end = each.place.span
            assert lines[line - 1][column - 1 : end - 1] == each.symbol.name


def test_the_outline_is_that_of_the_text() -> None:
    parts = structure(look(TEXT))
    assert [part.name for part in parts] == ["width", "Unit", "stem", "unit", "more", "flatten", "fc"]
    assert [part.name for part in parts[1].children] == ["out", "stride", "conv", "relu", "sum"]
    assert parts[1].span.end_line == 13
    assert (7, 13) in list(folds(TEXT.split("\n")))


SEARCHED = (
    TEXT
    + """search:
  space:
    width: {int: [4, 32]}
  limits: {params: 500k}
"""
)


def test_a_search_section_is_completed_explained_and_renamed_with_the_rest() -> None:
    assert {"space", "limits", "trials"} <= {*labels(TEXT + "search:\n  |")}
    assert {"width"} == {*labels(TEXT + "search:\n  space:\n    |")}
    assert {"int", "float", "log", "step"} == {*labels(TEXT + "search:\n  space:\n    width: {|")}
    assert {"int", "log"} < {*labels(TEXT + "search:\n  space: {width: {|")}
    assert {"params", "field", "latency"} < {*labels(TEXT + "search:\n  limits: {|")}
    assert {"tpe", "random"} == {*labels(TEXT + "search:\n  sampler: |")}
    snapshot = look(SEARCHED)
    assert "parameters" in said("params", 2, snapshot)
    assert "what a network may cost" in said("limits", 0, snapshot)
    assert "parameter `width`" in said("width", 5, snapshot)
    names = Names(snapshot.source.document, snapshot.lines)
    found = names.at(*at(SEARCHED, "width", 5))
    assert found is not None
    places = [each.place.line for each in names.of(found.symbol)]
    assert places == [3, 5, 15, 16, 17, 22]


def test_every_key_of_a_section_has_a_meaning() -> None:
    schema = json_schema()["properties"]
    wanted = {
        (): {*TOP_KEYS},
        ("input",): {*schema["input"]["then"]["properties"]},
        ("lint",): {*schema["lint"]["properties"]},
        ("search",): {*schema["search"]["properties"]},
        ("train",): {*TrainConfig.model_fields},
        ("blocks", "Unit"): {*BLOCK_KEYS},
    }
    assert {*ITEM} == {*ITEM_KEYS}
    for path, keys in wanted.items():
        known = keys_below(path, training_options)
        assert {*known} == keys
        assert all(key.meaning for key in known.values())


def test_options_of_training_are_completed_with_what_they_mean() -> None:
    def trained(text: str) -> list[str]:
        return labels(TEXT + text, options=training_options)

    assert {*trained("train:\n  |")} == {*TrainConfig.model_fields}
    assert trained("train: {batch|")[0] == "batch_size"
    assert trained("train: {optimizer: |") == trained("train:\n  optimizer: |") == ["sgd", "adam", "adamw"]
    assert trained("train:\n  nesterov: t|") == ["true"]
    assert trained("train:\n  lr: 0.1 |") == []
    assert "lr" not in trained("train:\n  epochs: 3\n  lr: 0.1\n  |")
    assert trained("search: {space: {train.opt|")[0] == "train.optimizer"
    assert trained("search:\n  space:\n    train.optimizer: [sgd, ad|") == ["adam", "adamw"]
    assert trained("input: {fit: |") == ["stretch", "crop"]

    snapshot = look(TEXT + "train:\n  lr: 0.1\n  freeze_until: stem\n  augment: photo\n")
    field = TrainConfig.model_fields["lr"]
    told = said("lr:", 0, snapshot, training_options)
    assert told == f"`lr` of `train`: {field.description}\n\nby default `{field.default}`"
    assert "takes `photo`, `digits`, `none`" in said("augment", 0, snapshot, training_options)
    assert "freeze all layers that run before" in said("freeze_until", 0, snapshot, training_options)
    json = look('{"cnnspec": 1,\n "input": [3, 8, 8],\n "layers": ["ReLU"],\n "train": {"lr": 0.1}}', "net.json")
    assert said("lr", 0, json, training_options) == told

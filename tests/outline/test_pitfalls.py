"""What goes wrong when a flat graph is folded, each as a small network: what a person would have written comes out."""

import pytest
from graphs import Flat, bundled, check, folded, lines

from cnnspec.graph import Graph
from cnnspec.outline import Refolded, refold, refold_family


def residual(flat: Flat, path: str, out: int, stride: int = 1, *, project: bool = False, last: bool = True) -> None:
    """A basic block, as torchvision has it: `last` says whether the skip is the last operand."""
    before = flat.last
    flat.conv(f"{path}.conv1", out, 3, stride=stride, bias=False)
    flat.add(f"{path}.relu", "ReLU")
    main = flat.conv(f"{path}.conv2", out, 3, bias=False)
    skip = flat.conv(f"{path}.downsample.0", out, 1, before, stride=stride) if project else before
    flat.add(f"{path}.add", "Add", *((main, skip) if last else (skip, main)))


def resnet() -> tuple[Flat, dict[str, str]]:
    flat = Flat(8, 32, 32)
    classes = {}
    for stage, out in enumerate((8, 16, 32)):
        for copy in range(3):
            first = stage > 0 and copy == 0
            residual(flat, f"layer{stage + 1}.{copy}", out, 2 if first else 1, project=first)
            classes |= {f"layer{stage + 1}.{copy}": "BasicBlock", f"layer{stage + 1}": "Sequential"}
            if first:
                classes[f"layer{stage + 1}.{copy}.downsample"] = "Sequential"
    return flat, classes


def test_a_stage_is_one_line_and_its_projection_a_condition_on_stride_and_shape() -> None:
    text = lines(folded(*resnet()))
    assert "BasicBlock:" in text
    assert "params: {out: int, stride: 1}" in text
    assert "when: stride != 1 or in_channels != out" in text
    assert "- Conv2d(out, 1, stride=stride)" in text  # not 2, which all that have it have
    assert text[-3:] == [
        "layer1: BasicBlock(8) * 3",
        "layer2: BasicBlock(16, stride=2 if i == 0 else 1) * 3",
        "layer3: BasicBlock(32, stride=2 if i == 0 else 1) * 3",
    ]


def test_without_classes_the_same_block_comes_out_under_another_name() -> None:
    flat, classes = resnet()
    named, bare = folded(flat, classes), folded(flat)
    assert named.count("\n") == bare.count("\n")
    assert "  Layer:" in bare


def test_an_optional_skip_has_the_main_path_as_its_last_operand() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, (out, stride) in enumerate([(8, 1), (16, 2), (16, 1), (32, 1), (32, 1)]):
        before = flat.last
        expanded = flat.shapes[before][0] * 4
        flat.conv(f"blocks.{number}.expand", expanded, stride=stride)
        flat.conv(f"blocks.{number}.project", out)
        if stride == 1 and flat.shapes[before][0] == out:
            flat.add(f"blocks.{number}.add", "Add", f"blocks.{number}.project", before)
        classes[f"blocks.{number}"] = "Inverted"
    text = folded(flat, classes)
    assert "add: Add(input, project) if stride == 1 and in_channels == out" in text
    assert "expand: Conv2d(4 * in_channels, 1, stride=stride)" in text


def test_the_items_that_all_have_are_solved_before_an_optional_one_steals_the_expression() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, expand in enumerate((1, 6, 6, 6)):
        inside = flat.shapes[flat.last][0]
        if expand != 1:
            flat.conv(f"b.{number}.expand", inside * expand)
        flat.conv(f"b.{number}.depthwise", inside * expand, 3, groups=inside * expand)
        flat.conv(f"b.{number}.project", (8, 16, 24, 40)[number])
        classes[f"b.{number}"] = "MBConv"
    text = folded(flat, classes)
    assert "params: {out: int, expand: 6}" in text
    assert "expand: Conv2d(in_channels * expand, 1) if expand != 1" in text
    assert "depthwise: Conv2d(in_channels * expand, 3, padding=1, groups=in_channels * expand)" in text


def test_a_condition_that_only_happens_to_hold_is_a_flag() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, (k, gate) in enumerate([(3, False), (5, True), (3, False), (5, True)]):
        flat.conv(f"b.{number}.conv", 8, k)
        if gate:
            flat.add(f"b.{number}.norm", "BatchNorm2d")
        flat.conv(f"b.{number}.last", 8)
        classes[f"b.{number}"] = "Block"
    text = folded(flat, classes)
    assert "norm: BatchNorm2d if norm" in text
    assert "if k" not in text


def test_true_is_not_one_and_a_float_is_no_whole_number() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, bias in enumerate((True, False, True)):
        flat.conv(f"b.{number}.conv", 8, 1, stride=1, bias=bias)
        flat.add(f"b.{number}.drop", "Dropout", p=1.0 if bias else 0.5)
        flat.conv(f"b.{number}.last", 8, 1, groups=1 if bias else 2)
        classes[f"b.{number}"] = "Block"
    text = folded(flat, classes)
    assert "bias=bias" in text
    assert "p=bias" not in text
    assert "groups=bias" not in text


def test_defaults_are_those_of_the_callee() -> None:
    text = folded(*resnet())
    assert "dilation" not in text
    assert "BasicBlock(8, stride=1)" not in text


def test_activations_stand_for_each_other() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, act in enumerate(("ReLU", "Hardswish", "Hardswish", None)):
        flat.conv(f"b.{number}.0", 8, 3)
        flat.add(f"b.{number}.1", "BatchNorm2d")
        if act:
            flat.add(f"b.{number}.2", act)
        classes[f"b.{number}"] = "ConvNormAct"
    text = folded(flat, classes)
    assert "params: {act: Hardswish}" in text
    assert "- act" in lines(text)
    assert "ConvNormAct(act=None)" in text


def test_keys_that_count_are_copies() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number in range(1, 5):
        flat.conv(f"block.dense{number}.conv1", 8)
        flat.conv(f"block.dense{number}.conv2", 8)
        classes[f"block.dense{number}"] = "Dense"
    assert "dense{i + 1}: Dense * 4" in folded(flat, classes)


def test_a_copy_that_is_read_by_name_stays_by_itself() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number in range(1, 5):
        flat.conv(f"dense{number}.conv1", 8)
        flat.conv(f"dense{number}.conv2", 8)
        classes[f"dense{number}"] = "Dense"
    flat.add("add", "Add", "dense2.conv2", "dense4.conv2")
    assert "Add(dense2, dense4)" in folded(flat, classes)


def test_a_chain_of_concatenations_reads_the_one_before() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    features = [flat.last]
    for number in range(1, 6):
        flat.add(f"layer{number}.cat", "Concat", *features)
        flat.conv(f"layer{number}.conv1", 16)
        features.append(flat.conv(f"layer{number}.conv2", 4, 3))
        classes[f"layer{number}"] = "DenseLayer"
    flat.add("cat", "Concat", *features)
    text = folded(flat, classes)
    assert "cat: Concat(input, conv2)" in text
    assert "layer{i + 1}: DenseLayer * 5" in text


def test_children_side_by_side_are_a_body_side_by_side() -> None:
    flat = Flat(8, 16, 16)
    flat.conv("inception.one", 4, 1, "input")
    flat.conv("inception.two.0", 4, 1, "input")
    flat.conv("inception.two.1", 8, 3)
    flat.add("inception.cat", "Concat", "inception.one", "inception.two.1")
    text = lines(folded(flat))
    assert text[text.index("inception:") + 1] == "concat:"


def test_what_runs_between_the_layers_of_a_list_takes_it_apart() -> None:
    flat = Flat(8, 16, 16)
    one = flat.conv("downs.0", 8)
    pooled = flat.add("pool", "MaxPool2d", kernel_size=2)
    two = flat.conv("downs.1", 16)
    flat.add("pool2", "MaxPool2d", pooled, kernel_size=1)
    flat.add("cat", "Concat", two, "pool2")
    flat.add("up", "Upsample", scale_factor=2)
    flat.add("last", "Concat", one, "up")
    graph = flat.graph()
    refolded = refold(graph, {"downs": "ModuleList"})
    check(graph, refolded)
    assert refolded.names["downs.0"] == "downs_0"
    assert "`downs.0` is `downs_0`" in refolded.notes[0]


def test_outputs_inside_of_scopes_are_named() -> None:
    flat = Flat(8, 16, 16)
    flat.conv("features.0", 8)
    head = flat.conv("head.conv", 4)
    flat.conv("features.1", 8, 1, "features.0")
    check(flat.graph(flat.last, aux=(head,)), refold(flat.graph(flat.last, aux=(head,))))


def test_the_number_of_blocks_is_no_more_than_that_of_classes() -> None:
    graph = bundled("resnet50")
    paths = {node.name.rpartition(".")[0] for node in graph if node.name.startswith("layer")}
    classes = {path: "Sequential" if path.endswith("downsample") else "Bottleneck" for path in paths}
    text = refold(graph, classes).text
    assert text.count("params: {") == 1
    assert text.count("\n") <= 36


# Lists ------------------------------------------------------------------------------------------------------------


def vgg(*plan: int) -> Flat:
    flat = Flat(3, 64, 64)
    number = 0
    for channels in plan:
        if channels:
            flat.conv(f"features.{number}", channels, 3)
            flat.add(f"features.{number + 1}", "ReLU")
        else:
            flat.add(f"features.{number}", "MaxPool2d", kernel_size=2)
        number += 2 if channels else 1
    flat.add("flatten", "Flatten")
    return flat


def test_what_comes_again_in_a_list_is_said_once() -> None:
    text = lines(folded(vgg(8, 0, 8, 0, 12, 12, 0, 16, 16, 0)))
    assert text[text.index("features:") + 1 :][:5] == [
        "- inline:",
        "- Conv2d([8, 8, 12, 12, 16, 16][i], 3, padding=1)",
        "- ReLU",
        "- MaxPool2d(2) if i == 0 or i % 2 == 1",
        "repeat: 6",
    ]


def test_where_the_pools_are_is_not_said_in_brackets_that_are_not_needed() -> None:
    text = folded(vgg(8, 8, 0, 16, 16, 0, 24, 24, 24, 0, 24, 24, 24, 0, 24, 24, 24, 0))
    assert "MaxPool2d(2) if i == 1 or i == 3 or i == 6 or i == 9 or i == 12" in text


def test_channels_in_equal_steps_are_an_expression() -> None:
    assert "Conv2d(8 * (i + 1), 3, padding=1)" in folded(vgg(8, 16, 24, 32, 40))


def test_what_comes_twice_and_differs_stays_as_it_is() -> None:
    assert "inline" not in folded(vgg(8, 0, 16, 0))


def test_rates_that_grow_are_an_expression_and_one_that_is_not_used_is_any() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number in range(6):
        before = flat.last
        flat.conv(f"b.{number}.conv", 8, 3, stride=2 if number == 0 else 1)
        if number:
            flat.add(f"b.{number}.drop", "StochasticDepth", p=0.2 * (number + 3) / 16)
            flat.add(f"b.{number}.add", "Add", before, f"b.{number}.drop")
        classes[f"b.{number}"] = "Block"
    assert "b: Block(stride=2 if i == 0 else 1, p=0.0125 * (i + 3)) * 6" in folded(flat, classes)


def test_branches_side_by_side_are_copies() -> None:
    flat = Flat(8, 16, 16)
    for number in range(5):
        flat.add(f"maps.{number}.0", "Slice", "input", start=number, end=number + 3)
        flat.conv(f"maps.{number}.1", 1)
    flat.add("maps.cat", "Concat", *(f"maps.{number}.1" for number in range(5)))
    text = lines(folded(flat))
    where = text.index("concat:")
    assert text[where + 1 : where + 5] == ["- layers:", "- Slice(i, i + 3)", "- Conv2d(1, 1)", "repeat: 5"]


# Blocks -----------------------------------------------------------------------------------------------------------


def inverted(classes: dict[str, str]) -> str:
    """A list of layers inside of a block, as a person writes `self.conv = nn.Sequential(...)`."""
    flat = Flat(8, 16, 16)
    for number, out in enumerate((8, 16, 16, 24)):
        before = flat.last
        flat.conv(f"b.{number}.conv.0", 2 * flat.shapes[before][0])
        flat.add(f"b.{number}.conv.1", "ReLU")
        flat.conv(f"b.{number}.conv.2", out)
        flat.conv(f"b.{number}.last", out, 3)
        if flat.shapes[before][0] == out:
            flat.add(f"b.{number}.add", "Add", before, f"b.{number}.last")
    return folded(flat, classes)


def test_what_is_called_in_one_place_stands_there_unless_a_class_names_it() -> None:
    bare, named = inverted({}), inverted({f"b.{number}.conv": "Narrow" for number in range(4)})
    assert bare.count("params: {out: int}") == 1
    assert "conv: Narrow(out)" in named


def test_a_block_without_its_activation_is_the_block_that_has_one() -> None:
    flat = Flat(8, 16, 16)
    for number in range(3):
        before = flat.last
        for key, act in (("a", True), ("b", True), ("c", False)):
            flat.conv(f"s.{number}.{key}.0", 8, 3 if key == "b" else 1, bias=False)
            flat.add(f"s.{number}.{key}.1", "BatchNorm2d")
            if act:
                flat.add(f"s.{number}.{key}.2", "ReLU")
        flat.add(f"s.{number}.add", "Add", before, f"s.{number}.c.1")
    text = folded(flat)
    assert text.count("BatchNorm2d") == 1
    assert "act=None" in text


def test_channels_that_are_padded_are_a_part_of_the_input() -> None:
    assert "ZeroPad2d((in_channels // 2, in_channels // 2, 0, 0))" in refold(bundled("resnet20")).text


# Families -----------------------------------------------------------------------------------------------------------


def family(*names: str) -> tuple[list[Graph], str]:
    graphs = [bundled(name) for name in names]
    made = refold_family([(graph, {}) for graph in graphs])
    for number, (graph, known) in enumerate(zip(graphs, made.names, strict=True)):
        check(graph, Refolded(made.text, known), graph.name if number else None)
    return graphs, made.text


def test_a_family_is_one_spec_with_variants() -> None:
    _, text = family("resnet50", "resnet101", "resnet152")
    assert "resnet101: {depths: " in text
    assert "resnet152: {depths: " in text


def test_what_holds_for_one_member_has_to_hold_for_all() -> None:
    _, text = family("resnet50", "wide_resnet50_2", "resnext50_32x4d")
    assert "conv3: Conv2d(out, 1, bias=False)" in text  # though it is 4 * hidden in the first of them


def test_networks_that_are_no_family_are_refused() -> None:
    with pytest.raises(Exception, match="too different for one spec"):
        family("resnet50", "vgg11")


def test_what_is_inside_of_a_layer_with_weights_goes_beside_it() -> None:
    """A norm that its activation is a part of keeps its name, and so its weights theirs."""
    flat = Flat(3, 8, 8)
    classes = {}
    for number in range(2):
        flat.conv(f"{number}.conv", 4)
        flat.add(f"{number}.bn1", "BatchNorm2d")
        flat.add(f"{number}.bn1.act", "ReLU")
        flat.conv(f"{number}.act2", 4)
        flat.add(f"{number}.bn2", "BatchNorm2d")
        flat.add(f"{number}.bn2.act", "PReLU")
        classes |= {str(number): "Block", f"{number}.bn1": "BatchNormAct2d"}
    refolded = refold(flat.graph(), classes)
    check(flat.graph(), refolded)
    assert [refolded.names[f"1.{key}"] for key in ("bn1", "bn1.act", "bn2")] == ["1.bn1", "1.act1", "1.bn2"]
    assert refolded.names["1.bn2.act"] == "1.bn2_act"
    assert any("`1.bn2.act` is `1.bn2_act`" in note for note in refolded.notes)
    assert refolded.text.count("Block") == 2

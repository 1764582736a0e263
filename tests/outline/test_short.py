"""What a person says in one line comes out in one: small networks, each with something that could take several."""

from graphs import Flat, folded, lines


def test_layers_without_weights_stand_in_the_place_of_the_scope_that_held_them() -> None:
    flat = Flat(8, 16, 16)
    flat.conv("conv", 8)
    flat.add("head.global_pool.pool", "AdaptiveAvgPool2d", output_size=1)
    flat.add("head.global_pool.flatten", "Flatten")
    flat.add("head.fc", "Linear", out_features=4)
    text = lines(folded(flat, {"head": "Head", "head.global_pool": "Pool"}))
    assert text[-3:] == ["global_pool: AdaptiveAvgPool2d(1)", "flatten: Flatten", "fc: Linear(4)"]


def test_what_reads_such_a_scope_reads_its_last_layer() -> None:
    flat = Flat(8, 16, 16)
    flat.conv("conv", 8)
    flat.add("squash.act", "ReLU")
    squashed = flat.add("squash.limit", "Tanh")
    flat.conv("limit", 8)
    flat.add("add", "Add", "limit", squashed)
    text = folded(flat)
    assert "squash: ReLU" in text
    assert "limit_2: Tanh" in text
    assert "add: Add(limit, limit_2)" in text


def test_stages_of_which_the_first_lacks_a_layer_are_one_block() -> None:
    flat = Flat(8, 32, 32)
    classes = {}
    for stage, depth in enumerate((2, 2, 6, 2)):
        if stage:
            flat.add(f"stages.{stage}.downsample.0", "BatchNorm2d")
            flat.conv(f"stages.{stage}.downsample.1", 8 * 2**stage, 1, stride=2)
        for copy in range(depth):
            flat.conv(f"stages.{stage}.blocks.{copy}.one", 8 * 2**stage, 3)
            flat.conv(f"stages.{stage}.blocks.{copy}.two", 8 * 2**stage)
            classes[f"stages.{stage}.blocks.{copy}"] = "Block"
        classes |= {f"stages.{stage}": "Stage", f"stages.{stage}.blocks": "Sequential"}
    text = lines(folded(flat, classes))
    assert text[-1] == "stages: Stage([2, 2, 6, 2][i], downsample=i > 0) * 4"
    assert sum("downsample" in line for line in text) == 3  # a parameter, the layers, and the stages


def flagged(flags: list[bool], groups: list[int]) -> str:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, (flag, group) in enumerate(zip(flags, groups, strict=True)):
        flat.conv(f"b.{number}.conv", 8, 3, groups=group)
        if flag:
            flat.add(f"b.{number}.norm", "BatchNorm2d")
        flat.conv(f"b.{number}.last", 8)
        classes[f"b.{number}"] = "Block"
    return folded(flat, classes)


def test_a_layer_that_only_some_copies_have_is_a_condition_on_their_number() -> None:
    assert "b: Block(norm=i == 0) * 4" in flagged([True, False, False, False], [1] * 4)
    assert "b: Block(norm=i > 0) * 3" in flagged([False, True, True], [1] * 3)
    assert "b: Block(norm=i % 2 == 0) * 6" in flagged([True, False] * 3, [1] * 6)


def test_numbers_that_take_turns_are_a_condition_on_the_number_of_the_copy() -> None:
    assert "b: Block(groups=4 if i % 2 == 1 else 1) * 6" in flagged([False] * 6, [1, 4] * 3)


def test_numbers_without_an_order_stay_on_lines_of_their_own() -> None:
    text = flagged([False] * 5, [1, 4, 4, 2, 1])
    assert "[" not in text.split("layers:")[-1]
    assert "- Block(groups=4) * 2" in text


def test_copies_in_which_much_differs_stay_on_lines_of_their_own() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number in range(4):
        flat.conv(f"b.{number}.one", 16 if number else 24, 3 if number else 5, groups=4 if number % 2 else 1)
        flat.conv(f"b.{number}.two", 8)
        classes[f"b.{number}"] = "Block"
    assert " * 4" not in folded(flat, classes)


def test_what_is_padded_before_a_stride_is_padded_no_more() -> None:
    flat = Flat(8, 32, 32)
    classes = {}
    for stage, k in enumerate((3, 5, 3)):
        for copy in range(3):
            path = f"s.{stage}.{copy}"
            stride = 1 if copy else 2
            if stride == 2:
                flat.add(f"{path}.pad", "ZeroPad2d", padding=(k // 2 - 1, k // 2) * 2)
            padding = k // 2 if stride == 1 else 0
            flat.add(f"{path}.conv", "Conv2d", out_channels=8, kernel_size=k, stride=stride, padding=padding)
            flat.conv(f"{path}.last", 8 * (stage + 1))
            classes[path] = "Block"
    text = folded(flat, classes)
    assert "padding=k // 2 if stride == 1 else 0" in text
    assert "- - Block(8, stride=2 if i == 0 else 1) * 3" in text


def test_a_block_that_adds_its_input_or_a_projection_of_it_is_one_block() -> None:
    """With the activation ahead of both paths the projection does not read what is added where there is none."""
    flat = Flat(8, 32, 32)
    classes = {}
    for stage, out in enumerate((16, 32)):
        for copy in range(3):
            path = f"s.{stage}.{copy}"
            stride = 2 if stage and not copy else 1
            skip = flat.last
            act = flat.add(f"{path}.act", "ReLU")
            if not copy:
                skip = flat.conv(f"{path}.down", out, 1, act, stride=stride)
            flat.conv(f"{path}.conv1", 8, 3, act, stride=stride)
            flat.conv(f"{path}.conv2", out, 3)
            flat.add(f"{path}.add", "Add", f"{path}.conv2", skip)
            classes[path] = "PreAct"
    text = lines(folded(flat, classes))
    assert [line for line in text if line.startswith("PreAct")] == ["PreAct:"]
    assert "add: Add(down, conv2) if stride != 1 or in_channels != out" in text
    assert "add_2: Add(input, add) if stride == 1 and in_channels == out" in text
    assert text[-2:] == ["- - PreAct(16) * 3", "- - PreAct(32, stride=2 if i == 0 else 1) * 3"]


def test_a_join_of_layers_that_bear_numbers_is_one_line() -> None:
    flat = Flat(8, 16, 16)
    names = [flat.conv(f"branches.{number}", 8) for number in range(3)]
    flat.add("branches.cat", "Concat", *names)
    flat.conv("last", 8)
    assert 'cat: {type: Concat, in: ["0", "1", "2"]}' in folded(flat)


def test_a_projection_beside_the_layers_is_the_same_block_as_none() -> None:
    """A block that is a sum of two branches elsewhere, and so written side by side, is one in turn here."""
    flat = Flat(8, 32, 32)
    classes = {}
    for number, out in enumerate((16, 16, 32, 32)):
        path, before, stride = f"b.{number}", flat.last, 1 if number % 2 else 2
        flat.add(f"{path}.stack.act", "ReLU")
        stack = flat.conv(f"{path}.stack.conv", out, 3, stride=stride)
        skip = before if number % 2 else flat.conv(f"{path}.shortcut", out, 1, before, stride=stride)
        flat.add(f"{path}.add", "Add", stack, skip)
        classes[path] = "Module"
    text = lines(folded(flat, classes))
    assert [line for line in text if line.startswith("Module")] == ["Module:"]
    assert "shortcut: Conv2d(out, 1, stride=stride)(input) if stride != 1 or in_channels != out" in text


def test_a_part_of_a_product_is_said_as_such() -> None:
    flat = Flat(16, 16, 16)
    classes = {}
    for number, out in enumerate((16, 48, 32, 32)):
        hidden = 6 * flat.shapes[flat.last][0]
        flat.conv(f"b.{number}.one", hidden)
        flat.add(f"b.{number}.norm", "GroupNorm", num_groups=hidden // 16)
        flat.conv(f"b.{number}.two", out)
        classes[f"b.{number}"] = "Block"
    text = folded(flat, classes)
    assert "norm: GroupNorm(6 * in_channels // 16)" in text
    assert "params: {out: int}" in text


def test_a_shape_is_said_by_the_channels() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number in range(3):
        before = flat.conv(f"b.{number}.conv", 8 * 2**number)
        flat.add(f"b.{number}.gate.mean", "AdaptiveAvgPool2d", output_size=1)
        flat.add(f"b.{number}.gate.flatten", "Flatten")
        flat.add(f"b.{number}.gate.fc", "Linear", out_features=8 * 2**number)
        flat.add(f"b.{number}.gate.view", "Reshape", shape=(8 * 2**number, 1, 1))
        flat.add(f"b.{number}.gate.mul", "Mul", before, f"b.{number}.gate.view")
        classes |= {f"b.{number}": "Block", f"b.{number}.gate": "Gate"}
    assert "view: Reshape((in_channels, 1, 1))" in folded(flat, classes)


def test_many_copies_are_one_line() -> None:
    flat = Flat(4, 8, 8)
    classes = {}
    for number in range(90):
        flat.conv(f"b.{number}.one", 4, 3, stride=2 if number == 0 else 1)
        flat.conv(f"b.{number}.two", 4)
        classes[f"b.{number}"] = "Block"
    assert "b: Block(stride=2 if i == 0 else 1) * 90" in folded(flat, classes)


def staged(depths: tuple[int, ...], flags: dict[int, list[bool]]) -> str:
    flat = Flat(8, 16, 16)
    classes = {}
    for stage, depth in enumerate(depths):
        flat.conv(f"stages.{stage}.first", 8)
        for copy in range(depth):
            flat.conv(f"stages.{stage}.blocks.{copy}.one", 8, 3)
            if flags[stage][copy]:
                flat.add(f"stages.{stage}.blocks.{copy}.norm", "BatchNorm2d")
            flat.conv(f"stages.{stage}.blocks.{copy}.two", 8)
            classes[f"stages.{stage}.blocks.{copy}"] = "Block"
        classes |= {f"stages.{stage}": "Stage", f"stages.{stage}.blocks": "Sequential"}
    return folded(flat, classes)


def test_what_only_the_last_copy_has_is_a_condition_on_how_many_there_are() -> None:
    text = staged((1, 3, 4), {0: [True], 1: [False, False, True], 2: [False, False, False, True]})
    assert "blocks: Block(norm=i == n - 1) * n" in text


def test_no_block_is_given_a_list_of_what_its_copies_have() -> None:
    text = staged((2, 3, 4), {0: [True, False], 1: [False, True, False], 2: [True, False, False, True]})
    assert "list" not in text


def test_a_pattern_is_the_same_in_stages_of_any_depth() -> None:
    flags = {stage: [copy % 2 == 0 for copy in range(6)] for stage in range(3)}
    assert "blocks: Block(norm=i % 2 == 0) * n" in staged((2, 6, 4), flags)


def test_a_rate_of_the_first_copy_alone_is_a_condition() -> None:
    flat = Flat(8, 16, 16)
    classes = {}
    for number, scale in enumerate((1.0, 0.98, 0.98)):
        flat.add(f"b.{number}.scale", "Affine", scale=scale)
        flat.conv(f"b.{number}.conv", 8, 3)
        classes[f"b.{number}"] = "Block"
    assert "scale=1.0 if i == 0 else 0.98" in folded(flat, classes)


def test_lists_that_differ_in_a_word_are_not_one_block() -> None:
    flat = Flat(3, 32, 32)
    classes = {"stem": "Sequential", "blocks": "Sequential"}
    flat.add("stem.0", "Conv2d", out_channels=8, kernel_size=7)
    flat.add("stem.1", "GELU")
    flat.add("stem.2", "BatchNorm2d")
    for copy in range(6):
        block, before = f"blocks.{copy}", flat.last
        flat.add(f"{block}.0.fn.0", "Conv2d", out_channels=8, kernel_size=9, padding="same")
        flat.add(f"{block}.0.fn.1", "GELU")
        last = flat.add(f"{block}.0.fn.2", "BatchNorm2d")
        flat.add(f"{block}.0.add", "Add", last, before)
        flat.conv(f"{block}.1", 8, 1)
        flat.add(f"{block}.2", "ReLU")
        classes |= {block: "Sequential", f"{block}.0": "Residual", f"{block}.0.fn": "Sequential"}
    text = lines(folded(flat, classes))
    assert text[-1] == "blocks: Blocks * 6"
    assert sum("padding=same" in line for line in text) == 1

"""The spec to start from, with the lines by which editors know what it is."""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMA_FILE", "STARTER"]

SCHEMA_FILE: Final = "cnnspec.schema.json"

STARTER: Final = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# vim: set filetype=yaml shiftwidth=2 expandtab:
cnnspec: 1
name: {{name}}
description: A small convolutional network to start from.
input: [1, 28, 28]  # channels, height, width
params: {{{{width: 16, num_classes: 10}}}}

blocks:
  Stage:  # a block is called like a layer
    params: {{{{out: int}}}}  # a type: required; a value: the default
    layers:
      conv: Conv2d(out, 3, padding=1, bias=False)
      bn: BatchNorm2d
      relu: ReLU
      pool: MaxPool2d(2)

layers:
  stage{{{{i+1}}}}: Stage(width * (i + 1)) * 2
  flatten: Flatten
  fc: Linear(num_classes)
"""

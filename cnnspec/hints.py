""" "Did you mean": the words that people bring from elsewhere, and the nearest of those that exist."""

from __future__ import annotations

from collections.abc import Reversible
from difflib import SequenceMatcher, get_close_matches
from itertools import islice
from typing import Final

from cnnspec.places import Suggestion

__all__ = ["channels_first", "closest", "did_you_mean", "no_layer"]

_DEFINE_LAYER: Final = "define it below `blocks:`; `cnnspec explain` lists the layers"  # where nothing comes near

# What no block can be made of, and what there is instead. By lower-case spelling.
_OUTSIDE: Final = {
    **dict.fromkeys(
        (
            "rnn",
            "lstm",
            "gru",
            "rnncell",
            "lstmcell",
            "grucell",
            "rnnbase",
            "rnncellbase",
            "bidirectional",
            "convlstm2d",
        ),
        "there are no recurrent layers",
    ),
    **dict.fromkeys(
        (
            "multiheadattention",
            "attention",
            "selfattention",
            "scaleddotproductattention",
            "transformer",
            "transformerencoder",
            "transformerdecoder",
            "transformerencoderlayer",
            "transformerdecoderlayer",
        ),
        "there is no attention; `Mul` is a gate, as in squeeze-and-excitation",
    ),
    **dict.fromkeys(("embedding", "embeddingbag"), "inputs are images and signals, not tokens"),
    **dict.fromkeys(
        ("view", "fold", "unfold", "squeeze", "unsqueeze", "transpose", "repeatvector"),
        "`Reshape`, `Flatten`, `Unflatten`, `Permute` and `Slice` change shapes",
    ),
    **dict.fromkeys(
        (
            "bilinear",
            "maxunpool1d",
            "maxunpool2d",
            "maxunpool3d",
            "fractionalmaxpool2d",
            "fractionalmaxpool3d",
            "lambda",
        ),
        "`cnnspec explain` lists the layers",
    ),
}

# Keras', Caffe's and everyday names of layers and arguments, by their lower-case spelling.
_SYNONYMS: Final = {
    "dense": "Linear",
    "fc": "Linear",
    "fullyconnected": "Linear",
    "conv": "Conv2d",
    "convolution": "Conv2d",
    "convolution2d": "Conv2d",
    "conv2dtranspose": "ConvTranspose2d",
    "deconv": "ConvTranspose2d",
    "maxpooling2d": "MaxPool2d",
    "maxpooling": "MaxPool2d",
    "maxpool": "MaxPool2d",
    "averagepooling2d": "AvgPool2d",
    "averagepool2d": "AvgPool2d",
    "avgpool": "AvgPool2d",
    "globalaveragepooling2d": "AdaptiveAvgPool2d",
    "globalavgpool": "AdaptiveAvgPool2d",
    "globalmaxpooling2d": "AdaptiveMaxPool2d",
    "batchnormalization": "BatchNorm2d",
    "batchnorm": "BatchNorm2d",
    "bn": "BatchNorm2d",
    "swish": "SiLU",
    "concatenate": "Concat",
    "cat": "Concat",
    "multiply": "Mul",
    "subtract": "Sub",
    "divide": "Div",
    "globalresponsenorm": "GRN",
    "blurpool": "BlurPool2d",
    "stdconv": "StdConv2d",
    "scaledstdconv": "ScaledStdConv2d",
    "filters": "out_channels",
    "units": "out_features",
    "kernel": "kernel_size",
    "kernelsize": "kernel_size",
    "ksize": "kernel_size",
    "pool_size": "kernel_size",
    "strides": "stride",
    "pad": "padding",
    "paddings": "padding",
    "dilation_rate": "dilation",
    "group": "groups",
    "use_bias": "bias",
    "rate": "p",
    "epsilon": "eps",
    "true": "True",
    "false": "False",
    "null": "None",
    "none": "None",
}
MOST_NEAR: Final = 4  # words that may have been meant
MAX_KNOWN: Final = 2000  # names to compare with: a network has thousands of nodes


def closest(word: str, known: Reversible[str]) -> str | None:
    """The known word that was probably meant, or None."""
    return next(iter(_near(word, known)), None)


def did_you_mean(word: str, known: Reversible[str]) -> Suggestion | None:
    """The sentence for the caret's label, or None."""
    near = _near(word, known)
    return Suggestion(near[0], tuple(near[1:])) if near else None


def _near(word: str, known: Reversible[str]) -> list[str]:
    """The known words that may have been meant, the likeliest first; of equally near ones those for images.

    The others of equally near ones stand in their order alone. So they are no set, whose order is another in every
    process.
    """
    if len(word) > 60:
        return []
    names = list(islice(reversed(known), MAX_KNOWN))[::-1]
    by_lower = {name.lower(): name for name in names}
    lower = word.lower()
    if lower in by_lower:
        return [by_lower[lower]]
    if _SYNONYMS.get(lower) in names:
        return [_SYNONYMS[lower]]
    matches = get_close_matches(lower, by_lower, n=MOST_NEAR, cutoff=0.7)
    matches.sort(key=lambda match: (-SequenceMatcher(None, match, lower).ratio(), "2d" not in match))
    return [by_lower[match] for match in matches]


def no_layer(name: str, known: Reversible[str]) -> tuple[str, str | None, str | None]:
    """The message for a layer that is none of the `known`, the caret's label and the way out."""
    names = list(known)
    outside = _OUTSIDE.get(name.lower())
    if outside is not None and name.lower() not in (one.lower() for one in names):
        return f"`{name}` is not part of the language", None, outside
    label = did_you_mean(name, names)
    return f"there is no layer `{name:.60}`", label, None if label else _DEFINE_LAYER


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that is meant where the channels stand last, as Keras has them; None where it does not look so."""
    *sizes, channels = shape
    return (channels, *sizes) if len(sizes) > 1 and channels in (1, 3) and min(sizes) > 4 else None

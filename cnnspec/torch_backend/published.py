"""Weights that torchvision and timm publish: read by their own code, and what they say of images and classes.

Where a file lies, and what it is called, is the libraries' affair: torch keeps torchvision's below `$TORCH_HOME`, and
the hub of Hugging Face timm's below `$HF_HOME`. Without a network a file that was put there by hand is taken alike.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.hints import did_you_mean
from cnnspec.intake import Intake
from cnnspec.torch_backend.origins import make_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchvision.models import WeightsEnum

__all__ = ["ImageRule", "Published", "timm_weights", "torchvision_weights"]

_READ: Final = 2**20  # bytes of a file at a time


@dataclass(frozen=True)
class ImageRule:
    """How images are prepared for weights, as their makers say."""

    size: tuple[int, ...]  # of the input, without channels
    resized: int | None  # what the shorter side is brought to, before the middle is cut out
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str  # bilinear, bicubic, …

    def intake(self, shape: tuple[int, ...]) -> Intake:
        """How images become an input `(C, H, W)`: one that is larger than what they are resized to is just covered."""
        crop = Intake("crop", self.resized)
        return Intake("crop") if crop.misfit(shape) else crop


@dataclass(frozen=True)
class Published:
    """A library's weights for one of its networks."""

    origin: str  # `torchvision's ResNet18_Weights.IMAGENET1K_V1`
    classes: tuple[str, ...]
    images: ImageRule
    make: Callable[[], nn.Module]  # the library's own network with them: fetched where they are not there

    def tensors(self) -> dict[str, Tensor]:
        """The weights by the library's names. Raises CnnspecError where they are not to be had, or are damaged."""
        return dict(self.make().state_dict())


def torchvision_weights(name: str, network: str, report: Callable[[str], None] = lambda text: None) -> Published:
    """What `torchvision:NAME` means for a network called `network`.

    `IMAGENET1K_V2` or `DEFAULT` are of torchvision's network of that name, `ResNet50_Weights.IMAGENET1K_V2` says which
    network's they are, and `resnet50` is the best of that one's. Raises UsageError for a name that there is not.
    """
    from torchvision import models

    builder, _, word = name.rpartition(".")
    known = {kind.__name__: model for model in models.list_models() for kind in [models.get_model_weights(model)]}
    if name in models.list_models():
        network, word = name, "DEFAULT"
    elif builder:
        if builder not in known:
            raise UsageError(f"torchvision has no weights `{builder}`", hint=did_you_mean(builder, [*known]))
        network = known[builder]
    elif network not in models.list_models():
        hint = f"write `torchvision:NETWORK_Weights.{name}`: there are {', '.join(list(known)[:3])}, …"
        if near := did_you_mean(name, models.list_models()):
            hint = near
        raise UsageError(f"torchvision has no network `{network}`, whose `{name}` could be meant", hint=hint)
    kinds = models.get_model_weights(network)
    if word not in kinds.__members__:
        raise UsageError(
            f"torchvision has no weights `{word}` of {network}",
            hint=did_you_mean(word, [*kinds.__members__]) or f"there are: {', '.join(kinds.__members__)}",
        )
    entry: WeightsEnum = kinds[word]
    preset = entry.transforms()
    sides = getattr(preset, "crop_size", None) or 224
    size = tuple(sides) if isinstance(sides, (list, tuple)) else (sides,)
    resized = (getattr(preset, "resize_size", None) or [None])[0]
    # the two with auxiliary heads normalise once more themselves, which comes to this
    twice = network in ("googlenet", "inception_v3")
    mean, std = ((0.5,) * 3, (0.5,) * 3) if twice else (tuple(preset.mean), tuple(preset.std))
    interpolation = str(getattr(preset, "interpolation", "bilinear")).rpartition(".")[2].lower()
    rule = ImageRule(size * 2 if len(size) == 1 else size, resized, mean, std, interpolation)

    def make() -> nn.Module:
        if not _cached(entry).exists():
            report(f"fetching {entry.url}")
        _check_file(entry)
        try:
            with redirect_stderr(StringIO()):
                heads = {"aux_logits": True} if twice else {}
                return make_module(str(entry), models.get_model, (network,), {"weights": entry, **heads})
        except CnnspecError as error:
            raise _not_fetched(entry, error) from error.__cause__

    return Published(f"torchvision's {entry}", tuple(entry.meta.get("categories") or ()), rule, make)


def _cached(entry: WeightsEnum) -> Path:
    """Where torch keeps the file of weights."""
    folder, url = str(torch.hub.get_dir()), str(entry.url)
    return Path(folder, "checkpoints", url.rpartition("/")[2])


def _check_file(entry: WeightsEnum) -> None:
    """Raise CnnspecError for a file that is there and not what its name says: torch checks what it fetches only."""
    path = _cached(entry)
    wanted = path.stem.rpartition("-")[2]
    if not path.exists():
        return
    if not path.is_file():
        raise CnnspecError(f"{path} is no regular file, as weights are")
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(_READ):
                digest.update(part)
    except OSError as error:
        raise CnnspecError(f"{path} cannot be read: {error.strerror or error}") from None
    if not digest.hexdigest().startswith(wanted):
        raise CnnspecError(
            f"{path} is damaged, or another file: its SHA-256 begins with {digest.hexdigest()[: len(wanted)]},"
            f" and not with {wanted}",
            hint=f"take it away, and it is fetched anew from {entry.url}",
        )


def _not_fetched(entry: WeightsEnum, error: CnnspecError) -> CnnspecError:
    """What to do where torchvision could not have its file."""
    path, cause = _cached(entry), error.__cause__
    if path.exists():
        return CnnspecError(f"{path} is not what {entry} are: {error.message}")
    return CnnspecError(
        f"{entry} are not on this machine, and cannot be fetched: {_reason(cause)}",
        hint=f"put {entry.url} at {path}",
    )


def timm_weights(name: str, report: Callable[[str], None] = lambda text: None) -> Published:
    """What `timm:NAME` means: the weights that timm publishes under a name, as `resnet18.a1_in1k` or `resnet18`.

    Raises UsageError for a name that there is not, and for a network without published weights.
    """
    import timm

    plain, _, _ = name.partition(".")
    if not timm.is_model(plain):
        raise UsageError(f"timm {timm.__version__} has no model `{plain}`", hint=did_you_mean(name, timm.list_models()))
    tags = [tag for tag in timm.list_pretrained(f"{plain}.*") if tag.partition(".")[0] == plain]
    found: Any = timm.models.get_pretrained_cfg(name) if name in (plain, *tags) else None
    if found is None or not found.has_weights:
        hint = did_you_mean(name, tags) or (f"there are: {', '.join(tags[:4])}" if tags else None)
        raise UsageError(f"timm publishes no weights `{name}`", hint=hint)
    _, *size = found.input_size
    resized = round(size[0] / found.crop_pct) if found.crop_pct else None
    rule = ImageRule(tuple(size), resized, tuple(found.mean), tuple(found.std), found.interpolation)

    def create() -> nn.Module:
        if found.hf_hub_id:
            _fetch(found.hf_hub_id, report)
        module: nn.Module = timm.create_model(name, pretrained=True)
        return module

    def make() -> nn.Module:
        try:
            with _quiet(), redirect_stderr(StringIO()):
                return make_module(f"timm:{name}", create, (), {})
        except CnnspecError as error:
            if not isinstance(error.__cause__, (OSError, RuntimeError)) or not found.hf_hub_id:
                raise
            from huggingface_hub.constants import HF_HUB_CACHE

            folder = "models--" + found.hf_hub_id.replace("/", "--")
            raise CnnspecError(
                f"timm's weights {found.hf_hub_id} are not on this machine, and cannot be fetched",
                hint=f"`hf download {found.hf_hub_id}` where there is a network writes a folder {folder}:"
                f" copy it to {Path(HF_HUB_CACHE) / folder}",
            ) from error.__cause__

    return Published(f"timm's {found.hf_hub_id or name}", _timm_classes(found), rule, make)


def _fetch(repository: str, report: Callable[[str], None]) -> None:
    """Have timm's file in the cache. Asked by itself it is told at once that there is no network, and not after two."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    for file in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(try_to_load_from_cache(repository, file), str):
            return
    report(f"fetching {repository} from the hub of Hugging Face")
    hf_hub_download(repository, "model.safetensors")


def _timm_classes(found: Any) -> tuple[str, ...]:
    """The names of the classes, where timm knows them."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(found.to_dict())
    if not subset:
        return ()
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the hub logs of every try: what came of it is told once."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _reason(error: BaseException | None) -> str:
    """What an error of the network says, in a line."""
    lines = str(getattr(error, "reason", None) or error or "").strip().splitlines()
    return f"{lines[0]:.200}" if lines else "no reason is given"

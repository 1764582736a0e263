"""Weights that a module works out anew for each run, from others: weight norm, spectral norm, any parametrisation."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = ["copied", "without_parametrizations"]


def copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy of a module, also of one with tensors that were worked out of others, which torch's own refuses."""
    for each in module.modules():
        for value in vars(each).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo.setdefault(id(value), value.detach())
    return copy.deepcopy(module, memo)


def without_parametrizations(module: nn.Module) -> tuple[nn.Module, int]:
    """A module whose weights are what they are worked out to at inference, and how many of them were worked out.

    The module itself where there is nothing to fold, and else a copy.
    """
    if not any(parametrize.is_parametrized(each) or _old_norms(each) for each in module.modules()):
        return module, 0
    folded = copied(module, {}).eval()
    count = 0
    for each in list(folded.modules()):
        if parametrize.is_parametrized(each):
            count += _fold(each)
        for norm in _old_norms(each):
            count += 1
            remove = remove_weight_norm if isinstance(norm, WeightNorm) else remove_spectral_norm
            remove(each, norm.name)
    return folded.train(module.training), count


def _fold(module: nn.Module) -> int:
    """What `parametrize.remove_parametrizations` does; that takes the tensors' names off a class which the module that
    this one is a copy of has too."""
    names: Any = module.parametrizations
    values = {name: getattr(module, name).detach().clone() for name in names}
    others = dict(module._parameters)
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    module._parameters.clear()
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))
    module._parameters.update(others)
    return len(values)


def _old_norms(module: nn.Module) -> list[WeightNorm | SpectralNorm]:
    """The hooks by which torch's former weight norm and spectral norm work out a tensor before each run."""
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, (WeightNorm, SpectralNorm))]

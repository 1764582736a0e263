"""Optimizers and initialisation, by name; and what becomes of the weights beside the update."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from cnnspec.analysis.freezing import rate_scale
from cnnspec.errors import UsageError
from cnnspec.graph import Graph, is_below
from cnnspec.torch_backend import kind_fault
from cnnspec.training.config import TrainConfig

__all__ = [
    "average_weights", "eval_frozen", "freeze", "initialise", "load_optimizer", "make_optimizer", "make_update",
    "set_rate",
]  # fmt: skip


def make_optimizer(
    config: TrainConfig, model: nn.Module, device: torch.device, *, fused: bool = True
) -> torch.optim.Optimizer:
    """The update rule over the parameters that train, fused where torch has it and nobody forbids it."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = _groups(config, model)
    if config.nesterov and (config.optimizer != "sgd" or not config.momentum):
        raise UsageError("--nesterov is for SGD with momentum", hint="`--no-nesterov`")
    fused = fused and device.type in ("cpu", "cuda")
    if config.optimizer == "sgd":
        sgd = torch.optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused)
        if config.momentum:  # torch's own buffers hold anything after a first step that fp16's scaler skips
            for parameter in trained:
                sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, config.lr, fused=fused)


def _groups(config: TrainConfig, model: nn.Module) -> list[dict[str, Any]]:
    """The parameters that train, by what multiplies their rate (`scale`) and by their decay."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = []
    for scale in dict.fromkeys(rate_scale(name, config.lr_scale) for name, _ in trained):
        alike = [parameter for name, parameter in trained if rate_scale(name, config.lr_scale) == scale]
        parts = [(alike, config.weight_decay)]
        if not config.decay_norms:
            parts = [([p for p in alike if p.ndim > 1], config.weight_decay), ([p for p in alike if p.ndim <= 1], 0.0)]
        groups += [{"params": part, "weight_decay": decay, "scale": scale} for part, decay in parts]
    return groups


def set_rate(optimizer: torch.optim.Optimizer, rate: float | Tensor) -> None:
    """Have every group learn by this rate times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate if group["scale"] == 1 else rate * group["scale"]


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any], model: nn.Module, graph: Graph) -> None:
    """Put back an optimizer's state; its options stay those that it was made with.

    Tensors lie as their parameters do: a fused update goes through both alike, and the layout may be another one than
    the run was saved with. Those that are there are filled, because a recorded step reads them and no others.
    Raises ValueError, or what torch raises, where the state is not one of this model: a step would fail in its middle.
    """
    options = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    before = {parameter: dict(state) for parameter, state in optimizer.state.items()}
    optimizer.load_state_dict(saved)
    sgd = isinstance(optimizer, torch.optim.SGD)
    keys = {"momentum_buffer"} if sgd else {"step", "exp_avg", "exp_avg_sq"}
    begun = any(optimizer.state.values())
    live = graph.ancestors(graph.outputs + graph.aux_outputs)  # others never have a gradient
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group, made in zip(optimizer.param_groups, options, strict=True):
        group.update(made)
        for parameter in group["params"]:
            name, state = names.get(parameter, ""), optimizer.state.get(parameter, {})
            if not state and not (begun and parameter.requires_grad and name.rpartition(".")[0] in live):
                continue
            if set(state) != keys:
                raise ValueError(f"the optimizer's state of {name} is {', '.join(map(str, state)) or 'not there'}")
            for key, value in state.items():
                wanted = parameter if key != "step" else torch.zeros(())
                if not isinstance(value, Tensor) or value.shape != wanted.shape or kind_fault(value, wanted):
                    raise ValueError(f"the optimizer's {key} of {name} is not of its kind")
                place = before.get(parameter, {}).get(key)
                if place is None:
                    place = torch.empty_like(parameter if key != "step" else value, dtype=value.dtype)
                state[key] = place.copy_(value)


def make_update(config: TrainConfig, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Moves the weights by their gradients once, and forgets the gradients.

    For SGD with momentum it is torch's own function and state, without what torch's optimizers do around each step
    for hooks and the profiler: in a small network on the CPU that takes longer than the update.
    """
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def momentum() -> None:
        for group in optimizer.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            buffers = [optimizer.state[parameter]["momentum_buffer"] for parameter in moved]
            sgd(
                moved, [parameter.grad for parameter in moved], buffers,
                fused=group["fused"], foreach=False, weight_decay=group["weight_decay"], momentum=group["momentum"],
                lr=group["lr"], dampening=group["dampening"], nesterov=group["nesterov"], maximize=group["maximize"],
            )  # fmt: skip

    step = momentum if config.optimizer == "sgd" and config.momentum else optimizer.step

    def update() -> None:
        step()
        for parameter in trained:
            parameter.grad = None

    return update


def freeze(model: nn.Module, frozen: Container[str]) -> None:
    """Keep the parameters below these layers from training, and train all others."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_below(name, frozen))


def eval_frozen(model: nn.Module, frozen: Container[str]) -> None:
    """Let the layers below these run as in inference: batch norm would gather statistics although it is frozen."""
    for name, module in model.named_modules():
        if is_below(name, frozen):
            module.eval()


@torch.no_grad()
def average_weights(averaged: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the model's; slower as the run goes on, so that the start is forgotten."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), weight)
    for old, new in zip(averaged.buffers(), model.buffers(), strict=True):
        old.copy_(new)


def initialise(model: nn.Module, scheme: str) -> None:
    """Fresh weights for convolutions and linear layers, with biases of 0; `torch` leaves torch's own.

    `xavier` is Glorot and Bengio 2010, `kaiming` He et al. 2015 (for ReLU, over the outputs), `orthogonal` Saxe
    et al. 2013.
    """
    if scheme == "torch":
        return
    for parameters in (module.named_parameters(recurse=False) for module in model.modules() if _mixes(module)):
        for name, parameter in parameters:
            if name == "bias":
                nn.init.zeros_(parameter)
            elif scheme == "xavier":
                nn.init.xavier_uniform_(parameter)
            elif scheme == "kaiming":
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.orthogonal_(parameter)


def _mixes(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))

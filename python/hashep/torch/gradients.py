# SPDX-License-Identifier: Apache-2.0
"""Gradients of a model of which each rank holds some experts, and all hold the rest alike."""

import numpy as np
import torch

from .._core import ReproducibleSum
from .._sums import sum_float64
from .moe import MoE


def _layers(model):
    return [module for module in model.modules() if isinstance(module, MoE)]


def _planners(model):
    planners = []
    for layer in _layers(model):
        if not any(layer.planner is planner for planner in planners):
            planners.append(layer.planner)
    return planners


def _held_by_layers(model):
    return {id(parameter) for layer in _layers(model) for parameter in layer.parameters()}


def _replicated(model):
    """Parameters that are trained and no MoE layer's: all ranks hold them alike."""
    held = _held_by_layers(model)
    return [p for p in model.parameters() if p.requires_grad and id(p) not in held]


def ignore_in_ddp(model):
    """Has torch.nn.parallel.DistributedDataParallel leave MoE layers alone. Call it before wrapping."""
    held = _held_by_layers(model)
    names = [name for name, parameter in model.named_parameters() if id(parameter) in held]
    torch.nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


class GradientSum:
    """Sums gradients of what all ranks hold, to the same bits on any number of ranks.

    Call `add` after the backward of each block of tokens (a sequence, say): it takes the gradients of
    all parameters that are no MoE layer's, and sets them to None. `finish` then gives all ranks the
    sums, and those of MoE layers' gates and shared experts. Equal bits need the same blocks on any
    number of ranks, and gradients that follow from a block alone: the same threads of PyTorch.
    """

    def __init__(self, model, context):
        self._model = model
        self._parameters = _replicated(model)
        self._sums = [
            ReproducibleSum(context, *_matrix_size(parameter)) for parameter in self._parameters
        ]

    def add(self):
        """Takes the gradients as an addend. Local."""
        for parameter, total in zip(self._parameters, self._sums):
            if parameter.grad is not None:
                total.add(_matrix(parameter.grad))
                parameter.grad = None

    def finish(self):
        """Collective."""
        for parameter, total in zip(self._parameters, self._sums):
            gradient = torch.empty_like(parameter, memory_format=torch.contiguous_format)
            total.finish(gradient.view(_matrix_size(parameter)))
            parameter.grad = gradient
        for planner in _planners(self._model):
            planner.sum_gradients()


def reduce_gradients(model, context=None, *, average=False, group=None):
    """Sums gradients over ranks: once, after the backward of a step and before the optimizer's step.

    Experts need it not, as their owner has seen all tokens. The sum is right where each rank's loss is
    its share of the global loss (its sum over tokens, divided by the tokens of all ranks). average:
    each rank's loss is a mean over its own tokens, so all gradients, those of experts too, are divided
    by the number of ranks; and with them those of the gates' own losses, whose factors have to be
    larger in turn.
    group: torch.distributed sums what is no MoE layer's, in that process group ("world": the default
    one), or has done so already ("done": DistributedDataParallel, which averages: so give average).
    None: it is summed exactly (see GradientSum), an addend a rank.
    Collective.
    """
    planners = _planners(model)
    if context is None:
        if not planners:
            raise ValueError("a model without MoE layers: context is needed")
        context = planners[0].context
    if group is None:
        sums = GradientSum(model, context)
        sums.add()
        sums.finish()
    else:
        if group != "done":
            _sum_distributed(_replicated(model), None if group == "world" else group)
        for planner in planners:
            planner.sum_gradients()
    if average:
        divided = [p for layer in _layers(model) for p in layer.parameters()]
        if group != "done":
            divided += _replicated(model)
        for parameter in divided:
            if parameter.grad is not None:
                parameter.grad.div_(context.size)


def clip_grad_norm_(model, max_norm, context=None):
    """Scales all gradients where their norm is above max_norm, and returns the norm (a float).

    Over all ranks: each expert is counted once, what all ranks hold once. The same bits on any number
    of ranks where gradients have. Where it is not finite, nothing is scaled. After reduce_gradients.
    Collective.
    """
    layers = _layers(model)
    if context is None:
        context = layers[0].planner.context
    total = 0.0
    for parameter in _replicated(model):
        if parameter.grad is not None:
            total += float(_squares(_matrix(parameter.grad).reshape(1, -1))[0])
    squares = []
    for layer in layers:
        experts = np.zeros(layer.planner.shape.num_experts)
        mine = layer.planner.local_experts[layer.layer]
        for held in layer._held.values():
            if held.parameter.grad is None:
                continue
            if held.is_shared:
                total += float(_squares(_matrix(held.parameter.grad).reshape(1, -1))[0])
            elif mine:
                experts[mine] += _squares(held.parameter.grad.detach())
        squares.append(experts)
    if squares:
        total += float(np.add.reduce(sum_float64(context, np.concatenate(squares))))
    norm = total**0.5
    if 0 < max_norm < norm < float("inf"):
        scale = max_norm / norm
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(scale)
    return norm


def _squares(gradients):
    """The sum of squares of each row's elements, in an order that knows no threads."""
    rows = gradients.detach().reshape(gradients.shape[0], -1).numpy()
    return np.einsum("ij,ij->i", rows, rows, dtype=np.float64)


def _matrix_size(parameter):
    """Rows and columns of a parameter as a matrix: a vector is one row."""
    if parameter.dim() < 2:
        return 1, parameter.numel()
    return parameter.shape[0], parameter.numel() // parameter.shape[0]


def _matrix(tensor):
    return tensor.detach().contiguous().view(_matrix_size(tensor))


def _sum_distributed(parameters, group):
    for parameter in parameters:
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad, group=group)

# SPDX-License-Identifier: Apache-2.0
"""Layers for PyTorch: MoE is an nn.Module with autograd whose experts stand on all ranks.

    context = hashep.Context()
    planner = hashep.torch.Planner(context, num_layers=2, hidden_size=512, ffn_size=1024,
                                   num_experts=64, router="token", vocab_size=32000)
    layers = [hashep.torch.MoE(planner, layer) for layer in range(2)]
    planner.plan(ids)                       # all layers at once, from token ids alone
    y = layers[1](layers[0](x))

Works with PyTorch 1.13 and later, on CPUs.
"""

from .gradients import GradientSum, clip_grad_norm_, ignore_in_ddp, reduce_gradients
from .moe import MoE
from .planner import AuxLosses, PlannedBatch, Planner
from .state import merge_state_dicts

__all__ = [
    "AuxLosses",
    "GradientSum",
    "MoE",
    "PlannedBatch",
    "Planner",
    "clip_grad_norm_",
    "ignore_in_ddp",
    "merge_state_dicts",
    "reduce_gradients",
]

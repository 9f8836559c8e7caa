# SPDX-License-Identifier: Apache-2.0
"""One mixture-of-experts layer as a module."""

import torch
from torch.autograd.function import once_differentiable

from .. import _core


class MoE(torch.nn.Module):
    """Layer `layer` of a Planner: y = sum_j w_j E_j(x) + S(x), without a residual.

    Parameters, in float32, are the planner's own memory, and so are their gradients:
    w1, w3 [num_local_experts, ffn_size, hidden_size] and w2 [num_local_experts, hidden_size, ffn_size]
    of this rank's experts (planner.local_experts[layer]); shared_w1, shared_w2, shared_w3 and gate,
    which all ranks hold alike. All have `allreduce = False`: reduce_gradients knows what to do with them,
    DistributedDataParallel is to leave them alone (ignore_in_ddp).
    """

    def __init__(self, planner, layer=0):
        super().__init__()
        if not 0 <= layer < planner.shape.num_layers:
            raise _core.InputError(f"layer: {layer} is not in [0, {planner.shape.num_layers})")
        self.planner = planner
        self.layer = layer
        self._held = planner._layers[layer]
        for name, held in self._held.items():
            held.parameter.allreduce = False
            held.parameter.is_expert = not held.is_shared
            self.register_parameter(name, held.parameter)

    def forward(self, x, planned=None):
        """x: [..., hidden_size], its rows being the batch's tokens. Collective.

        planned: a PlannedBatch; None: the planner's current one. Gives x's dtype, under autocast its
        dtype.
        """
        planned = planned or self.planner.current
        if planned is None:
            raise _core.InputError("no batch was planned: call planner.plan(ids) before")
        self._pack_if_changed()
        rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
        rows = rows.to(self.planner.dtype).contiguous()
        parameters = [held.parameter for held in self._held.values()]
        if torch.is_grad_enabled() and any(t.requires_grad for t in (rows, *parameters)):
            y = _Layer.apply(rows, self, planned, *parameters)
        else:
            y = self._run(rows, planned, None)
        y = y if x.dim() == 2 else y.reshape(x.shape)
        return y.to(_output_dtype(x))

    def _run(self, rows, planned, tape):
        rows = rows.detach()
        y = torch.empty_like(rows)
        self.planner.stack.forward_layer(planned.batch, self.layer, rows, y, tape)
        return y

    def extra_repr(self):
        shape = self.planner.shape
        return (
            f"layer={self.layer}, hidden_size={shape.hidden_size}, ffn_size={shape.ffn_size}, "
            f"num_experts={shape.num_experts}, top_k={shape.top_k}, "
            f"local_experts={len(self.planner.local_experts[self.layer])}"
        )

    def __deepcopy__(self, memo):
        raise TypeError(
            "a MoE layer cannot be copied, as its weights are its planner's memory on all ranks; "
            "make another Planner and load the state dict"
        )

    def __getstate__(self):
        raise TypeError("a MoE layer cannot be pickled; save its state_dict()")

    def get_extra_state(self):
        return {
            "experts": list(self.planner.local_experts[self.layer]),
            "num_experts": self.planner.shape.num_experts,
        }

    def set_extra_state(self, state):
        pass  # it was looked at in _load_from_state_dict

    def _pack_if_changed(self):
        if any(held.parameter._version != held.version for held in self._held.values()):
            self.planner.parameters_changed()

    def _apply(self, fn, *args, **kwargs):
        for parameter in self.parameters(recurse=False):
            with torch.no_grad():
                moved = fn(parameter)
            if moved.dtype != parameter.dtype or moved.device != parameter.device:
                raise TypeError(
                    f"a MoE layer stays in {parameter.dtype} on the CPU; "
                    "Planner(dtype=torch.bfloat16) computes in bfloat16"
                )
        return self

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, held in self._held.items():
            # Without what stands between an expert's matrices.
            if not keep_vars:
                destination[prefix + name] = held.parameter.detach().clone(
                    memory_format=torch.contiguous_format
                )

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        mine = self.planner.local_experts[self.layer]
        extra = state_dict.get(prefix + "_extra_state", {})
        given = extra.get("experts", mine)
        own = dict(state_dict)
        if list(given) != mine:
            place = {expert: i for i, expert in enumerate(given)}
            lacking = [expert for expert in mine if expert not in place]
            if lacking:
                errors.append(
                    f"{prefix}w1: the state dict has no expert {lacking[0]}; "
                    "merge_state_dicts joins those of all ranks"
                )
                return
            rows = [place[expert] for expert in mine]
            for name, held in self._held.items():
                if not held.is_shared and prefix + name in own:
                    own[prefix + name] = own[prefix + name][rows]
        super()._load_from_state_dict(own, prefix, metadata, strict, missing, unexpected, errors)
        self.planner.parameters_changed()


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, moe, planned, *parameters):
        ctx.moe, ctx.planned = moe, planned
        return moe._run(rows, planned, planned.tape)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        moe, planned = ctx.moe, ctx.planned
        for held in moe._held.values():
            if held.parameter.requires_grad:
                held.attach_gradient()
        dy = dy.contiguous()
        dx = torch.empty_like(dy)
        moe.planner.stack.backward_layer(planned.batch, moe.layer, planned.tape, dy, dx)
        return (dx, *(None for _ in ctx.needs_input_grad[1:]))


def _output_dtype(x):
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else x.dtype

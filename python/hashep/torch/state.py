# SPDX-License-Identifier: Apache-2.0
"""State dicts of models whose experts stand on several ranks."""

import torch


def merge_state_dicts(state_dicts):
    """One state dict of all experts from those that the ranks of a job have saved.

    A MoE layer's state_dict() holds its rank's experts, and which they are. The merged one can be loaded
    on any number of ranks: each takes its own experts. Local.
    """
    merged = dict(state_dicts[0])
    for key, first in state_dicts[0].items():
        if not key.endswith("_extra_state") or "experts" not in (first or {}):
            continue
        prefix = key[: -len("_extra_state")]
        experts = [expert for each in state_dicts for expert in each[key]["experts"]]
        if sorted(experts) != list(range(first["num_experts"])):
            raise ValueError(f"{prefix}: the state dicts do not hold each expert once")
        order = torch.tensor(sorted(range(len(experts)), key=experts.__getitem__), dtype=torch.long)
        for name in ("w1", "w2", "w3", "bias1", "bias2", "bias3"):
            # A rank without experts may have nothing by that name.
            parts = [each[prefix + name] for each in state_dicts if prefix + name in each]
            if parts:
                merged[prefix + name] = torch.cat(parts)[order]
        merged[key] = {**first, "experts": sorted(experts)}
    return merged

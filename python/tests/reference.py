# SPDX-License-Identifier: Apache-2.0
"""Layers in plain numpy, expert by expert, in float64: what results are compared with."""

import numpy as np


def weights(shape, seed):
    """ArrayWeights' functions: float32 arrays that follow from layer and expert."""

    def ffn(width, *place):
        random = np.random.default_rng([seed, *place])
        d = shape.hidden_size
        made = {
            "w1": random.standard_normal((width, d), np.float32) * np.float32(d**-0.5),
            "w2": random.standard_normal((d, width), np.float32) * np.float32(width**-0.5),
        }
        if shape.activation == "silu":
            made["w3"] = random.standard_normal((width, d), np.float32) * np.float32(d**-0.5)
        return made

    def routed(layer, expert):
        return ffn(shape.ffn_size, layer, expert)

    def shared(layer):
        return ffn(shape.ffn_size * shape.num_shared_experts, layer, shape.num_experts)

    def gate(layer):
        random = np.random.default_rng([seed, layer, shape.num_experts + 1])
        return random.standard_normal((shape.num_experts, shape.hidden_size), np.float32)

    return routed, shared, gate


def ffn(x, of, activation):
    z = x @ of["w1"].astype(np.float64).T
    if activation == "relu":
        h = np.maximum(z, 0)
    else:
        h = z / (1 + np.exp(-z)) * (x @ of["w3"].astype(np.float64).T)
    return h @ of["w2"].astype(np.float64).T


def stack(x, experts_by_layer, shape, functions, residual=True):
    """experts_by_layer: [num_layers][tokens, top_k]; -1: padding. Weights 1/top_k."""
    routed, shared, _ = functions
    x = x.astype(np.float64)
    for layer, experts in enumerate(experts_by_layer):
        y = np.zeros_like(x)
        for token, choice in enumerate(experts):
            if choice[0] < 0:
                continue
            for expert in choice:
                y[token] += ffn(x[token], routed(layer, int(expert)), shape.activation) / len(choice)
            if shape.num_shared_experts:
                y[token] += ffn(x[token], shared(layer), shape.activation)
        x = x + y if residual else y
    return x

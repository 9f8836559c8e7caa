#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hash layers of a model folder in numpy, written from DESIGN ("Exact semantics") and the public
description of DeepSeek-V4; nothing is shared with the C++ code.

    tests/reference/moe_reference.py --model DIR --tokens tokens.bin --hidden hidden.safetensors \\
        --output out.safetensors

Sums are taken in fp64, and rounded where HashEP rounds: to fp32 after each layer, with --dtype bf16
operands, hidden activations, rows of experts, a layer's output and the sum with its input to bf16.
Prints how much of it a comparison tests: tokens, padding, how often SwiGLU's limit was reached.
"""

import argparse
import glob
import json
import os

import numpy as np

import quantised
import safetensors_file


def to_bf16(values):
    return safetensors_file.bf16_values(safetensors_file.bf16_bits(values.astype(np.float32)))


class Folder:
    def __init__(self, path):
        with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        index = os.path.join(path, "model.safetensors.index.json")
        if os.path.exists(index):
            with open(index, encoding="utf-8") as file:
                weight_map = json.load(file)["weight_map"]
            self.file_of = {name: os.path.join(path, file) for name, file in weight_map.items()}
        else:
            self.file_of = {name: file for file in glob.glob(os.path.join(path, "*.safetensors"))
                            for name in safetensors_file.File(file).header}
        self.prefix = "model." if "model.layers.0.ffn.gate.tid2eid" in self.file_of else ""
        self.files = {}

    def place(self, name):
        name = self.prefix + name
        path = self.file_of[name]
        if path not in self.files:
            self.files[path] = safetensors_file.File(path)
        return self.files[path], name

    def floats(self, name):
        file, name = self.place(name)
        dtype = file.header[name]["dtype"]
        if dtype not in ("F8_E4M3", "I8"):
            return file.floats(name)
        scales = self.integers(name.removeprefix(self.prefix).removesuffix("weight") + "scale")
        block = self.config["quantization_config"]["weight_block_size"]
        return quantised.dequantised(dtype, file.stored(name), scales, block).astype(np.float32)

    def integers(self, name):
        file, name = self.place(name)
        return file.stored(name)


class Layers:
    def __init__(self, folder, dtype):
        config = folder.config
        if config["scoring_func"] != "sqrtsoftplus" or config["hidden_act"] != "silu":
            raise SystemExit("this reference has sqrtsoftplus and silu alone")
        self.folder = folder
        self.is_bf16 = dtype == "bf16"
        self.limit = config["swiglu_limit"]
        self.scale = config["routed_scaling_factor"]
        self.reached = np.zeros(3)  # gates past the limit, ups past it, elements in all

    def rounded(self, values):
        """What is left of a value that is stored."""
        return to_bf16(values) if self.is_bf16 else values.astype(np.float32)

    def operand(self, name):
        values = self.folder.floats(name)
        return (to_bf16(values) if self.is_bf16 else values).astype(np.float64)

    def ffn(self, name, x):
        """w2 . (silu(gate) * up) with gate = min(w1 x, L) and up = clamp(w3 x, -L, L)."""
        gate = x @ self.operand(name + ".w1.weight").T
        up = x @ self.operand(name + ".w3.weight").T
        if self.limit > 0:
            self.reached += (gate > self.limit).sum(), (abs(up) > self.limit).sum(), gate.size
            gate = np.minimum(gate, self.limit)
            up = np.clip(up, -self.limit, self.limit)
        hidden = gate / (1 + np.exp(-gate)) * up
        if self.is_bf16:
            hidden = to_bf16(hidden).astype(np.float64)
        return self.rounded(hidden @ self.operand(name + ".w2.weight").T).astype(np.float64)

    def choice_weights(self, layer, x, experts):
        """scale * s / (sum of the token's s + 1e-20) with s = sqrt(softplus(W x)). W stays fp32."""
        gate = self.folder.floats(f"layers.{layer}.ffn.gate.weight").astype(np.float64)
        logits = np.take_along_axis(x @ gate.T, experts, axis=1)
        scores = np.sqrt(np.logaddexp(0, logits))
        return scores / (scores.sum(axis=1, keepdims=True) + 1e-20) * self.scale

    def run(self, layer, ids, x):
        """x: [tokens, d], rounded -> the layer's output, rounded; zero for padding."""
        here = f"layers.{layer}.ffn."
        known = np.flatnonzero(ids >= 0)
        inputs = x[known].astype(np.float64)
        experts = self.folder.integers(here + "gate.tid2eid")[ids[known]].astype(np.int64)
        weights = self.choice_weights(layer, inputs, experts)
        total = self.ffn(here + "shared_experts", inputs)
        for expert in np.unique(experts):
            tokens, choices = np.nonzero(experts == expert)
            rows = self.ffn(f"{here}experts.{expert}", inputs[tokens])
            np.add.at(total, tokens, weights[tokens, choices, None] * rows)
        output = np.zeros_like(x)
        output[known] = self.rounded(total)
        return output


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", required=True, help="i32 ids, one for each row of --hidden")
    parser.add_argument("--hidden", required=True)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--residual", choices=("on", "off"), default="on")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()

    folder = Folder(options.model)
    layers = Layers(folder, options.dtype)
    ids = np.fromfile(options.tokens, "<i4")
    x = layers.rounded(safetensors_file.File(options.hidden).floats("hidden_states"))
    if len(ids) != len(x) or ids.max() >= folder.config["vocab_size"] or ids.min() < -1:
        raise SystemExit("ids and hidden states do not go together")
    for layer in range(folder.config["num_hash_layers"]):
        y = layers.run(layer, ids, x)
        x = layers.rounded(x.astype(np.float64) + y) if options.residual == "on" else y
    safetensors_file.write(options.output, [("hidden_states", "F32", x.shape, lambda: x)])
    gates, ups, elements = layers.reached
    print(f"reference: {len(ids)} tokens, {(ids < 0).sum()} of padding, SwiGLU's limit reached by "
          f"{100 * gates / elements:.1f} % of gates and {100 * ups / elements:.1f} % of ups")


if __name__ == "__main__":
    main()

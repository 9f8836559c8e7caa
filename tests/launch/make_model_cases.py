#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small model folders as people have them, and input for them: make_model_cases.py DIR. Plain
Python, no packages. good/ is DeepSeek-V4's shape and names; the other folders differ from it in what
their names say, and hold the same values under the same of DeepSeek's names."""

import json
import os
import random
import struct
import sys

V, D, F, E, K, L = 64, 16, 12, 8, 2, 2
CONFIG = {
    "model_type": "deepseek_v4", "hidden_act": "silu", "hidden_size": D, "moe_intermediate_size": F,
    "n_routed_experts": E, "n_shared_experts": 1, "norm_topk_prob": True, "num_experts_per_tok": K,
    "num_hidden_layers": 4, "num_hash_layers": L, "routed_scaling_factor": 1.5,
    "scoring_func": "sqrtsoftplus", "swiglu_limit": 1.0, "topk_method": "noaux_tc", "vocab_size": V,
}
INDEX = "model.safetensors.index.json"
THEIRS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
OUT = sys.argv[1]


def floats(name, count):
    rng = random.Random(name)
    return struct.pack(f"<{count}f", *[rng.gauss(0, 1) for _ in range(count)])


def table(name):
    rng = random.Random(name)
    return struct.pack(f"<{V * K}q", *[x for _ in range(V) for x in rng.sample(range(E), K)])


def matrix(name, rows, cols):
    return name, "F32", [rows, cols], floats(name, rows * cols)


def ffn(name):
    return [matrix(f"{name}.{w}.weight", *shape)
            for w, shape in (("w1", (F, D)), ("w2", (D, F)), ("w3", (F, D)))]


def layer(number):
    """DeepSeek's names."""
    here = f"layers.{number}.ffn."
    tensors = [(here + "gate.tid2eid", "I64", [V, K], table(here)),
               matrix(here + "gate.weight", E, D)]
    for expert in range(E):
        tensors += ffn(f"{here}experts.{expert}")
    return tensors + ffn(here + "shared_experts")


def model():
    return [tensor for number in range(L) for tensor in layer(number)]


def renamed(tensors):
    """transformers' names, an expert by itself."""
    result = []
    for name, *rest in tensors:
        name = "model." + name.replace(".ffn.", ".mlp.")
        for own, theirs in THEIRS.items():
            name = name.replace(f".{own}.", f".{theirs}.")
        result.append((name, *rest))
    return result


def fused(tensors):
    """transformers' names, a layer's experts as two tensors: gate above up, [E, 2 F, D] and [E, D, F]."""
    data = {name: bytes_ for name, _, _, bytes_ in tensors}
    kept = [tensor for tensor in tensors if ".experts." not in tensor[0]]
    result = renamed(kept)
    for number in sorted({tensor[0].split(".")[1] for tensor in tensors}):
        of = f"layers.{number}.ffn.experts."
        both = b"".join(data[f"{of}{e}.{w}.weight"] for e in range(E) for w in ("w1", "w3"))
        down = b"".join(data[f"{of}{e}.w2.weight"] for e in range(E))
        here = f"model.layers.{number}.mlp.experts."
        result += [(here + "gate_up_proj", "F32", [E, 2 * F, D], both),
                   (here + "down_proj", "F32", [E, D, F], down)]
    return result


def write(path, tensors):
    header, at = {}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(t[3] for t in tensors))


def folder(name, tensors=None, config=None, **changes):
    path = os.path.join(OUT, name)
    os.makedirs(path)
    keys = {**(config or CONFIG), **changes}
    with open(path + "/config.json", "w", encoding="utf-8") as file:
        json.dump({key: value for key, value in keys.items() if value != "gone"}, file, indent=1)
    if tensors is not None:
        write(path + "/model.safetensors", tensors)
    return path


def index(path, weight_map):
    with open(os.path.join(path, INDEX), "w", encoding="utf-8") as file:
        json.dump({"weight_map": weight_map}, file)


def names():
    good = model()
    folder("good", good)
    folder("mlp", renamed(good))
    folder("fused", fused(good))
    folder("mixed", layer(0) + fused(layer(1)))
    folder("nested", good, {"text_config": CONFIG, "architectures": ["X"]})
    types = ["hash_moe", "hash_moe", "moe", "moe"]
    folder("layer-types", good, num_hash_layers="gone", mlp_layer_types=types)
    folder("inference-keys", good, {
        "dim": D, "moe_inter_dim": F, "n_routed_experts": E, "n_shared_experts": 1,
        "n_activated_experts": K, "n_layers": 4, "n_hash_layers": L, "route_scale": 1.5,
        "score_func": "sqrtsoftplus", "swiglu_limit": 1.0, "vocab_size": V, "hidden_act": "silu",
        "norm_topk_prob": True})
    folder("stacked", [t for t in good if ".0.ffn.experts." not in t[0]] + [
        (f"layers.0.ffn.experts.{w}.weight", "F32", [E, *shape],
         b"".join(floats(f"layers.0.ffn.experts.{e}.{w}.weight", F * D) for e in range(E)))
        for w, shape in (("w1", (F, D)), ("w2", (D, F)), ("w3", (F, D)))])
    folder("twice", good + renamed(ffn("layers.1.ffn.experts.3")[:1]))
    folder("fused-twice", fused(good) + ffn("layers.1.ffn.experts.3")[2:])
    folder("transposed", [(n, d, [E, D, 2 * F] if n.endswith("gate_up_proj") else s, b)
                          for n, d, s, b in fused(good)])
    folder("untabled", [t for t in fused(good) if "1.mlp.gate.tid2eid" not in t[0]])
    write(os.path.join(OUT, "mlp-names.safetensors"), renamed(layer(0)[:1] + layer(1)[:1]))


def overlays():
    """A newer shard for what an older one holds too."""
    good = model()
    victim = "layers.0.ffn.experts.3.w2.weight"
    stale = [(n, d, s, bytes(len(b)) if n == victim else b) for n, d, s, b in good]
    overlay = [t for t in good if t[0] == victim]
    of = {t[0]: "model.safetensors" for t in good}
    for name, weight_map in (
            ("overlay", {**of, victim: "overlay.safetensors"}),
            ("overlay-stale", of),
            ("overlay-lost", {**of, victim: "lost.safetensors"}),
            ("overlay-lacks", {**of, "layers.0.ffn.gate.weight": "overlay.safetensors"}),
            ("overlay-unindexed", None)):
        path = folder(name, stale)
        write(path + "/overlay.safetensors", overlay)
        if weight_map:
            index(path, weight_map)


def keys():
    good = model()
    for key in ("scoring_func", "n_shared_experts", "routed_scaling_factor", "norm_topk_prob",
                "hidden_act", "swiglu_limit"):
        folder("no-" + key, good, **{key: "gone"})
    folder("no-scale-no-gate", [t for t in good if ".gate.weight" not in t[0]],
           scoring_func="none", routed_scaling_factor="gone", norm_topk_prob="gone")
    folder("scaled-none", good, scoring_func="none")
    folder("unscored", good, scoring_func="none", routed_scaling_factor=1.0)
    folder("unshared", good, n_shared_experts=0)
    folder("scales", good + [matrix("layers.0.ffn.experts.1.w1.scale", 1, 1)])
    folder("fewer", good, num_hash_layers=1)
    folder("quantised-key", good, quantization_config={"quant_method": "fp8"}, expert_dtype="fp4")
    folder("other-router", good, hashep={"router": "token"})


def main():
    os.makedirs(OUT, exist_ok=True)
    names()
    overlays()
    keys()
    rng = random.Random(1)
    with open(os.path.join(OUT, "ids.bin"), "wb") as file:
        file.write(struct.pack("<64i", *[rng.randrange(V) for _ in range(64)]))
    write(os.path.join(OUT, "hidden.safetensors"), [matrix("hidden_states", 64, D)])


main()

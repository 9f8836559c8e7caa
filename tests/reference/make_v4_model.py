#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a small model folder in the shape of DeepSeek-V4's, and input for it: numpy and the standard
library alone, nothing of HashEP.

    tests/reference/make_v4_model.py DIR --shape flash --inputs INPUTS

The folder holds config.json with the published keys, shards and their index: three hash layers
(tid2eid), the learned layer that follows (gate.bias), and what else such a checkpoint has (embed, attn,
norms, hyper-connections, FP8 with scales), which are not for HashEP. The last shard is in the index
alone, as if it had not been downloaded. INPUTS gets tokens.bin (i32 ids, some of them padding, -1) and
hidden.safetensors. Each tensor follows from its name and --seed. --experts fp4 and --shared-experts fp8
are how the published checkpoints have them.

--defect spoils the folder in one known way: see DEFECTS.
"""

import argparse
import json
import os
import zlib

import numpy as np

import quantised
import safetensors_file

# Published: Flash has d 4096, f 2048, 256 experts, Pro d 7168, f 3072, 384 experts. Scaled down here
# by 64 in d and f and by 128 in the vocabulary; "full" is Flash's size; "wide" is a layer
# of it with few experts.
SHAPES = {
    "flash": dict(d=64, f=32, experts=256, hash_layers=3, layers=43, scale=1.5, heads=64),
    "pro": dict(d=112, f=48, experts=384, hash_layers=3, layers=61, scale=2.5, heads=128),
    "full": dict(d=4096, f=2048, experts=256, hash_layers=3, layers=43, scale=1.5, heads=64),
    "wide": dict(d=4096, f=2048, experts=7, hash_layers=1, layers=43, scale=1.5, heads=64),
}
TOP_K = 6
VOCAB = 1010
SPOILT = "layers.0.ffn.experts.5.w2.weight"  # of which the defects speak
DEFECTS = {
    "fp8 among bf16": "expert 5's w2 of layer 0 is FP8 with scales, as published",
    "fp4 among bf16": "it is packed FP4 (as I8) with scales, as published",
    "no scale": "it is FP4, and its scales are missing",
    "nan scale": "it is FP4, and one of its scales is NaN",
    "nan code": "it is FP8, and one of its codes is NaN",
    "scale rows": "it is FP4, and its scales are those of another shape",
    "other dtype": "it is F8_E5M2",
    "missing shard": "the index says that it is in a file that is not there",
    "missing tensor": "the index names a tensor that its file does not have",
    "wrong shard": "the index says that it is in the shard after its own",
    "two shards": "it is in the shard after its own, too",
    "two spellings": "it is in the index and the next shard, too, with or without 'model.'",
    "truncated": "the last byte of a shard is missing",
    "repeated expert": "a row of layer 0's table names an expert twice",
    "not remapped": "a table still names an expert that was pruned",
}


class Model:
    def __init__(self, options):
        self.options = options
        self.shape = dict(SHAPES[options.shape])
        if options.hash_layers:
            self.shape["hash_layers"] = options.hash_layers
        self.tensors = []  # (name, dtype, shape, make) in the order of the shards

    def random(self, name):
        return np.random.default_rng([self.options.seed, zlib.crc32(name.encode())])

    def add(self, name, dtype, shape, make):
        self.tensors.append((self.options.prefix + name, dtype, shape, make))

    def add_floats(self, name, shape, deviation, dtype=None, values=None):
        dtype = dtype or self.options.dtype

        def make():
            made = self.random(name).standard_normal(shape, np.float32) * np.float32(deviation)
            if values is not None:
                made[...] = values
            return safetensors_file.bf16_bits(made) if dtype == "BF16" else made

        self.add(name, dtype, shape, make)

    def add_bytes(self, name, dtype, shape):
        stored = safetensors_file.STORED[dtype]
        self.add(name, dtype, shape, lambda: self.random(name).integers(0, 127, shape, stored))

    def add_scaled(self, name, dtype, rows, cols):
        """What is not for HashEP: FP8 has a scale for 128 x 128 elements."""
        self.add_bytes(name + ".weight", dtype, (rows, cols))
        self.add_bytes(name + ".scale", "F8_E8M0", (-(-rows // 128), -(-cols // 128)))

    def add_quantised(self, name, type_name, rows, cols, deviation, is_absent):
        """FP8 or FP4 near normal values."""
        dtype = {"fp8": "F8_E4M3", "fp4": "I8"}[type_name]
        scale_dtype = "F8_E8M0" if type_name == "fp4" else self.options.scales
        block = quantised.FP4_BLOCK if type_name == "fp4" else self.options.block
        defect = self.options.defect if name + ".weight" == SPOILT else None

        def make(part):
            if self.options.random_codes:
                return self.random_part(name, part, dtype, shape, scale_shape, deviation)
            values = self.random(name + ".weight").standard_normal((rows, cols)) * deviation
            codes, scales = quantised.quantised(dtype, values, block, scale_dtype)
            if is_absent or defect == "nan scale":
                scales.flat[-1] = 255 if scales.dtype == np.uint8 else np.nan
            if defect == "nan code":
                codes[rows // 2, 3] = 0x7F
            return (codes, scales)[part]

        shape = (rows, cols // 2 if type_name == "fp4" else cols)
        scale_shape = (-(-rows // block[0]), -(-cols // block[1]))
        self.add(name + ".weight", "F8_E5M2" if defect == "other dtype" else dtype, shape, lambda: make(0))
        if defect == "scale rows":
            self.add(name + ".scale", scale_dtype, scale_shape[::-1], lambda: make(1).T.copy())
        elif defect != "no scale":
            self.add(name + ".scale", scale_dtype, scale_shape, lambda: make(1))

    def random_part(self, name, part, dtype, shape, scale_shape, deviation):
        """Codes or E8M0 scales with no thought of their values, but for the size of outputs: fast."""
        random = self.random(f"{name} {part}")
        if part == 1:
            e = 127 + int(np.log2(deviation / (3 if dtype == "I8" else 100)))
            return random.integers(e - 1, e + 1, scale_shape, np.uint8, endpoint=True)
        codes = np.frombuffer(random.bytes(int(np.prod(shape))), np.uint8).reshape(shape)
        if dtype != "I8":
            codes = np.where(codes & 127 == 127, codes - 1, codes)  # no NaN
        return codes.view(safetensors_file.STORED[dtype])

    def add_ffn(self, name, type_name, is_absent=False):
        """Deviations that take pre-activations (of normal inputs) past the limit of SwiGLU at times,
        and outputs to the size of the inputs."""
        d, f = self.shape["d"], self.shape["f"]
        spoilt = {
            "fp8 among bf16": "fp8", "nan code": "fp8", "other dtype": "fp8", "fp4 among bf16": "fp4",
            "no scale": "fp4", "nan scale": "fp4", "scale rows": "fp4",
        }.get(self.options.defect)
        for matrix, rows, cols, deviation in (
            ("w1", f, d, 4 / d**0.5), ("w2", d, f, 0.05 / f**0.5), ("w3", f, d, 6 / d**0.5)):
            here = spoilt if spoilt and f"{name}.{matrix}.weight" == SPOILT else type_name
            if here != "plain":
                self.add_quantised(f"{name}.{matrix}", here, rows, cols, deviation, is_absent)
            else:
                self.add_floats(f"{name}.{matrix}.weight", (rows, cols), deviation,
                                values=np.nan if is_absent else None)

    def table(self, layer):
        """[VOCAB, TOP_K] experts, distinct in a row, in no order."""
        experts = self.shape["experts"]
        keys = self.random(f"table {layer}").random((VOCAB, experts))
        table = np.argsort(keys, axis=1)[:, :TOP_K]
        if self.options.defect == "repeated expert" and layer == 0:
            table[17, 4] = table[17, 1]
        if self.options.defect == "not remapped":
            table[23, 2] = experts
        return table

    def add_layer(self, layer):
        d, experts = self.shape["d"], self.shape["experts"]
        is_hash = layer < self.shape["hash_layers"]
        here = f"layers.{layer}."
        self.add_floats(here + "attn_norm.weight", (d,), 1)
        self.add_scaled(here + "attn.wq_a", "F8_E4M3", 32, d)
        self.add_floats(here + "attn.attn_sink", (4,), 1, "F32")
        self.add_floats(here + "ffn_norm.weight", (d,), 1)
        self.add_floats(here + "hc_ffn_base", (24,), 1, "F32")
        gate = here + "ffn.gate."
        self.add_floats(gate + "weight", (experts, d), 2 / d**0.5)
        if is_hash:
            dtype = self.options.table_dtype
            self.add(gate + "tid2eid", dtype, (VOCAB, TOP_K),
                     lambda: self.table(layer).astype(safetensors_file.STORED[dtype]))
        else:  # one matrix stands for all of its experts
            self.add_floats(gate + "bias", (experts,), 1, "F32")
            self.add_floats(here + "ffn.experts.0.w1.weight", (self.shape["f"], d), 1)
            return
        for expert in range(experts):
            self.add_ffn(f"{here}ffn.experts.{expert}", self.options.experts, expert in self.options.absent)
        self.add_ffn(here + "ffn.shared_experts", self.options.shared_experts)

    def config(self):
        config = self.plain_config()
        if self.options.experts != "plain" or self.options.shared_experts != "plain":
            config["expert_dtype"] = self.options.experts
            config["quantization_config"] = {
                "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                "scale_fmt": "ue8m0", "weight_block_size": list(self.options.block),
            }
        return config

    def plain_config(self):
        return {
            "architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4",
            "hidden_act": "silu", "hidden_size": self.shape["d"], "vocab_size": VOCAB,
            "moe_intermediate_size": self.shape["f"], "n_routed_experts": self.shape["experts"],
            "n_shared_experts": 1, "num_experts_per_tok": TOP_K, "norm_topk_prob": True,
            "num_hidden_layers": self.shape["layers"], "num_hash_layers": self.shape["hash_layers"],
            "num_nextn_predict_layers": 1, "num_attention_heads": self.shape["heads"],
            "routed_scaling_factor": self.shape["scale"], "scoring_func": "sqrtsoftplus",
            "topk_method": "noaux_tc", "swiglu_limit": 10.0, "hc_mult": 4, "rms_norm_eps": 1e-06,
            "torch_dtype": "bfloat16", "tie_word_embeddings": False,
        }

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        d, hash_layers = self.shape["d"], self.shape["hash_layers"]
        self.add_floats("embed.weight", (VOCAB, d), 1)
        for layer in range(hash_layers + 1):
            self.add_layer(layer)
        self.add_floats("norm.weight", (d,), 1)

        count = self.options.shards
        shards = [f"model-{i + 1:05}-of-{count + 1:05}.safetensors" for i in range(count + 1)]
        of = {tensor[0]: i * count // len(self.tensors) for i, tensor in enumerate(self.tensors)}
        held = [[tensor for tensor in self.tensors if of[tensor[0]] == i] for i in range(count)]
        index = {name: shards[i] for name, i in of.items()}
        index[f"{self.options.prefix}layers.{hash_layers + 1}.ffn.gate.bias"] = shards[count]
        index["head.weight"] = shards[count]
        self.spoil(shards, of, held, index)

        for name, tensors in zip(shards, held):
            safetensors_file.write(os.path.join(folder, name), tensors)
        if self.options.defect == "truncated":
            path = os.path.join(folder, shards[1])
            os.truncate(path, os.path.getsize(path) - 1)
        write_json(os.path.join(folder, "config.json"), self.config())
        if not self.options.no_index:
            write_json(os.path.join(folder, "model.safetensors.index.json"),
                       {"metadata": {"total_size": 0}, "weight_map": index})

    def spoil(self, shards, of, held, index):
        spoilt = self.options.prefix + SPOILT
        after = of[spoilt] + 1
        tensor = next(tensor for tensor in self.tensors if tensor[0] == spoilt)
        defect = self.options.defect
        if defect == "missing shard":
            index[spoilt] = "model-00099-of-00099.safetensors"
        elif defect == "missing tensor":
            index[spoilt.replace("w2.weight", "w2.bias")] = shards[of[spoilt]]
        elif defect == "wrong shard":
            index[spoilt] = shards[after]
        elif defect == "two shards":
            held[after].append(tensor)
        elif defect == "two spellings":
            other = SPOILT if self.options.prefix else "model." + SPOILT
            held[after].append((other, *tensor[1:]))
            index[other] = shards[after]


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def write_inputs(folder, shape, rows, seed):
    """Ids fall off as those of text do; the first and the last of the vocabulary are there."""
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng([seed, rows])
    ids = np.minimum(random.zipf(1.3, rows) - 1, VOCAB - 1).astype("<i4")
    ids[: rows // 3] = random.integers(0, VOCAB, rows // 3)
    ids[rows // 2] = VOCAB - 1
    ids[rows // 4] = 0
    ids[[3, rows // 2 + 1, rows - 1]] = -1
    ids.tofile(os.path.join(folder, "tokens.bin"))
    hidden = random.standard_normal((rows, shape["d"]), np.float32)
    safetensors_file.write(os.path.join(folder, "hidden.safetensors"),
                           [("hidden_states", "F32", hidden.shape, lambda: hidden)])


def block_size(text):
    rows, _, cols = text.partition("x")
    return int(rows), int(cols)


def expert_range(text):
    first, _, end = text.partition(":")
    return range(int(first), int(end))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--shape", choices=SHAPES, default="flash")
    parser.add_argument("--dtype", choices=("BF16", "F32"), default="BF16", help="of weights")
    parser.add_argument("--experts", choices=("plain", "fp8", "fp4"), default="plain")
    parser.add_argument("--shared-experts", choices=("plain", "fp8"), default="plain")
    parser.add_argument("--scales", choices=("F8_E8M0", "F32"), default="F8_E8M0", help="of FP8")
    parser.add_argument("--block", type=block_size, default=(128, 128), metavar="ROWSxCOLS", help="of FP8")
    parser.add_argument("--random-codes", action="store_true", help="of FP4 and FP8, with E8M0 scales: fast")
    parser.add_argument("--hash-layers", type=int, help="in place of the shape's number")
    parser.add_argument("--table-dtype", choices=("I32", "I64"), default="I64")
    parser.add_argument("--prefix", choices=("", "model."), default="")
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--no-index", action="store_true")
    parser.add_argument("--absent", type=expert_range, default=range(0), metavar="FIRST:END",
                        help="experts of the hash layers that are NaN")
    parser.add_argument("--defect", choices=DEFECTS)
    parser.add_argument("--inputs", help="folder for tokens.bin and hidden.safetensors")
    parser.add_argument("--batch-tokens", type=int, default=61)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    Model(options).write(options.folder)
    if options.inputs:
        write_inputs(options.inputs, SHAPES[options.shape], options.batch_tokens, options.seed)


if __name__ == "__main__":
    main()

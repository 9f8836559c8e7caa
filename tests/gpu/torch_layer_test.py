#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch_layer_test.py SCRIPT: benchmarks/torch_layer.py on the CPU against sums in float64 that are
made one assignment at a time; it must also refuse wrong outputs. Skipped (77) where there is no torch."""

import json
import os
import struct
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError:
    print("skipped: this machine has no PyTorch")
    sys.exit(77)

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int32: "I32"}
failures = 0


def check(condition, what):
    global failures
    if not condition:
        failures += 1
    print(("ok      " if condition else "FAILED  ") + what)


def write_safetensors(path, tensors):
    header, offset, blobs = {}, 0, []
    for name, tensor in tensors.items():
        blob = bytes(tensor.contiguous().flatten().view(torch.uint8).tolist())
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def layer_by_hand(t, limit):
    y = torch.zeros(t["x"].shape, dtype=torch.float64)
    for token, chosen in enumerate(t["experts"].tolist()):
        for choice, expert in enumerate(chosen):
            if expert < 0:
                continue
            x = t["x"][token].double()
            gate, up = t["w1"][expert].double() @ x, t["w3"][expert].double() @ x
            if limit > 0:
                gate, up = gate.minimum(torch.tensor(limit)), up.clamp(-limit, limit)
            hidden = gate / (1 + torch.exp(-gate)) * up
            y[token] += t["weights"][token, choice].double() * (t["w2"][expert].double() @ hidden)
    return y


def example(seed, limit, dtype):
    random = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return (scale * torch.randn(*shape, generator=random)).to(dtype)
    tokens, d, f, num_experts, top_k = 37, 32, 48, 5, 3
    experts = torch.stack([torch.randperm(num_experts, generator=random)[:top_k] for _ in range(tokens)])
    experts[torch.rand(tokens, top_k, generator=random) < 0.4] = -1
    experts[experts == 3] = -1  # an expert with no rows
    experts[0] = -1  # a token with no expert here
    t = {"x": normal(tokens, d), "experts": experts.to(torch.int32),
         "weights": torch.rand(tokens, top_k, generator=random),
         "w1": normal(num_experts, f, d), "w3": normal(num_experts, f, d),
         "w2": normal(num_experts, d, f, scale=0.2)}
    if limit > 0:
        t["swiglu_limit"] = torch.tensor([limit])
    t["y"] = layer_by_hand(t, limit).to(dtype)
    return t


def run(script, folder, tensors):
    path, result = os.path.join(folder, "layer.safetensors"), os.path.join(folder, "torch.json")
    if os.path.exists(result):
        os.remove(result)
    write_safetensors(path, tensors)
    done = subprocess.run([sys.executable, script, "--input", path, "--device", "cpu", "-n", "3", "-J", result],
                          capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr)
    document = None
    if os.path.exists(result):
        with open(result, encoding="utf-8") as file:
            document = json.load(file)
    return done.returncode, document


def main(script):
    with tempfile.TemporaryDirectory() as folder:
        for limit in (0.0, 2.0):
            for dtype in (torch.bfloat16, torch.float32):
                what = f"limit {limit}, {dtype}"
                code, document = run(script, folder, example(7, limit, dtype))
                check(code == 0 and document is not None, f"agrees with sums by hand, {what}")
                rows = {row["name"]: row for row in document["results"]} if document else {}
                check({"torch", "torch_loop", "torch_dense_gemm"} <= rows.keys(), f"has its rows, {what}")
                check(rows and all(len(row["samples_us"]) == 3 and row["median_us"] > 0
                                   for row in rows.values()), f"has all samples, {what}")
        check(float(example(7, 2.0, torch.float32)["y"].sub(example(7, 0.0, torch.float32)["y"]).norm()) > 0.1,
              "the limit matters to the example")
        wrong = example(8, 2.0, torch.bfloat16)
        wrong["y"][5] *= 1.5
        code, document = run(script, folder, wrong)
        check(code == 1 and document is None, "refuses an output of which one row is wrong")
        wrong = example(8, 2.0, torch.bfloat16)
        wrong["y"][5, 5] = float("nan")
        code, document = run(script, folder, wrong)
        check(code == 1 and document is None, "refuses an output with a NaN")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

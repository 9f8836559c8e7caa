#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The experts of one rank in PyTorch, as a peer for `hashep-bench-gpu layer`.

Reads what `hashep-bench-gpu layer --dump FILE` wrote (safetensors), computes the same layer, compares
the outputs, and only then times it: permute (index_select), grouped GEMM, clamped SwiGLU, grouped
GEMM, weighted combine (index_add in fp32, rounded once). Which rows go where is worked out before
the clock starts, as HashEP's plans are. Writes the result JSON of all HashEP programs.

Tensors of FILE: x [tokens, d], experts [tokens, k] (i32, local experts, -1: not on this rank),
weights [tokens, k] (f32), w1 and w3 [E, f, d], w2 [E, d, f], y [tokens, d] (HashEP's output), and
maybe swiglu_limit [1] (f32; 0 or none: no limit).
"""

import argparse
import os
import platform
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from peers.result import commit, now, sample_fields, write_json
from peers.torch_tensors import read_safetensors

TOLERANCE = 1e-2  # relative, in the norm: what docs/design.md allows bf16
WARM_UPS = 5
GROUPED_MM = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)


class Layer:
    """The layer with its plan: which token each expert row is of, rows in order of their experts."""

    def __init__(self, tensors, device):
        experts = tensors["experts"].long()
        tokens, self.top_k = experts.shape
        self.num_experts, self.ffn_size, self.hidden_size = tensors["w1"].shape
        if experts.max() >= self.num_experts or experts.min() < -1:
            raise ValueError("experts: an index is outside [-1, number of experts)")
        landed = torch.nonzero(experts.flatten() >= 0).flatten()
        landed = landed[torch.argsort(experts.flatten()[landed], stable=True)]
        counts = torch.bincount(experts.flatten()[landed], minlength=self.num_experts)
        self.rows = landed.numel()
        self.counts = counts.tolist()
        self.token_of_row = (landed // self.top_k).to(device)
        self.weight_of_row = tensors["weights"].float().flatten()[landed].unsqueeze(1).to(device)
        self.row_ends = counts.cumsum(0).to(torch.int32).to(device)
        self.x = tensors["x"].to(device)
        self.dtype = self.x.dtype
        # One GEMM for gate and up, as serving engines do.
        self.w13 = torch.cat([tensors["w1"].to(device), tensors["w3"].to(device)], dim=1)
        self.w2 = tensors["w2"].to(device)
        limit = float(tensors["swiglu_limit"]) if "swiglu_limit" in tensors else 0.0
        self.limit = limit if limit > 0 else None
        self.output_shape = (tokens, self.hidden_size)

    def activate(self, gate_up):
        gate, up = gate_up.chunk(2, dim=-1)
        if self.limit is not None:
            gate = gate.clamp(max=self.limit)
            up = up.clamp(min=-self.limit, max=self.limit)
        return F.silu(gate) * up

    def experts_grouped(self, rows):
        hidden = self.activate(GROUPED_MM(rows, self.w13.transpose(-2, -1), offs=self.row_ends))
        return GROUPED_MM(hidden, self.w2.transpose(-2, -1), offs=self.row_ends)

    def experts_loop(self, rows):
        output = torch.empty_like(rows)
        begin = 0
        for expert, count in enumerate(self.counts):
            if count > 0:
                end = begin + count
                hidden = self.activate(F.linear(rows[begin:end], self.w13[expert]))
                torch.mm(hidden, self.w2[expert].t(), out=output[begin:end])
                begin = end
        return output

    def run(self, experts):
        """The output [tokens, d] by one of the two ways to compute the experts."""
        rows = self.x.index_select(0, self.token_of_row)
        weighted = experts(rows) * self.weight_of_row  # fp32, as the weights are
        y = torch.zeros(self.output_shape, dtype=torch.float32, device=rows.device)
        return y.index_add_(0, self.token_of_row, weighted).to(self.dtype)

    def flops(self):
        return 6 * self.rows * self.hidden_size * self.ffn_size


def relative_error(y, expected):
    norm = expected.float().norm().item()
    if not norm > 0:
        raise ValueError("y is zero or not a number: there is nothing to compare with")
    return (y.float() - expected.float()).norm().item() / norm


def time_us(call, repeats, device):
    """Microseconds of each of `repeats` calls after the warm-ups: by events on a GPU."""
    for _ in range(WARM_UPS):
        call()
    if device.type != "cuda":
        samples = []
        for _ in range(repeats):
            begin = time.perf_counter()
            call()
            samples.append(1e6 * (time.perf_counter() - begin))
        return samples
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
             for _ in range(repeats)]
    torch.cuda.synchronize()
    for begin, end in pairs:
        begin.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [1e3 * begin.elapsed_time(end) for begin, end in pairs]


def captured(call):
    """The call as a CUDA graph: (replay, its output). Raises where it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()
    return graph.replay, output


def row(name, layer, device, samples, flops, **more):
    median = statistics.median(samples)
    return {"name": name, "transport": None, "device": device.type,
            "dtype": {torch.bfloat16: "bf16", torch.float32: "fp32"}.get(layer.dtype, str(layer.dtype)),
            "workload": None, "tokens_per_rank": layer.output_shape[0],
            "hidden_size": layer.hidden_size, "ffn_size": layer.ffn_size,
            "num_experts": layer.num_experts, "top_k": layer.top_k, "bytes_off_rank": None,
            **sample_fields(samples), "wrong": 0,
            "rows": layer.rows, "tflops": round(flops / median * 1e-6, 3), **more}


def measure(layer, expected, device, repeats):
    """The rows of the result. Raises ValueError where an output is wrong."""
    ways = {"torch_loop": layer.experts_loop}
    if GROUPED_MM is None:
        print("torch_grouped: not measured: this torch has no grouped_mm")
    else:
        ways["torch_grouped"] = layer.experts_grouped
    calls = {}
    for name, experts in ways.items():
        def call(experts=experts):
            return layer.run(experts)
        try:
            calls[name] = (call, call())
        except (RuntimeError, NotImplementedError) as error:
            if name == "torch_loop":
                raise
            print(f"{name}: not measured: {str(error).splitlines()[0]}")
            continue
        if device.type == "cuda":
            try:
                replay, output = captured(call)
                replay()
                calls[name + "_graph"] = (replay, output)
            except RuntimeError as error:
                torch.cuda.synchronize()
                print(f"{name}_graph: not measured: {str(error).splitlines()[0]}")
    rows = []
    for name, (_, output) in calls.items():
        error = relative_error(output, expected)
        print(f"{name}: relative error {error:.2e} (bound {TOLERANCE:.0e})")
        if not error < TOLERANCE:  # so that NaN fails
            raise ValueError(f"{name} and HashEP have different outputs")
        rows.append({"name": name, "error": error})
    rows = [row(r["name"], layer, device, time_us(calls[r["name"]][0], repeats, device), layer.flops(),
                relative_error=r["error"]) for r in rows]
    fastest = min(rows, key=lambda r: r["median_us"])
    rows.insert(0, {**fastest, "name": "torch", "workload": fastest["name"]})

    dense_rows = layer.x.index_select(0, layer.token_of_row)
    hidden = torch.randn(layer.rows, layer.ffn_size, device=device).to(layer.dtype)

    def dense():
        F.linear(dense_rows, layer.w13[0])
        return F.linear(hidden, layer.w2[0])
    rows.append(row("torch_dense_gemm", layer, device, time_us(dense, repeats, device), layer.flops()))
    return rows


def document(results, device):
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"program": "torch_layer", "version": torch.__version__, "commit": commit(),
            "date": now(),
            "args": sys.argv[1:],
            "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                        "gpu": gpu, "mpi": None, "torch": torch.__version__,
                        "cuda": torch.version.cuda},
            "ranks": 1, "results": results}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="file that hashep-bench-gpu layer --dump wrote")
    parser.add_argument("-J", "--json", help="where the result goes")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("-n", "--repeats", type=int, default=30, help="timed calls of each way")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats: at least 1")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("torch_layer: error: torch sees no GPU", file=sys.stderr)
        return 1
    device = torch.device(arguments.device)
    try:
        tensors, _ = read_safetensors(arguments.input)
        with torch.inference_mode():
            results = measure(Layer(tensors, device), tensors["y"].to(device), device, arguments.repeats)
    except (KeyError, OSError, ValueError) as error:
        print(f"torch_layer: error: {arguments.input}: {error!r}", file=sys.stderr)
        return 1
    for result in results:
        print(f"{result['name']:<22} {result['median_us']:>12.1f} us {result['tflops']:>9.3f} TFLOP/s")
    if arguments.json:
        write_json(arguments.json, document(results, device))
    return 0


if __name__ == "__main__":
    sys.exit(main())

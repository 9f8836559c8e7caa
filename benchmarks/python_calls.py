#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What calls from Python cost beside the same calls in C++, in one run.

    launch/mpirun.sh --per core 2 python3 benchmarks/python_calls.py --json RESULT.json

Calls: forward_layer and a step of training (forward_layer with a tape, backward_layer) of a layer so
small that it is all call; then of layers of real sizes, and hashep.torch's module where there is PyTorch.
Rounds of both take turns; medians and quartiles of their differences. Results of both are compared first.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np

import hashep

SIZES = [(4, 16, 32, 4), (64, 256, 512, 8), (512, 512, 1024, 16), (2048, 1024, 2048, 16)]
ROUNDS = 11


class Case:
    """A layer, and its three ways: C++ alone, calls from Python, and PyTorch's module."""

    def __init__(self, context, tokens, hidden_size, ffn_size, num_experts):
        random = np.random.default_rng(context.rank)
        self.ids = random.integers(0, 1000, tokens)
        self.x = random.standard_normal((tokens, hidden_size), dtype=np.float32)
        self.y, self.tape = np.empty_like(self.x), hashep.Tape()
        shape = hashep.StackShape(
            num_layers=1, hidden_size=hidden_size, ffn_size=ffn_size, num_experts=num_experts
        )
        self.stack = hashep.Stack(
            context,
            shape,
            hashep.HashRouter(1000),
            hashep.synthetic_weights(shape),
            residual=False,
            training=hashep.TrainingOptions(),
        )
        self.batch = self.stack.submit(self.ids, seq_len=tokens)

    def cpp(self, steps, trains):
        return self.stack._time_layer_steps(
            self.batch, self.x, self.y, self.tape if trains else None, steps
        )

    def python(self, steps, trains):
        stack, batch, x, y, tape = self.stack, self.batch, self.x, self.y, self.tape
        begin = time.perf_counter()
        for _ in range(steps):
            if trains:
                stack.forward_layer(batch, 0, x, y, tape)
                stack.backward_layer(batch, 0, tape, y, y)
            else:
                stack.forward_layer(batch, 0, x, y)
        return time.perf_counter() - begin


class TorchCase:
    """The module on the same sizes."""

    def __init__(self, context, case, hidden_size, ffn_size, num_experts):
        import torch

        import hashep.torch

        torch.set_num_threads(1)
        self.torch = torch
        planner = hashep.torch.Planner(
            context,
            hidden_size=hidden_size,
            ffn_size=ffn_size,
            num_experts=num_experts,
            router=hashep.HashRouter(1000),
            weights=hashep.synthetic_weights(case.stack.shape),
        )
        self.layer = hashep.torch.MoE(planner)
        planner.plan(torch.from_numpy(case.ids))
        self.x = torch.from_numpy(case.x).requires_grad_()
        self.dy = torch.ones_like(self.x)

    def run(self, steps, trains):
        begin = time.perf_counter()
        for _ in range(steps):
            if trains:
                y = self.layer(self.x)
                y.backward(self.dy)
            else:
                with self.torch.no_grad():
                    self.layer(self.x)
        return time.perf_counter() - begin


def measure(context, ways, trains):
    """Seconds a step of each way: [ROUNDS] each, the ways taking turns. Steps: some 50 ms a round."""
    once = max(way(3, trains) / 3 for way in ways.values())
    mine = hashep.ReproducibleSum(context, 1, 1)
    mine.add(np.full((1, 1), once / context.size, np.float32))
    steps = int(np.clip(0.05 / float(mine.finish()[0, 0]), 3, 2000))
    samples = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            samples[name].append(way(steps, trains) / steps)
    return samples


def quartiles(values):
    return statistics.quantiles(values, n=4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file to write the result to")
    options = parser.parse_args()
    context = hashep.Context(threads=1)
    rows = []
    for tokens, hidden_size, ffn_size, num_experts in SIZES:
        case = Case(context, tokens, hidden_size, ffn_size, num_experts)
        expected = case.stack.forward_layer(case.batch, 0, case.x).copy()
        case.cpp(1, False)
        if not np.array_equal(case.y, expected):
            sys.exit("python_calls: the two ways have other results")
        ways = {"cpp": case.cpp, "python": case.python}
        try:
            module = TorchCase(context, case, hidden_size, ffn_size, num_experts)
            if not np.array_equal(module.layer(module.x).detach().numpy(), expected):
                sys.exit("python_calls: the module has other results")
            ways["torch"] = module.run
        except ImportError:
            pass
        for trains in (False, True):
            samples = measure(context, ways, trains)
            calls = 2 if trains else 1
            row = {
                "tokens": tokens,
                "hidden_size": hidden_size,
                "ffn_size": ffn_size,
                "num_experts": num_experts,
                "trains": trains,
                "cpp_us": [1e6 * each for each in quartiles(samples["cpp"])],
            }
            for name in ways:
                if name == "cpp":
                    continue
                pairs = list(zip(samples[name], samples["cpp"]))
                row[name + "_us_a_call"] = quartiles([1e6 * (a - b) / calls for a, b in pairs])
                row[name + "_ratio"] = quartiles([a / b for a, b in pairs])
            rows.append(row)
            if context.rank == 0:
                what = "forward and backward" if trains else "forward"
                line = f"{tokens:5} tokens, d {hidden_size}, f {ffn_size}, {what}: C++ {row['cpp_us'][1]:.1f} us"
                for name in ways:
                    if name != "cpp":
                        line += (
                            f"; {name} +{row[name + '_us_a_call'][1]:.1f} us a call, "
                            f"ratio {row[name + '_ratio'][1]:.3f}"
                        )
                print(line, flush=True)
    if options.json and context.rank == 0:
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        commit = subprocess.run(
            ["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip()
        with open("/proc/cpuinfo") as info:
            cpu = next((line.split(":")[1].strip() for line in info if "model name" in line), "?")
        result = {
            "benchmark": "python_calls",
            "commit": commit,
            "cpu": cpu,
            "ranks": context.size,
            "threads": context.threads,
            "transport": context.transport,
            "mpi": hashep.mpi_library(),
            "python": platform.python_version(),
            "rounds": ROUNDS,
            "quartiles": rows,
        }
        with open(options.json + ".tmp", "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
        os.replace(options.json + ".tmp", options.json)


if __name__ == "__main__":
    main()

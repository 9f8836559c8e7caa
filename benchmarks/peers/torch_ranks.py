#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A layer that `hashep-bench layer --dump DIR` wrote, in PyTorch on as many ranks (gloo).

Start it on one machine, as the ranks of the dump were: launch/mpirun.sh RANKS torch_ranks.py --input
DIR. Compares its outputs with HashEP's on all ranks and stops with exit code 1 where they differ; then times the
layer and prints one line of JSON, or with --turns one for each line "SAMPLES" on standard input.
"""

import argparse
import datetime
import json
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from peers.torch_ep_layer import EpLayer  # noqa: E402
from peers.torch_experts import Experts, fastest_layout  # noqa: E402
from peers.torch_tensors import read_safetensors  # noqa: E402
from peers.torch_training import EpTrainingLayer  # noqa: E402

PROGRAM = "torch_ranks"
BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # as HashEP's own checks have them
# Of gradients through relu: of some ten million pre-activations a few are so near to 0 that another order
# of summing takes them to the other side, and an element of the gradient with them.
RELU_GRADIENT_BOUND = 2e-3
# (rank, ranks) as launchers tell them.
LAUNCHERS = [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"),
             ("SLURM_PROCID", "SLURM_NTASKS")]


def blas():
    """The libraries that the GEMMs may come from, as loaded into this process."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        files = {os.path.basename(line.split()[-1]) for line in maps if "/" in line}
    return ", ".join(sorted(name for name in files
                            if any(word in name for word in ("blas", "mkl", "dnnl"))))


def place():
    for rank, ranks in LAUNCHERS:
        if rank in os.environ:
            return int(os.environ[rank]), int(os.environ[ranks])
    return 0, 1


def summed(tensor):
    dist.all_reduce(tensor)
    return tensor


def max_over_ranks(values):
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.tolist()


def row_error(y, expected):
    """The largest |y - expected| / |expected| of a row, infinity where a value is not finite."""
    difference = (y.double() - expected.double()).norm(dim=1)
    error = torch.where(difference == 0, difference, difference / expected.double().norm(dim=1))
    return float("inf") if error.isnan().any() else error.max().item()


def load(folder, layout, native, backward):
    """(layer, expected output, what the row of the result tells of it, expected gradients by name)."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    tensors, metadata = read_safetensors(os.path.join(folder, f"rank-{rank}.safetensors"))
    if (int(metadata["ep_rank"]), int(metadata["ep_size"])) != (rank, ranks):
        raise ValueError(f"written by rank {metadata['ep_rank']} of {metadata['ep_size']}, read by "
                         f"rank {rank} of {ranks}")
    if (tensors["experts"] < 0).any():
        raise ValueError("padding tokens are not for this peer")

    here = [f"layers.0.ffn.experts.{expert}." for expert in range(int(metadata["num_experts"]))
            if f"layers.0.ffn.experts.{expert}.w1.weight" in tensors]
    counts = torch.zeros(ranks, dtype=torch.int64)
    counts[rank] = len(here)
    experts_of_rank = summed(counts).tolist()
    first = sum(experts_of_rank[:rank])
    if min(experts_of_rank) == 0:
        raise ValueError("a rank without experts is not for this peer")
    if here[0] != f"layers.0.ffn.experts.{first}.":
        raise ValueError("experts do not stand in consecutive blocks over the ranks")
    weights = [tuple(tensors.pop(name + matrix + ".weight", None) for matrix in ("w1", "w2", "w3"))
               for name in here]

    ids, chosen, x = tensors["token_ids"].long(), tensors["experts"].long(), tensors["x"]
    table = torch.zeros(int(ids.max()) + 1, chosen.shape[1], dtype=torch.int64)
    table[ids] = chosen
    if not torch.equal(table[ids], chosen):
        raise ValueError("experts do not follow from token ids alone")
    if backward:
        layer = EpTrainingLayer(ids, table, x, weights, metadata["activation"], experts_of_rank, tensors["dy"])
        gradients = {name: tensors[f"{name}.gradient"]
                     for name in (f"{expert}{matrix}.weight" for expert in here for matrix in ("w1", "w2", "w3"))
                     if f"{name}.gradient" in tensors}
        return layer, tensors["y"], {"gemm": "autograd, " + str(x.dtype).replace("torch.", "")}, \
            {"dx": tensors["dx"], **gradients}
    if layout == "fastest":
        sample = weights[0][0] if native else weights[0][0].float()
        rows = chosen.numel() // len(here)
        layout = fastest_layout(sample, rows, summed)
    experts = Experts(weights, metadata["activation"], x.dtype, layout, native)
    each = None if (tensors["weights"] == 1).all() else tensors["weights"]
    layer = EpLayer(ids, table, x, each, experts, experts_of_rank)
    gemm = str(experts.gemm_dtype).replace("torch.", "")
    return layer, tensors["y"], {"gemm": f"{layout}, {gemm}"}, {}


def gradient_error(layer, gradients):
    """The largest |got - expected| / |expected| of a matrix, infinity where one is missing."""
    here = [name.rsplit(".", 2)[0] for name in gradients if name.endswith(".w1.weight")]
    found = {"dx": layer.x.grad}
    for name, expert in zip(here, layer.experts):
        found.update({f"{name}.{matrix}.weight": parameter.grad
                      for matrix, parameter in expert.named_parameters()})
    errors = []
    for name, expected in gradients.items():
        got = found.get(name)
        if got is None:  # an expert without rows
            got = torch.zeros_like(expected)
        norm = expected.double().norm().item()
        difference = (got.double() - expected.double()).norm().item()
        errors.append(difference / norm if norm > 0 else difference)
    return max(errors) if all(error == error for error in errors) else float("inf")


def compare(layer, expected, gradients):
    """The largest error of a row, or of a gradient, on any rank. Ends the program where it is too large."""
    bound = BOUNDS[layer.x.dtype]
    errors, bounds = [row_error(layer.run(), expected)], [bound]
    if gradients:
        errors.append(gradient_error(layer, gradients))
        bounds.append(max(bound, RELU_GRADIENT_BOUND if layer.experts[0].activation == "relu" else 0.0))
    errors = max_over_ranks(errors)
    error, bound = max(zip(errors, bounds), key=lambda pair: pair[0] / pair[1])
    if not error < bound:
        if dist.get_rank() == 0:
            what = "outputs or gradients" if gradients else "outputs"
            print(f"{PROGRAM}: error: {what} differ from HashEP's: relative error {error:.2e}, bound "
                  f"{bound:.0e}", file=sys.stderr, flush=True)
        dist.barrier()  # mpirun ends all ranks where one ends with an error
        sys.exit(1)
    return error


def sample(layer, warm_up, samples):
    """Microseconds of each run on the slowest rank, and the medians of its phases here."""
    times, phases = [], []
    for _ in range(warm_up + samples):
        dist.barrier()
        begin = time.perf_counter()
        layer.run()
        times.append(1e6 * (time.perf_counter() - begin))
        phases.append(layer.phases)
    return {"samples_us": max_over_ranks(times[warm_up:]),
            "phases_us": {name: round(1e6 * statistics.median(p[name] for p in phases[warm_up:]), 1)
                          for name in phases[-1]}}


def turns():
    """Samples asked for on rank 0's standard input, one number a line, on all ranks."""
    while True:
        line = sys.stdin.readline() if dist.get_rank() == 0 else ""
        count = torch.tensor([int(line) if line.strip() else 0])
        dist.broadcast(count, 0)
        if count.item() == 0:
            return
        yield count.item()


def work(arguments):
    layer, expected, about, gradients = load(arguments.input, arguments.layout, arguments.native_bf16,
                                             arguments.backward)
    about["relative_error"] = compare(layer, expected, gradients)
    about["torch"], about["blas"] = torch.__version__, blas()

    def tell(message):
        if dist.get_rank() == 0:
            print(json.dumps(message), flush=True)
    if not arguments.turns:
        tell({**about, **sample(layer, arguments.warm_up, arguments.samples)})
        return
    tell(about)
    for count in turns():
        tell(sample(layer, arguments.warm_up, count))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="folder that hashep-bench layer --dump wrote to")
    parser.add_argument("-n", "--samples", type=int, default=5)
    parser.add_argument("-w", "--warm-up", type=int, default=1)
    parser.add_argument("--turns", action="store_true", help="samples are asked for on standard input")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layout", choices=["fastest", "stored", "transposed", "packed"],
                        default="fastest", help="of the weights")
    parser.add_argument("--native-bf16", action="store_true",
                        help="bf16 by torch's own GEMMs, however slow, not by fp32 ones")
    parser.add_argument("--backward", action="store_true",
                        help="forward and backward, by autograd, of what --backward has dumped")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds a rank waits for others")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    rank, ranks = place()
    # Ranks of one launch have one parent, and no other launch has that while they live.
    store = os.path.join(os.path.abspath(arguments.input), f"store-{os.getppid()}")
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks,
                                timeout=datetime.timedelta(seconds=arguments.deadline))
        with torch.inference_mode(not arguments.backward):
            work(arguments)
        # Together: a rank whose threads lose their peers while it ends may be aborted.
        dist.barrier()
        dist.destroy_process_group()
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        print(f"{PROGRAM}: error: {arguments.input}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

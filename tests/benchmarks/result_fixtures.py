# SPDX-License-Identifier: Apache-2.0
"""Small results in the shape that HashEP's programs write, and plot.py at work in this process."""

import contextlib
import io
import json
import pathlib
import random
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "benchmarks"))
sys.dont_write_bytecode = True
import plot  # noqa: E402, the path has to be set first
import summarise  # noqa: E402

PHASES = {"route": 20, "plan": 30, "gate": 15, "dispatch": 200, "experts": 5000,
          "shared_experts": 900, "combine": 180, "layer": 6400, "gemm_alone": 5700,
          "copy_bound": 150}
BOUNDS = ["gemm_alone", "copy_bound"]


def row(name, median, **fields):
    """A measured row whose samples vary by a few percent, the same each time."""
    chance = random.Random(f"{name} {median} {fields}")
    samples = sorted(round(median * chance.uniform(0.97, 1.03), 2) for _ in range(15))
    whole = {"name": name, "transport": None, "device": "cpu", "dtype": "fp32",
             "workload": "uniform", "tokens_per_rank": 64, "hidden_size": 1024, "ffn_size": None,
             "num_experts": 16, "top_k": 1, "bytes_off_rank": 1024, "median_us": samples[7],
             "p50_us": samples[7], "p90_us": samples[13], "p99_us": samples[14],
             "min_us": samples[0], "samples_us": samples, "max_over_ranks": True, "wrong": 0}
    return {**whole, **fields}


def document(results, program="hashep-bench", **fields):
    return {"program": program, "version": "0.1.0", "commit": "0123456789ab",
            "date": "2026-01-01T00:00:00Z", "args": [], "machine": {"cpu": "a", "cores": 2},
            "ranks": 2, "results": results, **fields}


def exchange():
    rows = []
    for tokens in (1, 64, 4096):
        for direction in ("dispatch", "combine"):
            size = {"direction": direction, "tokens_per_rank": tokens, "bytes": tokens * 4096}
            for transport, cost in (("shm", 1), ("mpi", 4)):
                rows.append(row(direction, cost * (1 + tokens / 2), transport=transport, **size))
            rows.append(row("alltoallv", 3 + tokens, **size))
            rows.append(row("pack_alltoallv_unpack", 4 + 2 * tokens, **size))
        rows.append(row("copy_bound", 0.1 + tokens / 2.2, tokens_per_rank=tokens, direction="copy",
                        bytes=tokens * 4096, workload=f"uniform, way {tokens}"))
    return document(rows)


def layer():
    rows = [row(name, median * scale, transport="shm", ffn_size=4096, planning=planning)
            for planning, scale in (("ahead", 1), ("inline", 1.2))
            for name, median in PHASES.items() if name not in BOUNDS]
    bounds = [row(name, PHASES[name], ffn_size=4096) for name in BOUNDS]
    bounds[-1]["workload"] += ", memcpy"
    return document(rows + bounds)


def run():
    rows = [row("step" if name == "layer" else name, median, transport="shm")
            for name, median in PHASES.items() if name not in BOUNDS]
    return document(rows, "hashep run", phases={each["name"]: each for each in rows},
                    load={"expert_max_over_mean": 1.9, "rank_max_over_mean": 1.1})


def table():
    loads = [400, 100, 60, 40, 20, 20, 0, 0]
    return document([{"name": "tid2eid", "layer": None, "expert_max_over_mean": 5.0, "bound": 4.0,
                      "rank_max_over_mean": {"2": 1.5, "4": 2.5}, "loads": loads}],
                    "hashep table inspect", metadata={"method": "balanced", "target": "both"})


def plan():
    return document([{"ranks": ranks, "ranks_per_node": 8, "dtype": "fp32", "top_k": 2,
                      "expert_max_over_mean": 2.5, "rank_max_over_mean": 1 + ranks / 64,
                      "node_max_over_mean": 1.1, "bound": 2.0, "bytes_intra": 10 ** 9,
                      "bytes_inter": 10 ** 9 * ranks, "bytes_inter_dedup": 6 * 10 ** 8 * ranks}
                     for ranks in (8, 16, 64)], "hashep plan")


def traffic():
    """What `hashep plan --csv` writes."""
    lines = ["ranks,ranks_per_node,unit,source,target,bytes,bytes_dedup"]
    for ranks, unit, dedup in ((4, "node", True), (3, "rank", False)):
        lines += [f"{ranks},2,{unit},{i},{j},{4096 * (i + 2 * j)}," + str(4096 * j if dedup else "")
                  for i in range(ranks) for j in range(ranks)]
    return "\n".join(lines) + "\n"


def scale():
    rows = []
    for mode in ("strong", "weak"):
        for ranks, efficiency in ((1, 1.0), (2, 0.93), (4, 0.81)):
            time = 8000 / efficiency / (ranks if mode == "strong" else 1)
            lost = 1 - efficiency
            rows.append(row(mode, time, ranks=ranks, transport="shm", ffn_size=4096,
                            tokens_per_rank=4096 // (ranks if mode == "strong" else 1),
                            shares_cores=ranks == 4, efficiency=efficiency,
                            efficiency_min=efficiency - 0.04,
                            efficiency_max=min(1.0, efficiency + 0.02),
                            loss={"imbalance": lost / 2, "exchange": lost, "gemm_shape": -lost / 2,
                                  "other": 0.0}))
    return document(rows)


def predicted():
    return document([{"name": "predicted", "of": of, "scaling": "weak", "ranks": ranks,
                      "ranks_per_node": 8, "transport": "hier", "tokens_per_rank": 4096,
                      "predicted_us": time, "low_us": time * 0.9, "high_us": time * 1.2,
                      "efficiency": 8000 / time,
                      "parts_us": {"experts": 8000, "dispatch": time - 8000}}
                     for of in ("layer", "dispatch")
                     for ranks, time in ((1, 8000), (8, 9000), (64, 11000), (512, 15000))])


def simulation():
    return document([{"name": name, "transport": transport, "ranks": ranks, "ranks_per_node": 8,
                      "simulated": True, "top_k": top_k, "tokens_per_rank": 64, "dtype": "fp32",
                      "hidden_size": 1024, "num_experts": 256, "samples_us": [time],
                      "median_us": time}
                     for name in ("dispatch", "combine") for top_k in (1, 6)
                     for ranks in (64, 256, 512)
                     for transport, time in (("mpi", ranks * 4.0 * top_k),
                                             ("hier", ranks + 100.0 * top_k))])


def peers():
    return document([row(name, time * f / 1024, dtype=dtype, ffn_size=f, transport=transport)
                     for dtype, f in (("fp32", 4096), ("fp32", 1024), ("bf16", 1024))
                     for name, time, transport in (("layer", 9000, "shm"), ("torch", 13000, None))])


def write_all(folder):
    """Files for each kind of plot: {kind: [files]}; what is in the first tells the kind."""
    kinds = {"exchange": [exchange], "phases": [layer], "load": [table, run], "plan": [plan],
             "scaling": [scale, predicted], "simulation": [simulation], "peers": [peers]}
    files = {}
    for kind, makers in kinds.items():
        files[kind] = [folder / f"{maker.__name__}.json" for maker in makers]
        for path, maker in zip(files[kind], makers):
            path.write_text(json.dumps(maker()))
    files["traffic"] = [folder / "traffic.csv"]
    files["traffic"][0].write_text(traffic())
    return files


def run_plot(*words):
    """What `plot.py WORDS...` does: returncode, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = plot.main([str(word) for word in words])
    return types.SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def check_refused(test, done, text):
    """It was bad input, told in one line that holds the text."""
    test.assertEqual(done.returncode, 2, done)
    test.assertRegex(done.stderr, r"\Aplot.py: error: [^\n]*\n\Z")
    test.assertIn(text, done.stderr)

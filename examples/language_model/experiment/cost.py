# SPDX-License-Identifier: Apache-2.0
"""What the arms cost: step times and the layer's parts on this machine, and layers predicted for GPUs."""

import json
import statistics
import subprocess
import tempfile

import numpy as np
from data import BadInput, Text

from . import arms
from .intervals import estimate
from .runs import RESULTS, ROOT, commit, machine, now, write_json

ROUNDS = 5
STEPS = 40  # of a round, from a checkpoint near the end of training, whose gates have settled
SKIPPED = 5  # of them, at the start
BENCH = ROOT / "build/cpu-release/bin/hashep-bench"
GPUS = (8, 64, 512)
MACHINE = "benchmarks/machines/h100-8.json"
GPU_SHAPE = {
    "tokens-per-rank": 8192, "hidden-size": 2048, "ffn-size": 1408, "num-experts": 512, "dtype": "bf16",
    "scaling": "weak",
}  # fmt: skip
GPU_TOP_K = (1, 6)


def measure(runner, say):
    """Makes what is missing of cost/*.json. Wants a machine that does nothing else."""
    for name, make in (("steps", measure_steps), ("layer", measure_layer), ("predicted", predict)):
        path = RESULTS / f"cost/{name}.json"
        if path.exists():
            continue
        say(f"cost/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(str(path), make(runner))


def measure_steps(runner):
    """Step times of the arms in turn, so that a drift of the machine meets all."""
    runs = [run for run in arms.main_runs() if run.seed == arms.SEEDS[0]]
    seconds, about = {run.arm: [] for run in runs}, {}
    for _ in range(ROUNDS):
        for run in runs:
            with tempfile.TemporaryDirectory(dir=runner.work, suffix=".tmp") as folder:
                whole = runner.continue_run(run, STEPS, folder)
            seconds[run.arm].append(statistics.median(whole["step_seconds"][SKIPPED:]))
            about[run.arm] = whole
    rows = []
    for run in runs:
        own, dense = seconds[run.arm], seconds["dense"]
        ratios = [mine / base for mine, base in zip(own, dense)]
        rows.append({
            "name": run.arm, "step_s": [round(each, 5) for each in own],
            "median_step_s": round(statistics.median(own), 5),
            "ratio_to_dense": [round(each, 4) for each in ratios],
            "median_ratio_to_dense": round(statistics.median(ratios), 4),
            "bytes_off_rank_a_step": about[run.arm]["bytes_off_rank"],
        })  # fmt: skip
    args = ["--stage", "cost", "--rounds", str(ROUNDS), "--steps", str(STEPS)]
    return document(args, runner, about["dense"]["torch"], rows)


def measure_layer(runner):
    """`hashep-bench layer` at the experiment's shape: hash planned ahead and in the layer, and a gate."""
    size, ids = arms.SIZE, ids_file(runner)
    shape = [
        "--tokens", ids, "--vocab-size", size["vocab-size"], "--num-experts", size["num-experts"],
        "--tokens-per-rank", arms.TOKENS_PER_STEP // runner.ranks, "--hidden-size", size["hidden-size"],
        "--ffn-size", size["ffn-size"], "--num-layers", size["num-layers"], "--samples", 25,
    ]  # fmt: skip
    rows = []
    for router, planning in (("token", ["ahead", "inline"]), ("learned", ["inline"])):
        command = [ROOT / "launch/mpirun.sh", "--per", "core", runner.ranks, BENCH, "layer", *shape]
        made = bench(runner, [*command, "--router", router, "--planning", *planning])
        rows += [{**row, "router": router} for row in made["results"]]
    return document(_without_paths(shape, ids), runner, None, rows)


def predict(runner):
    """Layers on nodes of H100: hash as it is on this text, and even loads, which a gate is at best."""
    text = ["--tokens", ids_file(runner), "--vocab-size", arms.SIZE["vocab-size"]]
    loads = {
        "hash, random": [*text, "--router", "token"], "hash, balanced": [*text, "--router", "balanced"],
        "even loads": ["--workload", "W0"],
    }  # fmt: skip
    ranks = ",".join(map(str, GPUS))
    shape = ["--machine", MACHINE, *(word for name, value in GPU_SHAPE.items() for word in (f"--{name}", value))]
    rows = []
    for top_k in GPU_TOP_K:
        for name, workload in loads.items():
            command = [BENCH, "scale", "--predict", ranks, *shape, "--top-k", top_k, *workload]
            layers = [row for row in bench(runner, command)["results"] if row["of"] == "layer"]
            rows += [{**row, "name": name} for row in layers]
            if name == "even loads":
                added = planning_in_the_layer()
                rows += [
                    {**row, "name": "even loads, planned in the layer", "added_us": round(added, 2),
                     "predicted_us": round(row["predicted_us"] + added, 2)} for row in layers
                ]  # fmt: skip
    return document(["--predict", ranks, *shape], runner, None, rows)


def planning_in_the_layer():
    """Microseconds at least: the gate's product, and one exchange of counts, of which only latency counts."""
    machine = json.loads((ROOT / MACHINE).read_text())
    flops = 2 * GPU_SHAPE["tokens-per-rank"] * GPU_SHAPE["hidden-size"] * GPU_SHAPE["num-experts"]
    fastest = max(speed for _, speed in machine["gemm"]["fp32"])
    latency = sum(machine["levels"][level]["latency_s"] for level in ("node", "network"))
    return 1e6 * (flops / fastest + latency)


def ids_file(runner):
    """The ids that are trained on, as a token file."""
    path = runner.work / "english/ids.npy"
    if not path.exists():
        text = Text(runner.text, runner.work / "english", vocab_size=arms.SIZE["vocab-size"])
        with open(path.with_suffix(".tmp"), "wb") as file:
            np.save(file, text.train[: 1 << 23].astype(np.int32))
        path.with_suffix(".tmp").rename(path)
    return path


def bench(runner, command):
    with tempfile.TemporaryDirectory(dir=runner.work, suffix=".tmp") as folder:
        words = [str(word) for word in [*command, "--json", f"{folder}/result.json"]]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            raise BadInput(f"{' '.join(words[:3])}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
        with open(f"{folder}/result.json") as file:
            return json.load(file)


def document(args, runner, torch, rows):
    import hashep  # the page is made where it need not be

    return {
        "program": "examples/language_model/chart.py", "version": hashep.__version__, "commit": commit(), "date": now(),
        "args": [str(word) for word in args], "machine": machine(torch), "ranks": runner.ranks,
        "results": rows,
    }  # fmt: skip


def _without_paths(words, ids):
    return ["data/english/ids.npy" if word == ids else str(word) for word in words]


def rows_of(results, name):
    return results.documents.get(f"cost/{name}.json", {"results": []})["results"]


def step_seconds(results):
    return {row["name"]: row["median_step_s"] for row in rows_of(results, "steps")}


def cost_table(results):
    """Step time, and time to the loss that the dense arm ends with."""
    main, timed = results.stage("main"), rows_of(results, "steps")
    if not timed:
        return []
    target = estimate(list(main["dense"].final().values())).mean
    lines = [
        f"| arm | step, ms | over dense, least to most | MB to the other rank a step | million tokens to {target:.3f} "
        "| minutes |",
        "|" + " --- |" * 6,
    ]
    for row in timed:
        ratios = row["ratio_to_dense"]
        needed = steps_to(main[row["name"]], target)
        lines.append(
            f"| {row['name']} | {1000 * row['median_step_s']:.0f} | {row['median_ratio_to_dense']:.2f}, "
            f"{min(ratios):.2f} to {max(ratios):.2f} | {row['bytes_off_rank_a_step'] / 1e6:.1f} | "
            + ("never | never |" if needed is None else
               f"{needed * arms.TOKENS_PER_STEP / 1e6:.2f} | {needed * row['median_step_s'] / 60:.1f} |")
        )  # fmt: skip
    return lines


def steps_to(arm, target):
    """Steps after which the mean held-out loss is at most target: between evaluations in a line."""
    before = None
    for step in arm.evaluated_steps:
        loss = estimate(list(arm.loss_at(step).values())).mean
        if loss <= target:
            if before is None:
                return step
            share = (before[1] - target) / (before[1] - loss)
            return before[0] + share * (step - before[0])
        before = step, loss
    return None


def planning_table(results):
    found = {(row["router"], row.get("planning"), row["name"]): row for row in rows_of(results, "layer")}
    if not found:
        return []
    names = ("route", "plan", "gate", "dispatch", "experts", "combine", "layer")
    lines = ["| microseconds, all layers of a batch | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for label, router, planning in (
        ("hash, planned ahead", "token", "ahead"), ("hash, planned in the layer", "token", "inline"),
        ("learned gate", "learned", "inline"),
    ):  # fmt: skip
        values = [found.get((router, planning, name)) for name in names]
        lines.append(f"| {label} | " + " | ".join("" if v is None else f"{v['median_us']:.0f}" for v in values) + " |")
    return lines


def predicted_table(results):
    rows = rows_of(results, "predicted")
    if not rows:
        return []
    lines = ["| microseconds a layer, GPUs | " + " | ".join(map(str, GPUS)) + " |", "|" + " --- |" * (len(GPUS) + 1)]
    for key in dict.fromkeys((row["top_k"], row["name"]) for row in rows):
        times = {row["ranks"]: row["predicted_us"] for row in rows if (row["top_k"], row["name"]) == key}
        cells = " | ".join(f"{times[gpus]:.0f}" for gpus in GPUS)
        lines.append(f"| top-{key[0]}, {key[1]} | {cells} |")
    return lines

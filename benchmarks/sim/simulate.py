#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Simulates a MoE layer's exchanges at given numbers of ranks and compares flat with hierarchical.

Started by benchmarks/sim/run.sh, which builds what it runs. See docs/simulation.md.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import platform_file

HERE = Path(__file__).resolve().parent
PROGRAM = "benchmarks/sim/run.sh"


def counts(text):
    """1,6: positive numbers."""
    values = [int(word) for word in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError("numbers are positive")
    return values


def positive(text):
    return counts(text)[0]


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--ranks", type=counts, default=[64, 256, 512], help="64,256,512")
    parser.add_argument("--top-k", type=counts, default=[1, 6], help="1,6")
    parser.add_argument("--machine", default=str(HERE / "h100-node.json"), help="machine profile")
    parser.add_argument("--tokens-per-rank", type=positive, default=64)
    parser.add_argument("--hidden-size", type=positive, default=2048)
    parser.add_argument("--ffn-size", type=positive, default=2048)
    parser.add_argument("--num-experts", type=positive, default=512)
    parser.add_argument("--transport", default="mpi,hier", help="mpi (flat), hier")
    parser.add_argument("--nodes-per-leaf", type=positive, default=4)
    parser.add_argument("--spines", type=positive, default=4)
    parser.add_argument("--oversubscription", type=float, default=1.0)
    parser.add_argument("--timeout", type=positive, default=900, help="seconds for each simulation")
    parser.add_argument("--json", help="result file")
    args = parser.parse_args(argv)
    if args.oversubscription <= 0:
        parser.error("--oversubscription is positive")
    return args


def network_settings(profile):
    """SimGrid's settings: a network that is what the platform file says, and no clock but the simulated one."""
    message = profile["levels"]["network"]["message_s"]
    return [
        "smpi/simulate-computation:no",  # what a rank computes takes no time of itself
        "network/TCP-gamma:0",  # no TCP windows
        "network/crosstraffic:0",
        "smpi/lat-factor:0:1",  # no factors of other people's Ethernet
        "smpi/bw-factor:0:1",
        "smpi/async-small-thresh:0",
        "smpi/send-is-detached-thresh:0",
        f"smpi/os:0:{message:g}:0",
        f"smpi/ois:0:{message:g}:0",
        "smpi/or:0:0:0",
        "smpi/test:0",  # pauses between polls are ours: SimulatedRank::wait_until
        "smpi/iprobe:0",
        "smpi/wtime:0",
    ]


def simgrid_version():
    text = subprocess.run(["smpirun", "-version"], capture_output=True, text=True, check=False).stdout
    return text.replace("SimGrid version", "").strip()


def run_bounded(command, timeout):
    """Runs a command whose children die with it. Returns (exit code, output)."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return 124, f"no result after {timeout} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def cpu_seconds():
    """Of all children that have ended. A simulation uses one core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def simulate(args, profile, binary, ranks, top_k, folder):
    """One job: both transports. Returns (its result document, what it took of this machine)."""
    tree = {"nodes_per_leaf": args.nodes_per_leaf, "spines": args.spines,
            "oversubscription": args.oversubscription}
    platform, hostfile = platform_file.write_files(folder, profile, ranks, tree)
    result = folder / f"result-{ranks}-{top_k}.json"
    gemm = ",".join(f"{rows}:{rate:g}" for rows, rate in profile["gemm"]["bf16"])
    command = ["smpirun", "-no-privatize", "-np", str(ranks), "-platform", str(platform),
               "-hostfile", str(hostfile), "--log=root.thres:warning"]
    command += [f"--cfg={setting}" for setting in network_settings(profile)]
    command += [str(binary), "--ranks-per-node", str(profile["ranks_per_node"]),
                "--tokens-per-rank", str(args.tokens_per_rank), "--hidden-size", str(args.hidden_size),
                "--ffn-size", str(args.ffn_size), "--num-experts", str(args.num_experts),
                "--top-k", str(top_k), "--transport", args.transport, "--gemm", gemm,
                "--json", str(result)]
    begin, cpu = time.monotonic(), cpu_seconds()
    code, output = run_bounded(command, args.timeout)
    if code != 0 or not result.exists():
        errors = [line for line in output.splitlines() if "error:" in line]
        last = (errors or output.splitlines() or [f"exit code {code}"])[-1]
        bad_input = any(line.startswith("hashep-sim: error:") for line in errors) and code == 2
        raise SimulationError(f"{ranks} ranks, top-{top_k}: {last.strip()}", 2 if bad_input else 1)
    took = {"ranks": ranks, "top_k": top_k, "wall_s": round(time.monotonic() - begin, 1),
            "cpu_s": round(cpu_seconds() - cpu, 1)}
    return json.loads(result.read_text(encoding="utf-8")), took


class SimulationError(Exception):
    """What went wrong, and the exit code for it."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


def table_lines(rows):
    """Flat beside hierarchical, one line for each row that both have."""
    by_key = {}
    for row in rows:
        by_key.setdefault((row["ranks"], row["top_k"], row["name"]), {})[row["transport"]] = row
    for (ranks, top_k, name), found in by_key.items():
        flat, hier = found.get("mpi"), found.get("hier")
        cells = [f"{ranks:6} {top_k:6}  {name:9}"]
        for row in (flat, hier):
            if row is None:
                cells.append(" " * 22)
                continue
            size = row.get("bytes_inter")
            cells.append(f"{row['median_us']:10.1f} us {size / 1e6:7.1f}" if size is not None
                         else f"{row['median_us']:10.1f} us        ")
        speedup = f"{flat['median_us'] / hier['median_us']:7.2f} x" if flat and hier else ""
        yield "  ".join(cells) + "  " + speedup


def check_rows(rows):
    """Rows that arrived elsewhere, or more or fewer bytes than planned, are no result."""
    for row in rows:
        where = f"{row['ranks']} ranks, top-{row['top_k']}, {row['name']}, {row['transport']}"
        if row["wrong"]:
            raise SimulationError(f"{where}: {row['wrong']} rows are missing", 1)
        if row.get("bytes_inter") != row.get("bytes_inter_planned"):
            raise SimulationError(f"{where}: {row['bytes_inter']} bytes went between nodes, "
                                  f"{row['bytes_inter_planned']} were planned", 1)


def write_whole(path, text):
    """A file that appears whole or not at all."""
    target = Path(path)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as out:
        out.write(text)
    os.chmod(out.name, 0o644)
    os.replace(out.name, target)


def run(argv, binary):
    args = parse_arguments(argv)
    try:
        profile = platform_file.read_profile(args.machine)
        document = None
        rows = []
        runs = []
        print(f"# {profile['name']}: nodes of {profile['ranks_per_node']}, {args.tokens_per_rank} tokens "
              f"a rank, d {args.hidden_size}, {args.num_experts} experts; MB are between nodes")
        print(f"# {'ranks':>4} {'top-k':>6}  {'':9}  {'flat':>10}         MB  {'hier':>10}         MB  flat / hier")
        with tempfile.TemporaryDirectory() as folder:
            for ranks in args.ranks:
                for top_k in args.top_k:
                    found, took = simulate(args, profile, binary, ranks, top_k, Path(folder))
                    check_rows(found["results"])
                    for line in table_lines(found["results"]):
                        print(line)
                    print(f"# simulated in {took['wall_s']} s, {took['cpu_s']} s of them computing", flush=True)
                    document = document or found
                    rows += found["results"]
                    runs.append(took)
        if args.json:
            document.update(program="hashep-sim", args=argv, ranks=max(args.ranks), results=rows)
            document["simulation"] = {
                "profile": Path(args.machine).name, "machine": profile,
                "fat_tree": {"nodes_per_leaf": args.nodes_per_leaf, "spines": args.spines,
                             "oversubscription": args.oversubscription},
                "simgrid": simgrid_version(), "settings": network_settings(profile), "runs": runs}
            write_whole(args.json, json.dumps(document, indent=1) + "\n")
    except SimulationError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return error.code
    except (OSError, ValueError) as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], Path(sys.argv[1])))

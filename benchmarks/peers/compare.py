#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HashEP's layer beside an exact one in PyTorch: the same ids, weights, ranks and threads.

For each case hashep-bench writes the layer out, PyTorch computes it and compares all outputs, and only
then both are timed, in turns of a few samples, so that a drift of the machine meets both alike.
Prints a table; writes the result JSON of all HashEP programs. Exit code 1 where outputs differ.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from peers.cases import CASES  # noqa: E402
from peers.programs import HashEp, PeerError, Torch  # noqa: E402
from peers.result import now, sample_fields, write_json  # noqa: E402

PROGRAM = "peers"
WHOLE = {False: "layer", True: "step"}  # by --backward: HashEP's row of all that torch does
HEAD = (f"{'case':<8}{'dtype':<6}{'hashep us':>12}{'torch us':>12}{'torch/hashep':>14}  "
        f"{'(rounds)':<14}{'target':>7}{'hashep tokens/s':>17}{'torch tokens/s':>16}{'max error':>11}")


def named(document, name):
    return next(row for row in document["results"] if row["name"] == name)


def merged(documents, name, ranks):
    """A row of HashEP's with the samples of all turns, without what was told of one turn alone."""
    rows = [named(document, name) for document in documents]
    row = {key: value for key, value in rows[0].items() if key != "ratio_to"}
    row.update(sample_fields([sample for each in rows for sample in each["samples_us"]]))
    return with_rate(row, ranks) if name in WHOLE.values() else row


def with_rate(row, ranks):
    row["tokens_per_s"] = round(1e6 * ranks * row["tokens_per_rank"] / row["median_us"])
    return row


def phase_medians(turns):
    names = turns[0]["phases_us"]
    return {name: round(statistics.median(turn["phases_us"][name] for turn in turns), 1)
            for name in names}


def measure(case, arguments, folder):
    """(rows of the result, a document of hashep-bench's, what torch told of itself)."""
    trains = ["--backward"] if arguments.backward else []
    whole = WHOLE[arguments.backward]
    ours = HashEp(arguments.hashep_bench, arguments.ranks, arguments.threads, arguments.activation, folder,
                  trains)
    dump = os.path.join(folder, "dump")
    os.makedirs(dump)
    ours.turn(case, 1, dump)
    more = trains + (["--native-bf16"] if arguments.native_bf16 else [])
    documents, turns = [], []
    with Torch(arguments.python, arguments.ranks, arguments.threads, dump, more) as torch:
        for number in range(arguments.rounds):
            # Each goes first in every other round.
            if number % 2 == 0:
                documents.append(ours.turn(case, arguments.samples))
            turns.append(torch.turn(arguments.samples))
            if number % 2 == 1:
                documents.append(ours.turn(case, arguments.samples))
        about = torch.about

    layer = merged(documents, whole, arguments.ranks)
    ratios = [statistics.median(turn["samples_us"]) / named(document, whole)["median_us"]
              for turn, document in zip(turns, documents)]
    peer = {**layer, "name": "torch", "transport": "gloo",
            **sample_fields([sample for turn in turns for sample in turn["samples_us"]])}
    with_rate(peer, arguments.ranks)
    peer.update({"relative_error": about["relative_error"], "gemm": about["gemm"],
                 "ratio_to": {whole: round(statistics.median(ratios), 4)},
                 f"ratio_to_{whole}_by_round": [round(ratio, 4) for ratio in ratios],
                 "phases_us": phase_medians(turns)})
    rows = [merged(documents, row["name"], arguments.ranks) for row in documents[0]["results"]]
    return [{**row, "case": case.name} for row in [*rows, peer]], documents[0], about


def line(case, rows, backward):
    whole = WHOLE[backward]
    layer, peer = (next(row for row in rows if row["name"] == name) for name in (whole, "torch"))
    ratios = peer[f"ratio_to_{whole}_by_round"]
    spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
    target = case.backward_target if backward else case.target
    target = f"{target:.1f}" if target else "-"
    return (f"{case.name:<8}{case.dtype:<6}{layer['median_us']:>12.0f}{peer['median_us']:>12.0f}"
            f"{peer['ratio_to'][whole]:>14.2f}  {spread:<14}{target:>7}{layer['tokens_per_s']:>17}"
            f"{peer['tokens_per_s']:>16}{peer['relative_error']:>11.1e}")


def parts(rows):
    ours = {row["name"]: row["median_us"] for row in rows if row["name"] not in ("layer", "step", "torch")}
    peer = next(row for row in rows if row["name"] == "torch")
    return [f"#   {who}: " + ", ".join(f"{name} {value:.0f}" for name, value in phases.items()) + " us"
            for who, phases in (("hashep", ours), (f"torch ({peer['gemm']})", peer["phases_us"]))]


def compare(arguments):
    names = list(CASES) if "all" in arguments.case else list(dict.fromkeys(arguments.case))
    results, head, about = [], None, None
    print(f"# {arguments.ranks} ranks x {arguments.threads} threads, {arguments.activation}, "
          f"{arguments.rounds} rounds of {arguments.samples} samples each in turn, medians, times of the "
          f"slowest rank\n# torch/hashep: median over rounds, and the least and most of a round\n"
          + ("# forward and backward; hashep has planned the batch before, torch routes and exchanges "
             "counts each time\n" if arguments.backward else
             "# hashep plans ahead (its route and plan are in its time); torch routes and exchanges "
             "counts in it\n") + HEAD, flush=True)
    for name in names:
        case = CASES[name].quick() if arguments.quick else CASES[name]
        with tempfile.TemporaryDirectory(prefix="hashep-peers-", dir=arguments.folder) as folder:
            rows, head, about = measure(case, arguments, folder)
        results += rows
        print("\n".join([line(case, rows, arguments.backward), *parts(rows)]), flush=True)
    print(f"# PyTorch {about['torch']} with {about['blas']}")
    if arguments.json:
        machine = {**head["machine"], "torch": about["torch"], "blas": about["blas"]}
        write_json(arguments.json, {"program": PROGRAM, "version": head["version"],
                                    "commit": head["commit"], "date": now(), "args": sys.argv[1:],
                                    "machine": machine, "ranks": arguments.ranks, "results": results})


def at_least_one(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{PROGRAM}: error: {message}\n")


def main():
    parser = Parser(prog="run.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*CASES, "all"], help="may be repeated [all]")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it works")
    parser.add_argument("--ranks", type=at_least_one, default=2)
    parser.add_argument("--threads", type=at_least_one, default=1, help="of each rank")
    parser.add_argument("--rounds", type=at_least_one, default=5)
    parser.add_argument("--samples", type=at_least_one, default=3, help="of a program in a round")
    parser.add_argument("--activation", choices=["relu", "gelu", "silu"], default="relu")
    parser.add_argument("--backward", action="store_true",
                        help="forward and backward, torch's by autograd; outputs and gradients are compared")
    parser.add_argument("--native-bf16", action="store_true",
                        help="bf16 by torch's own GEMMs, however slow here")
    parser.add_argument("--json", help="where the result goes")
    parser.add_argument("--folder", help="for the layers, up to 1 GB [the system's temporary folder]")
    parser.set_defaults(hashep_bench=os.environ["HASHEP_BENCH"])  # from run.sh
    parser.add_argument("--python", default=sys.executable, help="with PyTorch [this one]")
    arguments = parser.parse_args()
    arguments.case = arguments.case or (["wide", "narrow"] if arguments.backward else ["all"])
    if not os.access(arguments.hashep_bench, os.X_OK):
        parser.error(f"there is no {arguments.hashep_bench}; build it: cmake --preset cpu-release && "
                     "cmake --build --preset cpu-release --target hashep-bench")
    if arguments.json and not os.path.isdir(os.path.dirname(os.path.abspath(arguments.json))):
        parser.error(f"--json {arguments.json}: there is no such folder")
    # Ends as from Ctrl-C, so that programs and folders do not stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        compare(arguments)
    except KeyboardInterrupt:
        return 130
    except (OSError, PeerError) as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

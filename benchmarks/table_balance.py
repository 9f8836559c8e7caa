#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The balance of routing tables on real text that they were not built from.

Takes text files, deals them alternately into a counting half and a measuring half, has `hashep table
build` make tables from the first, and measures them, by itself, on both. Writes the result JSON of
all HashEP programs: a row for each case, method and half, with the load factors (max/mean) of
experts and of ranks beside the bound max(1, p_max * E / k) of that half. Ids are words and
runs of a punctuation mark, or those of a SentencePiece model (--tokenizer, by spm_encode). Where NumPy is
installed, `clustered` and `dispersed` are measured too, with embeddings made from the counting
half: sums of random vectors of a word's neighbours (random indexing: Sahlgren 2005).

The figures in benchmarks/results come from the kernel's documentation (Debian's linux-doc-6.1):
    benchmarks/table_balance.py --hashep build/cpu-release/bin/hashep --name linux-doc-6.1 \\
        --json FILE /usr/share/doc/linux-doc-6.1/Documentation
    benchmarks/table_balance.py --hashep build/cpu-release/bin/hashep --timings --json FILE
"""

import argparse
import array
import datetime
import gzip
import json
import os
import platform
import re
import resource
import struct
import subprocess
import sys
import tempfile

try:
    import numpy
except ImportError:
    numpy = None

CASES = [(64, 1), (256, 6)]  # experts, top-k
RANKS = 8
SYNTHETIC_TOKENS = 200_000_000
WORD = re.compile(r"\w+|([^\w\s])\1*")
SUFFIXES = (".txt", ".rst", ".md", ".txt.gz", ".rst.gz", ".md.gz")


def documents(paths):
    """Text files, folders searched, in the order of their names."""
    found = []
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in os.walk(path):
                found += [os.path.join(folder, name) for name in names if name.endswith(SUFFIXES)]
        else:
            found.append(path)
    return sorted(found)


def read_text(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        return file.read()


class Words:
    """Ids by first appearance."""

    def __init__(self):
        self.ids = {}

    def encode(self, text):
        return [self.ids.setdefault(word, len(self.ids))
                for word in (match[0] for match in WORD.finditer(text))]

    def vocab_size(self):
        return len(self.ids)


class Pieces:
    """Ids of a SentencePiece model."""

    def __init__(self, model):
        self.model = model
        self.most = 0

    def encode(self, text):
        result = subprocess.run(["spm_encode", "--model=" + self.model, "--output_format=id"],
                                input=text, capture_output=True, text=True, check=True)
        ids = [int(word) for word in result.stdout.split()]
        self.most = max(self.most, max(ids, default=0))
        return ids

    def vocab_size(self):
        return self.most + 1


def counts_of(ids, vocab_size):
    counts = [0] * vocab_size
    for v in ids:
        counts[v] += 1
    return counts


def read_table(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        entries = array.array("i", file.read())
    return entries, header["tid2eid"]["shape"][1]


def factor(loads):
    return max(loads) * len(loads) / sum(loads)


def measure(table, counts, num_experts):
    """Load factors of experts and ranks, and the bound."""
    entries, top_k = table
    loads = [0] * num_experts
    for v, count in enumerate(counts):
        for e in entries[v * top_k:(v + 1) * top_k]:
            loads[e] += count
    local = num_experts // RANKS
    rank_loads = [sum(loads[r * local:(r + 1) * local]) for r in range(RANKS)]
    bound = max(1.0, max(counts) / sum(counts) * num_experts / top_k)
    return {"expert_max_over_mean": round(factor(loads), 5), "bound": round(bound, 5),
            "rank_max_over_mean": {str(RANKS): round(factor(rank_loads), 5)}}


def write_embeddings(path, ids, vocab_size, dim=64):
    random = numpy.random.default_rng(0)
    signs = random.choice(numpy.array([-1, 1], dtype=numpy.float32), (vocab_size, dim))
    stream = numpy.array(ids)
    sums = numpy.zeros((vocab_size, dim), dtype=numpy.float32)
    for distance in (1, 2):
        numpy.add.at(sums, stream[:-distance], signs[stream[distance:]])
        numpy.add.at(sums, stream[distance:], signs[stream[:-distance]])
    norms = numpy.linalg.norm(sums, axis=1, keepdims=True)
    numpy.save(path, sums / numpy.maximum(norms, 1e-9))


def build(hashep, output, options):
    """Runs `hashep table build`. Returns its output and the processor time it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([hashep, "table", "build", "--progress", "off", "--output", output]
                            + [str(word) for word in options], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr.strip())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result.stdout, seconds


def methods_of(embeddings):
    methods = [("random", []), ("balanced, target expert", ["--target", "expert"]),
               ("balanced, target rank", ["--target", "rank"]),
               ("balanced, target both", ["--target", "both"])]
    if embeddings:
        methods += [(name, ["--embeddings", embeddings]) for name in ("clustered", "dispersed")]
    return methods


def balance_rows(args, folder):
    encoder = Pieces(args.tokenizer) if args.tokenizer else Words()
    halves = ([], [])
    files = documents(args.text)
    for number, path in enumerate(files):
        halves[number % 2].extend(encoder.encode(read_text(path)))
    if not halves[0] or not halves[1]:
        sys.exit("two documents with text in them are needed")
    vocab_size = encoder.vocab_size()
    tokens = os.path.join(folder, "counting.bin")
    with open(tokens, "wb") as file:
        array.array("I", halves[0]).tofile(file)
    embeddings = None
    if numpy is not None:
        embeddings = os.path.join(folder, "embeddings.npy")
        write_embeddings(embeddings, halves[0], vocab_size)
    half_counts = [counts_of(half, vocab_size) for half in halves]
    unseen = sum(n for n, seen in zip(half_counts[1], half_counts[0]) if seen == 0)
    rows = []
    for num_experts, top_k in CASES:
        for name, options in methods_of(embeddings):
            output = os.path.join(folder, "table.safetensors")
            build(args.hashep, output,
                  ["--tokens", tokens, "--token-dtype", "u32", "--vocab-size", vocab_size,
                   "--num-experts", num_experts, "--top-k", top_k, "--ranks", RANKS,
                   "--method", name.split(",")[0]] + options)
            table = read_table(output)
            for half, half_name in enumerate(("counted", "held out")):
                row = {"name": "table_load", "corpus": args.name, "documents": len(files),
                       "half": half_name, "tokens": len(halves[half]), "vocab_size": vocab_size,
                       "tokens_of_unseen_ids": unseen if half else 0, "method": name,
                       "num_experts": num_experts, "top_k": top_k, "ranks": RANKS}
                row.update(measure(table, half_counts[half], num_experts))
                rows.append(row)
                print("E=%-4d top-%d  %-24s %-9s experts %8.4f (bound %.4f)   ranks %.4f" %
                      (num_experts, top_k, name, half_name, row["expert_max_over_mean"],
                       row["bound"], row["rank_max_over_mean"][str(RANKS)]))
    return rows


def timing_rows(args, folder):
    """Counting a cached u16 file, and building a table of DeepSeek-V4-Flash's size."""
    tokens = os.path.join(folder, "synthetic.bin")
    random = numpy.random.default_rng(1)
    with open(tokens, "wb") as file:
        for _ in range(10):
            zipf = 65000.0 ** random.random(SYNTHETIC_TOKENS // 10, dtype=numpy.float32)
            zipf.astype("<u2").tofile(file)
    size = ["--vocab-size", 129280, "--num-experts", 256, "--top-k", 6]
    row = {"name": "table_build", "workload": "Zipf (exponent 1) ids of u16", "vocab_size": 129280,
           "num_experts": 256, "top_k": 6, "ranks": RANKS, "tokens": SYNTHETIC_TOKENS,
           "count_s": [], "count_cpu_s": [], "build_s": []}
    for _ in range(args.repeats):
        text, _ = build(args.hashep, os.path.join(folder, "table.safetensors"),
                        ["--tokens", tokens, "--method", "balanced", "--ranks", RANKS] + size)
        times = re.search(r"time +([0-9.]+) s to count .*, ([0-9.]+) s to build", text)
        row["count_s"].append(float(times[1]))
        row["build_s"].append(float(times[2]))
        # A random table is made in milliseconds: the rest of the time is counting.
        _, seconds = build(args.hashep, os.path.join(folder, "table.safetensors"),
                           ["--tokens", tokens, "--method", "random"] + size)
        row["count_cpu_s"].append(round(seconds, 3))
    row["tokens_per_s"] = round(SYNTHETIC_TOKENS / sorted(row["count_s"])[args.repeats // 2])
    row["tokens_per_cpu_s"] = round(SYNTHETIC_TOKENS / sorted(row["count_cpu_s"])[args.repeats // 2])
    print("counting: %.0f M tokens/s, %.0f M per second of a core; building: %.3f s" %
          (row["tokens_per_s"] / 1e6, row["tokens_per_cpu_s"] / 1e6,
           sorted(row["build_s"])[args.repeats // 2]))
    return [row]


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(": ", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="*", help="text files, or folders of .txt, .rst and .md[.gz]")
    parser.add_argument("--hashep", required=True, help="the program")
    parser.add_argument("--name", default="text", help="of the corpus, in the rows")
    parser.add_argument("--tokenizer", help="SentencePiece model; default: words")
    parser.add_argument("--timings", action="store_true",
                        help="also time counting and building (needs NumPy, 400 MB in TMPDIR)")
    parser.add_argument("--repeats", type=int, default=5, help="of each timing")
    parser.add_argument("--json", help="write the result here")
    args = parser.parse_args()
    if not args.text and not args.timings:
        sys.exit("nothing to do: neither TEXT nor --timings")
    if args.timings and numpy is None:
        sys.exit("--timings needs NumPy")
    version = subprocess.run([args.hashep, "--version"], capture_output=True, text=True,
                             check=True).stdout.split()
    with tempfile.TemporaryDirectory() as folder:
        rows = balance_rows(args, folder) if args.text else []
        if args.timings:
            rows += timing_rows(args, folder)
    if args.json:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {"program": "table_balance.py", "version": version[1],
                    "commit": version[2].strip("()"), "date": now,
                    "args": ["--name", args.name] + ["--timings"] * args.timings
                    + ["TEXT..."] * bool(args.text),
                    "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "gpu": None,
                                "mpi": None},
                    "ranks": 1, "results": rows}
        with open(args.json + ".tmp", "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        os.replace(args.json + ".tmp", args.json)


if __name__ == "__main__":
    main()

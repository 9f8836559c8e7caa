#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""summary.py MACHINE PARTS RESULT...: the one-page summary of tests/gpu/run.sh, to stdout (Markdown).

MACHINE has lines "what<TAB>words", PARTS "result<TAB>part<TAB>seconds<TAB>words"; each RESULT is a
result JSON, and may be missing. Exit code 1: one cannot be read, and the summary says so."""

import json
import os
import sys

# What a row is held against in the same file: equal bytes copied, or equal work in one dense GEMM.
YARDSTICKS = {"dispatch": "copy_bound", "combine": "copy_bound", "gemm_alone": "dense_gemm",
              "experts": "dense_gemm", "layer": "dense_gemm", "torch": "torch_dense_gemm",
              "torch_grouped": "torch_dense_gemm", "torch_grouped_graph": "torch_dense_gemm",
              "torch_loop": "torch_dense_gemm", "torch_loop_graph": "torch_dense_gemm"}
STANDARD = {"name", "transport", "device", "dtype", "workload", "tokens_per_rank", "hidden_size", "ffn_size",
            "num_experts", "top_k", "bytes_off_rank", "median_us", "p50_us", "p90_us", "p99_us", "min_us",
            "samples_us", "max_over_ranks", "wrong"}


def table(header, rows):
    lines = [[str(cell).replace("|", "/") for cell in line] for line in [header, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines]


def fields(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def word(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shape(row):
    names = (("tokens_per_rank", "tokens"), ("hidden_size", "d"), ("ffn_size", "f"), ("num_experts", "E"),
             ("top_k", "k"))
    transport = [row["transport"]] if row.get("transport") else []
    return " ".join(transport + [f"{short} {row[name]}" for name, short in names if row.get(name) is not None] +
                    [str(row[name]) for name in ("dtype", "workload") if row.get(name)])


def median_of(name, row, rows):
    """The median of the row of this name that is most like another row; None where there is none."""
    same = [other for other in rows if other.get("name") == name and other.get("median_us") and
            all(other.get(key) == row.get(key) for key in ("dtype", "top_k"))]
    alike = [other for other in same if other.get("workload") == row.get("workload")]
    return min((other["median_us"] for other in alike or same), default=None)


def bound(row, rows):
    """The yardstick's median and the share of it that the row reaches, as words."""
    median = median_of(YARDSTICKS.get(row.get("name")), row, rows)
    return [word(median), f"{median / row['median_us']:.3f}"] if median and row.get("median_us") else ["", ""]


def more(row, rows):
    """What follows from a row, or a program reports beside the fields of every measured row."""
    extra = [f"{name} {word(value)}" for name, value in row.items()
             if name not in STANDARD and isinstance(value, (int, float, str))]
    if row.get("wrong"):
        extra.insert(0, f"WRONG {row['wrong']}")
    # The first dense GEMM writes fp32, as the experts' does. One that writes bf16 is the harder yardstick.
    harder = f"dense_gemm_{row.get('dtype')}_output"
    if YARDSTICKS.get(row.get("name")) == "dense_gemm" and row.get("median_us") and median_of(harder, row, rows):
        extra.append(f"{median_of(harder, row, rows) / row['median_us']:.3f} of {harder}")
    gemms = median_of("gemm_alone", row, rows) if row.get("name") == "layer" else None
    if gemms and row.get("median_us"):
        extra.append(f"not GEMM {100 * (1 - gemms / row['median_us']):.1f} %")
    return ", ".join(extra)


def result_lines(path, document):
    rows = document["results"]
    cells = [[row.get("name", ""), shape(row), word(row.get("median_us")), *bound(row, rows), more(row, rows)]
             for row in rows]
    return ["", f"## {os.path.basename(path)}: {document['program']}, commit {document['commit']}", "",
            *table(["name", "what", "median us", "bound us", "ratio", "more"], cells)]


def peer_line(documents):
    """How PyTorch's layer compares with the fastest of ours, where both were measured."""
    medians = {}
    for document in documents:
        for row in document["results"]:
            if row.get("median_us"):
                medians.setdefault(row.get("name"), []).append((row["median_us"], row.get("workload") or ""))
    if "layer" not in medians or "torch" not in medians:
        return []
    (ours, our_way), (peer, peer_way) = min(medians["layer"]), min(medians["torch"])
    return ["", f"PyTorch's layer ({peer_way}) takes {peer / ours:.2f} times as long as HashEP's ({our_way})."]


def main(machine, parts, results):
    rows = fields(parts)
    failed = [row[1] for row in rows if row[0] == "FAILED"]
    head = dict(fields(machine))
    ended = f"{len(failed)} parts FAILED" if failed else "passed"
    if head.get("GPU", "").startswith("none"):
        print(f"# HashEP, what needs no GPU: {ended}\n\n**NOT RUN ON A GPU.** What needs one was built, not run.")
    else:
        print(f"# HashEP on a GPU: {ended}")
    print()
    for what, words in head.items():
        print(f"- {what}: {words}")
    print()
    print("\n".join(table(["part", "result", "seconds", "words"],
                          [[name, result, seconds, words] for result, name, seconds, words in rows])))
    documents = []
    code = 0
    for path in results:
        if not os.path.exists(path):
            continue
        try:
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
            print("\n".join(result_lines(path, document)))
            documents.append(document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            print(f"\n{os.path.basename(path)} cannot be read: {error!r}")
            code = 1
    print("\n".join(peer_line(documents)))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""summary.py MACHINE PARTS RESULT...: the one-page summary of tests/gpu/run.sh, to stdout (Markdown).

MACHINE has lines "what<TAB>words", PARTS "result<TAB>part<TAB>seconds<TAB>words"; each RESULT is a
result JSON, and may be missing."""

import json
import os
import sys

STANDARD = {"name", "transport", "device", "dtype", "workload", "tokens_per_rank", "hidden_size", "ffn_size",
            "num_experts", "top_k", "bytes_off_rank", "median_us", "p50_us", "p90_us", "p99_us", "min_us",
            "samples_us", "max_over_ranks", "wrong", "bound", "ratio"}


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
    return " ".join([f"{short} {row[name]}" for name, short in names if row.get(name) is not None] +
                    [str(row[name]) for name in ("dtype", "workload") if row.get(name)])


def more(row):
    """What a program reports beside the fields of every measured row."""
    extra = [f"{name} {word(value)}" for name, value in row.items()
             if name not in STANDARD and isinstance(value, (int, float, str))]
    if row.get("wrong"):
        extra.insert(0, f"WRONG {row['wrong']}")
    return ", ".join(extra)


def result_lines(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    rows = [[row.get("name", ""), shape(row), word(row.get("median_us")), word(row.get("bound")),
             word(row.get("ratio")), more(row)] for row in document["results"]]
    return ["", f"## {os.path.basename(path)}: {document['program']}, commit {document['commit']}", "",
            *table(["name", "what", "median us", "bound", "ratio", "more"], rows)]


def peer_line(paths):
    """How PyTorch's layer compares with ours, where both were measured."""
    medians = {}
    for path in paths:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for row in json.load(file)["results"]:
                    medians.setdefault(row.get("name"), row.get("median_us"))
    ours, peer = medians.get("layer"), medians.get("torch")
    return ["", f"PyTorch's layer takes {peer / ours:.2f} times as long as HashEP's."] if ours and peer else []


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
    for path in results:
        try:
            lines = result_lines(path) if os.path.exists(path) else []
        except (KeyError, TypeError, ValueError) as error:
            lines = ["", f"{os.path.basename(path)} cannot be read: {error!r}"]
        print("\n".join(lines), end="\n" if lines else "")
    print("\n".join(peer_line(results)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

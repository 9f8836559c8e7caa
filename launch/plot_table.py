#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots the balance of routing tables from results of `hashep table inspect --json`.

    launch/plot_table.py random.json balanced.json --labels "random;balanced" --output balance.svg

Left: the load of each expert over the mean, experts by falling load, with the bound of tables
without spread rows; right: max/mean load of experts and of ranks. Of several layers the one with the
highest expert load is shown. Needs matplotlib (Debian: python3-matplotlib).
"""

import argparse
import json
import os
import sys

try:
    import matplotlib
except ImportError:
    print("plot_table.py: error: matplotlib is missing (Debian: python3-matplotlib)", file=sys.stderr)
    sys.exit(2)
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402, the backend has to be chosen first


def fail(reason):
    print(f"plot_table.py: error: {reason}", file=sys.stderr)
    sys.exit(2)


def worst_row(path):
    """The row of the layer with the highest expert load, and the result's metadata."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        rows = document["results"]
        row = max(rows, key=lambda row: row["expert_max_over_mean"])
        row["loads"], row["rank_max_over_mean"]  # what is plotted
        return row, document.get("metadata", {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{path}: no result of hashep table inspect: {error!r}")


def default_label(path, metadata):
    name = metadata.get("method", os.path.splitext(os.path.basename(path))[0])
    if "target" in metadata:
        name += f", {metadata['target']}"
    return name + (f", spread {metadata['spread']}" if "spread" in metadata else "")


def plot_experts(axes, rows, labels):
    for row, label in zip(rows, labels):
        mean = sum(row["loads"]) / len(row["loads"])
        loads = sorted((load / mean for load in row["loads"]), reverse=True)
        axes.step(range(1, len(loads) + 1), loads, where="mid", label=label)
    for bound in sorted({round(row["bound"], 3) for row in rows}):
        axes.axhline(bound, color="black", linestyle=":", linewidth=1)
        axes.annotate(f"bound {bound:.2f}", (1.0, bound), xycoords=("axes fraction", "data"),
                      xytext=(-3, 3), textcoords="offset points", ha="right")
    axes.set_xlabel("experts by falling load")
    axes.set_ylabel("load / mean")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def plot_maxima(axes, rows, labels):
    names = ["experts"] + [f"{ranks} ranks" for ranks in rows[0]["rank_max_over_mean"]]
    width = 0.8 / len(rows)
    for i, (row, label) in enumerate(zip(rows, labels)):
        values = [row["expert_max_over_mean"], *row["rank_max_over_mean"].values()]
        places = [place + (i - (len(rows) - 1) / 2) * width for place in range(len(values))]
        bars = axes.bar(places, values, width, label=label)
        axes.bar_label(bars, fmt="%.2f", rotation=90, padding=3, fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("max / mean load")
    axes.margins(y=0.15)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="+", metavar="JSON", help="of hashep table inspect --json")
    parser.add_argument("--output", required=True, metavar="FILE.svg|.png")
    parser.add_argument("--labels", metavar="A;B;...", help="one for each result; default: methods")
    parser.add_argument("--title", default="")
    arguments = parser.parse_args()
    if not arguments.output.endswith((".svg", ".png")):
        parser.error("--output has to end in .svg or .png")
    found = [worst_row(path) for path in arguments.results]
    rows = [row for row, _ in found]
    labels = [default_label(path, metadata)
              for path, (_, metadata) in zip(arguments.results, found)]
    if arguments.labels:
        labels = arguments.labels.split(";")
        if len(labels) != len(rows):
            parser.error(f"{len(labels)} labels for {len(rows)} results")
    if len({tuple(row["rank_max_over_mean"]) for row in rows}) > 1:
        parser.error("the results are for different numbers of ranks")

    # Text stays text, and nothing depends on the time or on chance: the file can be compared.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hashep", "font.size": 9})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    plot_experts(left, rows, labels)
    plot_maxima(right, rows, labels)
    figure.suptitle(arguments.title)
    figure.tight_layout()
    metadata = {"Date": None} if arguments.output.endswith(".svg") else {}
    temporary = arguments.output + ".tmp"
    try:
        figure.savefig(temporary, format=arguments.output[-3:], metadata=metadata)
        os.replace(temporary, arguments.output)
    except OSError as error:
        fail(error)


if __name__ == "__main__":
    main()

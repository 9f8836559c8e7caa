#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the traffic of `hashep plan --csv FILE` as heat maps: one for each job in the file.

Rows are sources, columns are targets; colours are bytes of dispatch in a step. What stays on a rank
or node is left blank. --dedup shows rows that cross to a node once. Needs matplotlib.
"""

import argparse
import csv
import math
import os
import sys


class BadInput(Exception):
    """Something that a user can mend."""


def read_jobs(path, dedup):
    """{(ranks, ranks_per_node, unit): {(source, target): bytes}}, in the order of the file."""
    column = "bytes_dedup" if dedup else "bytes"
    jobs = {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = {"ranks", "ranks_per_node", "unit", "source", "target", column}
        if not wanted <= set(reader.fieldnames or ()):
            raise BadInput(f"{path}: not a file of hashep plan --csv")
        for line in reader:
            if line[column] == "":
                raise BadInput(f"{path}: --dedup is for traffic between nodes")
            job = (int(line["ranks"]), int(line["ranks_per_node"]), line["unit"])
            cell = (int(line["source"]), int(line["target"]))
            jobs.setdefault(job, {})[cell] = int(line[column])
    if not jobs:
        raise BadInput(f"{path}: no traffic in it")
    return jobs


def matrix_of(cells):
    """Rows of bytes, NaN on the diagonal."""
    size = 1 + max(source for source, _ in cells)
    return [[math.nan if source == target else float(cells[source, target])
             for target in range(size)] for source in range(size)]


def scale_of(matrices):
    """A unit of bytes in which the largest number is readable, and its name."""
    most = max((value for matrix in matrices for row in matrix for value in row
                if not math.isnan(value)), default=0.0)
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if most >= 1024 ** power:
            return 1024 ** power, name
    return 1, "bytes"


def draw(jobs, output):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matrices = [matrix_of(cells) for cells in jobs.values()]
    scale, unit_name = scale_of(matrices)
    figure, axes = plt.subplots(1, len(jobs), figsize=(5.2 * len(jobs), 4.6), squeeze=False)
    for axis, (ranks, per_node, unit), matrix in zip(axes[0], jobs, matrices):
        image = axis.imshow([[value / scale for value in row] for row in matrix], vmin=0,
                            interpolation="nearest")
        axis.set_title(f"{ranks} ranks, {per_node} a node")
        axis.set_xlabel(f"target {unit}")
        axis.set_ylabel(f"source {unit}")
        figure.colorbar(image, ax=axis, label=f"{unit_name} a step")
    figure.tight_layout()
    temporary = f"{output}.tmp{os.path.splitext(output)[1]}"
    figure.savefig(temporary)
    os.replace(temporary, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", help="what hashep plan --csv wrote")
    parser.add_argument("--output", required=True, help="FILE.svg or FILE.png")
    parser.add_argument("--dedup", action="store_true", help="rows that cross to a node once")
    options = parser.parse_args()
    try:
        if not options.output.endswith((".svg", ".png")):
            raise BadInput(f"--output {options.output}: FILE.svg or FILE.png is expected")
        draw(read_jobs(options.csv, options.dedup), options.output)
    except ImportError:
        print("plot_traffic.py: error: matplotlib is missing (Debian: python3-matplotlib)",
              file=sys.stderr)
        return 2
    except (BadInput, OSError, ValueError) as error:
        print(f"plot_traffic.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

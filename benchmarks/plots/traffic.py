# SPDX-License-Identifier: Apache-2.0
"""The traffic of `hashep plan --csv FILE` as heat maps: one for each job in the file.

Rows are sources, columns are targets; colours are bytes of dispatch in a step. What stays on a rank
or node is left blank.
"""

import math

from . import figure as fig
from .results import BadInput
from .text import byte_scale

MOST_JOBS = 6


def fits(document):
    return document.get("program") == "hashep plan --csv"


def read_jobs(rows, dedup):
    """{(ranks, ranks_per_node, unit): {(source, target): bytes}}, in the order of the file."""
    column = "bytes_dedup" if dedup else "bytes"
    jobs = {}
    for line in rows:
        path = line["_document"]["path"]
        if not {"ranks", "ranks_per_node", "unit", "source", "target", column} <= set(line):
            raise BadInput(f"{path}: not a file of hashep plan --csv")
        if line[column] == "":
            raise BadInput(f"{path}: --dedup is for traffic between nodes")
        try:
            job = (int(line["ranks"]), int(line["ranks_per_node"]), line["unit"])
            cell = (int(line["source"]), int(line["target"]))
            jobs.setdefault(job, {})[cell] = int(line[column])
        except (TypeError, ValueError) as error:
            raise BadInput(f"{path}: {error}") from error
    return jobs


def matrix_of(job, cells):
    """Rows of bytes, NaN on the diagonal."""
    size = 1 + max(max(cell) for cell in cells)
    if len(cells) != size * size:
        raise BadInput(f"{job[0]} ranks, {job[1]} a node: {len(cells)} of {size * size} cells")
    return [[math.nan if source == target else float(cells[source, target])
             for target in range(size)] for source in range(size)]


def draw(rows, options):
    jobs = read_jobs(rows, options.dedup)
    if len(jobs) > MOST_JOBS:
        raise BadInput(f"{len(jobs)} jobs are too many for one plot (--where ranks=N picks)")
    matrices = [matrix_of(job, cells) for job, cells in jobs.items()]
    most = max((value for matrix in matrices for row in matrix for value in row
                if not math.isnan(value)), default=0.0)
    scale, unit_name = byte_scale(most)
    columns = len(jobs) if len(jobs) <= 3 else -(-len(jobs) // 2)
    lines = -(-len(jobs) // columns)
    figure, axes = fig.subplots(lines, columns, 5.2 * columns, 4.6 * lines)
    places = [axis for line in axes for axis in line]
    for axis in places[len(jobs):]:
        axis.set_visible(False)
    for axis, (ranks, per_node, unit), matrix in zip(places, jobs, matrices):
        image = axis.imshow([[value / scale for value in row] for row in matrix], vmin=0,
                            interpolation="nearest", cmap="cividis")
        axis.grid(visible=False)
        axis.set_title(f"{ranks} ranks, {per_node} a node")
        axis.set_xlabel(f"target {unit}")
        axis.set_ylabel(f"source {unit}")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=axis, label=f"{unit_name} a step")
    figure.suptitle(options.title)
    figure.tight_layout()
    return figure

# SPDX-License-Identifier: Apache-2.0
"""The table at the end of a sweep."""

from .runner import read_json


def medians(point, names):
    """The median of the first row of each name, in microseconds."""
    document = read_json(point.path) if point.complete else None
    found = {}
    for row in document["results"] if document else []:
        if isinstance(row, dict):
            found.setdefault(row.get("name"), row.get("median_us"))
    return ["-" if found.get(name) is None else f"{found[name]:.1f}" for name in names]


def print_table(points, show):
    names = list(points[0].values)
    lines = [[*names, "tries", "seconds", *(f"{name} us" for name in show), "state"]]
    for point in points:
        lines.append([*point.values.values(), str(point.attempts), f"{point.seconds:.1f}",
                      *medians(point, show), point.state])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print()
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    complete = sum(point.complete for point in points)
    kept = sum(point.state == "kept" for point in points)
    print(f"\n{complete} of {len(points)} points complete, {kept} of them from before")

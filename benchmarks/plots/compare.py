# SPDX-License-Identifier: Apache-2.0
"""Compares the rows that two result files have in common, with a verdict that respects noise."""

import statistics

from .rank_test import ratio_interval
from .results import BadInput, rows_of, varying, with_plain_workload
from .text import microseconds

# What makes two rows the same measurement.
KEY = ["name", "of", "transport", "direction", "device", "dtype", "workload", "router", "planning",
       "placement", "case",
       "num_layers", "tokens_per_rank", "hidden_size", "ffn_size", "num_experts", "top_k", "ranks",
       "ranks_per_node", "ep_size", "landing", "overlap", "simulated"]
ROUNDING = 1e-9  # of ratios
ROUNDING_US = 0.005  # samples are written to 0.01 us: none is taken to be less than this


def measured_rows(document, where):
    """The rows with samples, all of which have passed their checks."""
    rows = [with_plain_workload(row) for row in rows_of([document], where)
            if row.get("samples_us")]
    for row in rows:
        if not all(isinstance(value, (int, float)) for value in row["samples_us"]):
            raise BadInput(f"{document['path']}: row '{row.get('name')}': samples_us: numbers are "
                           "expected")
        if row.get("wrong"):
            raise BadInput(f"{document['path']}: row '{row.get('name')}' failed its check: "
                           f"{row['wrong']} wrong")
    return rows


def common_fields(a, b):
    """The fields that rows can be matched by: those that both files have, or neither."""
    def used(rows):
        return {field for field in KEY if any(row.get(field) is not None for row in rows)}
    differing = used(a) ^ used(b)
    return [field for field in KEY if field not in differing], sorted(differing)


def by_key(path, rows, fields):
    found = {}
    for row in rows:
        key = tuple(row.get(field) for field in fields)
        if key in found:
            raise BadInput(f"{path}: two rows of {' '.join(str(part) for part in key if part)}")
        found[key] = row
    return found


def samples_of(row):
    return [max(ROUNDING_US, value) for value in row["samples_us"]]


def drift_of(row, others):
    """The largest ratio, one way or the other, of the row's median and those of the other runs."""
    median = statistics.median(samples_of(row))
    ratios = [statistics.median(samples_of(other)) / median for other in others]
    return max((max(ratio, 1 / ratio) for ratio in ratios), default=1.0)


def verdict_of(ratio, interval, threshold, drift):
    """What the times of B are, beside those of A."""
    low, high = interval
    apart = max(ratio, 1 / ratio)
    counts = apart >= 1 + threshold and apart > drift * (1 + ROUNDING)
    if low > 1 and ratio > 1 and counts:
        return "slower"
    if high < 1 and ratio < 1 and counts:
        return "faster"
    if low >= 1 / (1 + threshold) and high <= 1 + threshold:
        return "same"
    return "unsure"


def notes(a, b, ignored):
    """What makes the files hard to compare, one line each."""
    lines = []
    for key in ("program", "commit", "machine", "threads_per_rank"):
        if a.get(key) != b.get(key):
            lines.append(f"note: {key} differs: {a.get(key)} / {b.get(key)}")
    for field in ignored:
        lines.append(f"note: only one file tells {field}: rows are matched without it")
    return lines


def table_lines(cases, fields, with_drift):
    """The cases as aligned columns; fields that never differ are left to the head."""
    shown = [field for field in fields
             if field == "name" or field in varying([row for row, *_ in cases], fields)]
    lines = [[*shown, "A", "B", "B/A", "interval", *["drift"] * with_drift, "verdict"]]
    for row, median_a, median_b, ratio, (low, high), drift, verdict in cases:
        cells = ["-" if row.get(field) is None else str(row[field]) for field in shown]
        lines.append([*cells, microseconds(median_a), microseconds(median_b), f"{ratio:.3f}",
                      f"{low:.3f} to {high:.3f}", *[f"{drift:.3f}"] * with_drift, verdict])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
            for line in lines]


def compare(a, b, again, where, threshold, confidence):
    """(lines to print, number of rows that are slower in B). `again`: more runs of what A is of."""
    rows_a, rows_b = (measured_rows(document, where) for document in (a, b))
    fields, ignored = common_fields(rows_a, rows_b)
    keyed_a = by_key(a["path"], rows_a, fields)
    keyed_b = by_key(b["path"], rows_b, fields)
    keyed_again = [by_key(document["path"], measured_rows(document, where), fields)
                   for document in again]
    cases = []
    for key, row in keyed_a.items():
        if key not in keyed_b:
            continue
        times = [samples_of(row), samples_of(keyed_b[key])]
        medians = [statistics.median(each) for each in times]
        ratio = medians[1] / medians[0]
        interval = ratio_interval(*times, confidence)
        drift = drift_of(row, [rows[key] for rows in keyed_again if key in rows])
        verdict = verdict_of(ratio, interval, threshold, drift)
        cases.append((row, *medians, ratio, interval, drift, verdict))
    if not cases:
        raise BadInput(f"{a['path']} and {b['path']} have no measured row in common")

    verdicts = [case[-1] for case in cases]
    count = {word: verdicts.count(word) for word in ("faster", "slower", "same", "unsure")}
    lines = [f"{name}: {document['path']}, {document.get('date')}, commit {document.get('commit')}"
             for name, document in (("A", a), ("B", b))]
    lines += [*notes(a, b, ignored), "", *table_lines(cases, fields, bool(again)), ""]
    lines.append(f"B beside A, {len(cases)} rows: "
                 + ", ".join(f"{number} {word}" for word, number in count.items())
                 + f"; rows only in A: {len(keyed_a) - len(cases)}, only in B: "
                 + str(len(keyed_b) - len(cases)))
    lines.append(f"B/A: ratio of medians, with its {100 * confidence:g} % Mann-Whitney interval. "
                 "slower, faster: the interval has not 1, and")
    lines.append(f"the ratio is {100 * threshold:g} % off or more"
                 + (", and more than drift" if again else "")
                 + f"; same: the interval is within {100 * threshold:g} %; else unsure.")
    lines.append("drift: how far the medians of A and of --again are apart." if again else
                 "Samples of one run do not show what changes between runs: --again A2.json does.")
    return lines, count["slower"]

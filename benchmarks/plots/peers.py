# SPDX-License-Identifier: Apache-2.0
"""A layer of HashEP beside the same layer of others, by case: rows `layer` and `torch`."""

from . import figure as fig
from .results import BadInput, distinct, numbers, varying
from .text import describe, microseconds

CASE = ["ranks", "case", "device", "dtype", "workload", "router", "tokens_per_rank",
        "hidden_size", "ffn_size", "num_experts", "top_k"]
NAMES = {"layer": "HashEP", "torch": "PyTorch"}


def fits(document):
    return {"layer", "torch"} <= {row.get("name") for row in document["results"]}


def pairs_of(rows):
    """[(case, {name: row})] of the cases that all have measured; of several layers the fastest."""
    pairs = []
    for case in distinct(rows, CASE):
        found = {}
        for row in rows:
            if tuple(row.get(field) for field in CASE) == case:
                best = found.get(row["name"])
                if best is None or row["median_us"] < best["median_us"]:
                    found[row["name"]] = row
        if len(found) == len(NAMES):
            pairs.append((dict(zip(CASE, case)), found))
    return pairs


def over_ours(row, ours):
    """The ratio that was measured in turns, round by round, where it is told."""
    told = row.get("ratio_to")
    return told["layer"] if isinstance(told, dict) else row["median_us"] / ours["median_us"]


def draw(rows, options):
    rows = [row for row in rows if row.get("name") in NAMES]
    for row in rows:
        numbers(row, "median_us", "min_us", "p90_us")
    pairs = pairs_of(rows)
    if not pairs:
        raise BadInput("no case that has both a row 'layer' and a row 'torch'")
    cases = [case for case, _ in pairs]
    fields = varying(cases, CASE) or ["dtype"]
    figure, axes = fig.subplots(1, 1, 8, 1.6 + 0.6 * len(pairs))
    axis = axes[0][0]
    for i, (name, label) in enumerate(NAMES.items()):
        places = [place + (i - 0.5) * 0.38 for place in range(len(pairs))]
        found = [row[name] for _, row in pairs]
        axis.barh(places, [row["median_us"] for row in found], 0.36, color=fig.COLOURS[i],
                  label=label, error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
                  xerr=[[row["median_us"] - row["min_us"] for row in found],
                        [row["p90_us"] - row["median_us"] for row in found]])
        for place, row, (_, both) in zip(places, found, pairs):
            text = microseconds(row["median_us"])
            if name != "layer":
                text += f" ({over_ours(row, both['layer']):.2f} x)"
            axis.annotate(text, (row["p90_us"], place), va="center", xytext=(4, 0),
                          textcoords="offset points", fontsize=8)
    axis.set_yticks(range(len(pairs)), [describe(case, fields) for case in cases])
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.set_xlim(left=0)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_formatter(lambda value, _: microseconds(value))
    axis.set_xlabel("a layer, median (line: least to p90); numbers: over HashEP's")
    same = [field for field in CASE if field not in fields]
    figure.suptitle(options.title or "Peers: " + describe(cases[0], same))
    figure.tight_layout(rect=(0, fig.legend_below(figure, [axis], 2), 1, 1))
    return figure

# SPDX-License-Identifier: Apache-2.0
"""Load of experts and ranks over the mean: `hashep table inspect --json`, `hashep run --json`."""

import os

from . import figure as fig
from .results import BadInput, numbers
from .text import in_words


def fits(document):
    return all("expert_max_over_mean" in row and "loads" in row for row in document["results"])


def of_run(document):
    """The load that a run tells of, as a row."""
    load = document.get("load")
    if not isinstance(load, dict):
        return None
    numbers(load, "expert_max_over_mean", "rank_max_over_mean")
    return {"expert_max_over_mean": load["expert_max_over_mean"], "loads": None, "bound": None,
            "rank_max_over_mean": {str(document.get("ranks")): load["rank_max_over_mean"]}}


def worst_row(path, rows):
    """A document's row of the layer with the highest expert load."""
    try:
        found = [row for row in rows if "loads" in row]
        if found:
            row = max(found, key=lambda row: row["expert_max_over_mean"])
            [int(count) for count in row["rank_max_over_mean"]], row["bound"], sum(row["loads"])
        else:
            row = of_run(rows[0]["_document"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: no result of hashep table inspect: {error!r}") from error
    if row is None:
        raise BadInput(f"{path}: no result of hashep table inspect or hashep run: no load in it")
    return row


def default_label(path, metadata):
    name = metadata.get("method", os.path.splitext(os.path.basename(path))[0])
    if "target" in metadata:
        name += f", {metadata['target']}"
    return name + (f", spread {metadata['spread']}" if "spread" in metadata else "")


def draw_experts(axis, rows, labels):
    """A histogram with a step for each expert, experts by falling load."""
    for i, (row, label) in enumerate(zip(rows, labels)):
        mean = sum(row["loads"]) / len(row["loads"])
        loads = sorted((load / mean for load in row["loads"]), reverse=True)
        axis.step(range(1, len(loads) + 1), loads, where="mid", label=label,
                  color=fig.COLOURS[i % len(fig.COLOURS)])
    for bound in sorted({round(row["bound"], 3) for row in rows}):
        axis.axhline(bound, color="black", linestyle=":", linewidth=1)
        axis.annotate(f"bound {bound:.2f}", (1.0, bound), xycoords=("axes fraction", "data"),
                      xytext=(-3, 3), textcoords="offset points", ha="right")
    axis.set_xlabel("experts by falling load")
    axis.set_ylabel("load / mean")
    axis.set_ylim(bottom=0)


def draw_maxima(axis, rows, labels):
    counts = list(dict.fromkeys(count for row in rows for count in row["rank_max_over_mean"]))
    names = ["experts"] + [in_words("ranks", int(count)) for count in counts]
    width = 0.8 / len(rows)
    for i, (row, label) in enumerate(zip(rows, labels)):
        values = [row["expert_max_over_mean"],
                  *(row["rank_max_over_mean"].get(count) for count in counts)]
        found = [(place, value) for place, value in enumerate(values) if value is not None]
        bars = axis.bar([place + (i - (len(rows) - 1) / 2) * width for place, _ in found],
                        [value for _, value in found], width, label=label,
                        color=fig.COLOURS[i % len(fig.COLOURS)])
        axis.bar_label(bars, fmt="%.2f", rotation=90, padding=3, fontsize=8)
    axis.set_xticks(range(len(names)), names)
    axis.grid(axis="x", visible=False)
    axis.set_ylabel("max / mean load")
    axis.margins(y=0.15)


def draw(rows, options):
    documents = []  # told apart by identity: a file given twice counts twice
    for row in rows:
        if not any(row["_document"] is document for document in documents):
            documents.append(row["_document"])
    worst = [worst_row(document["path"], [row for row in rows if row["_document"] is document])
             for document in documents]
    labels = [default_label(document["path"], document.get("metadata", {}))
              for document in documents]
    if options.labels:
        labels = options.labels.split(";")
        if len(labels) != len(worst):
            raise BadInput(f"{len(labels)} labels for {len(worst)} results")
    with_loads = [(row, label) for row, label in zip(worst, labels) if row["loads"]]
    figure, axes = fig.subplots(1, 2 if with_loads else 1, 10 if with_loads else 6, 4)
    if with_loads:
        draw_experts(axes[0][0], *zip(*with_loads))
    draw_maxima(axes[0][-1], worst, labels)
    figure.suptitle(options.title)
    room = fig.legend_below(figure, [axes[0][-1]], 4)
    figure.tight_layout(rect=(0, room, 1, 1))
    return figure

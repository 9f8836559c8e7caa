# SPDX-License-Identifier: Apache-2.0
"""Flat against hierarchical exchange over simulated ranks: rows with "simulated": true."""

from . import figure as fig
from .results import BadInput, distinct, numbers, one_setting
from .text import describe, microseconds

SETTING = ["ranks_per_node", "dtype", "workload", "tokens_per_rank", "hidden_size", "num_experts"]
PANEL = ["name", "top_k"]
LABELS = {"mpi": "mpi (flat)", "hier": "hier (once a node)"}


def fits(document):
    return any(row.get("simulated") for row in document["results"])


def draw_panel(axis, rows):
    ranks = sorted({row["ranks"] for row in rows})
    by_transport = {}
    for i, (transport,) in enumerate(distinct(rows, ["transport"])):
        line = {row["ranks"]: row["median_us"] for row in rows if row["transport"] == transport}
        by_transport[transport] = line
        counts = sorted(line)
        axis.plot(counts, [line[count] for count in counts], color=fig.COLOURS[i],
                  marker=fig.MARKS[i], markersize=5, linewidth=1.8,
                  label=LABELS.get(transport, transport))
    for count, time in by_transport.get("hier", {}).items():
        flat = by_transport.get("mpi", {}).get(count)
        if flat:
            axis.annotate(f"{flat / time:.1f} x", (count, max(time, flat)), ha="center",
                          va="bottom", xytext=(0, 5), textcoords="offset points", fontsize=8)
    fig.power_of_two_axis(axis, ranks, [str(count) for count in ranks])
    axis.yaxis.set_major_formatter(lambda value, _: microseconds(value))
    axis.margins(x=0.12, y=0.12)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("simulated ranks")


def draw(rows, options):
    rows = [row for row in rows if row.get("simulated")]
    if not rows:
        raise BadInput("no row with \"simulated\": true")
    for row in rows:
        numbers(row, "ranks", "median_us")
    rows = one_setting(rows, SETTING, options.say)
    panels = distinct(rows, PANEL)
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = fig.subplots(lines, columns, 3.6 * columns + 0.6, 3.2 * lines + 0.8)
    places = [axis for line in axes for axis in line]
    for axis, panel in zip(places, panels):
        draw_panel(axis, [row for row in rows if tuple(row.get(key) for key in PANEL) == panel])
        axis.set_title(describe(dict(zip(PANEL, panel)), PANEL))
    for axis in places[len(panels):]:
        axis.set_visible(False)
    for line in axes:
        line[0].set_ylabel("simulated time")
    figure.suptitle(options.title or "Simulation: " + describe(rows[0], SETTING)
                    + " (numbers: flat over hier)")
    room = fig.legend_below(figure, places[:len(panels)], 4)
    figure.tight_layout(rect=(0, room, 1, 1))
    return figure

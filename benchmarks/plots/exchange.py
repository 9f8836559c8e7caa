# SPDX-License-Identifier: Apache-2.0
"""Time and bandwidth of dispatch and combine over size, beside the yardsticks of the same run."""

from . import figure as fig
from .results import BadInput, numbers, one_setting, with_plain_workload
from .text import byte_scale, describe, short_number

SETTING = ["ranks", "device", "dtype", "workload", "hidden_size", "num_experts", "top_k"]
YARDSTICKS = {"alltoallv": "alltoallv (raw, equal bytes)",
              "pack_alltoallv_unpack": "pack + alltoallv + unpack",
              "nccl_alltoall": "NCCL all-to-all", "copy_bound": "local copy (bound)"}
STYLES = {"alltoallv": {"color": fig.GREY, "linestyle": "--", "marker": "x"},
          "pack_alltoallv_unpack": {"color": "black", "linestyle": "-.", "marker": "+"},
          "nccl_alltoall": {"color": fig.SKY, "linestyle": "--", "marker": "1"},
          "copy_bound": {"color": fig.YELLOW, "linestyle": ":", "marker": "."}}
DTYPE_BYTES = {"fp32": 4, "bf16": 2}


def fits(document):
    return any(row.get("name") in ("alltoallv", "pack_alltoallv_unpack", "copy_bound")
               and "direction" in row for row in document["results"])


def lines_of(rows, direction):
    """{label: (rows by size, style)} of what goes this way, transports first."""
    lines = {}
    transports = [row["transport"] for row in rows if row["name"] in ("dispatch", "combine")]
    for i, transport in enumerate(dict.fromkeys(transports)):
        style = {"color": fig.COLOURS[i], "marker": fig.MARKS[i], "linewidth": 1.8, "zorder": 3}
        lines[f"HashEP, {transport}"] = (
            [row for row in rows if row["name"] == direction and row["transport"] == transport],
            style)
    for name, label in YARDSTICKS.items():
        lines[label] = ([row for row in rows if row["name"] == name
                         and row.get("direction") in (direction, "copy")], STYLES[name])
    return {label: (sorted(found, key=lambda row: row["tokens_per_rank"]), style)
            for label, (found, style) in lines.items() if found}


def draw_lines(upper, lower, rows, direction):
    for label, (found, style) in lines_of(rows, direction).items():
        sizes = [row["tokens_per_rank"] for row in found]
        times = [row["median_us"] for row in found]
        rates = [row["bytes"] / row["median_us"] * 1e-3 for row in found]
        for axis, values in ((upper, times), (lower, rates)):
            axis.plot(sizes, values, label=label, markersize=5, **style)
        if style.get("zorder"):  # a transport: what varied, from the least to nine in ten
            upper.fill_between(sizes, [row["min_us"] for row in found],
                               [row["p90_us"] for row in found], color=style["color"], alpha=0.15,
                               linewidth=0)


def draw(rows, options):
    rows = [row for row in rows if row.get("name") in ("dispatch", "combine", *YARDSTICKS)]
    if not rows:
        raise BadInput("no row of hashep-bench exchange")
    rows = one_setting([with_plain_workload(row) for row in rows], SETTING, options.say)
    for row in rows:
        numbers(row, "tokens_per_rank", "median_us", "min_us", "p90_us", "bytes")
    sizes = sorted({row["tokens_per_rank"] for row in rows})
    row_bytes = numbers(rows[0], "hidden_size")[0] * DTYPE_BYTES.get(rows[0]["dtype"], 4)
    scale, unit = byte_scale(row_bytes)

    figure, axes = fig.subplots(2, 2, 9.5, 6.4, sharex=True, sharey="row")
    for column, direction in enumerate(("dispatch", "combine")):
        draw_lines(axes[0][column], axes[1][column], rows, direction)
        axes[0][column].set_title(direction)
        fig.log_time_axis(axes[0][column])
        fig.power_of_two_axis(axes[1][column], sizes, [short_number(size) for size in sizes])
        axes[1][column].set_xlabel(f"tokens a rank (rows of {row_bytes / scale:g} {unit})")
    axes[0][0].set_ylabel("time, median (shaded: least to p90)")
    axes[1][0].set_ylabel("bytes a rank / time, GB/s")
    axes[1][0].set_ylim(bottom=0)
    figure.suptitle(options.title or "Exchange: " + describe(rows[0], SETTING))
    figure.tight_layout(rect=(0, fig.legend_below(figure, [axes[0][0]], 3), 1, 1))
    return figure

# SPDX-License-Identifier: Apache-2.0
"""What jobs of several sizes would move and how even they are: `hashep plan --json`."""

from . import figure as fig
from .results import numbers, one_setting
from .text import byte_scale, describe

SETTING = ["ranks_per_node", "dtype", "placement", "workload", "tokens_per_rank", "hidden_size",
           "num_experts", "top_k", "num_layers"]
BYTES = {"bytes_intra": ("inside nodes", fig.BLUE, "o", "-"),
         "bytes_inter": ("between nodes, a row an assignment", fig.ORANGE, "s", "-"),
         "bytes_inter_dedup": ("between nodes, a row once a node", fig.GREEN, "^", "--")}
LOADS = {"expert_max_over_mean": ("of experts", fig.BLUE, "o", "-"),
         "rank_max_over_mean": ("of ranks", fig.ORANGE, "s", "-"),
         "node_max_over_mean": ("of nodes", fig.GREEN, "^", "-"),
         "bound": ("of experts, bound of any table", "black", "", ":")}


def fits(document):
    return all("bytes_inter_dedup" in row for row in document["results"])


def draw_lines(axis, rows, columns, scale=1.0):
    for key, (label, colour, mark, dash) in columns.items():
        axis.plot([row["ranks"] for row in rows], [row[key] / scale for row in rows], label=label,
                  color=colour, marker=mark, linestyle=dash, markersize=5)
    ranks = [row["ranks"] for row in rows]
    fig.power_of_two_axis(axis, ranks, [str(count) for count in ranks])
    axis.set_ylim(bottom=0)
    axis.set_xlabel("ranks")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))


def draw(rows, options):
    for row in rows:
        numbers(row, "ranks", *BYTES, *LOADS)
    rows = sorted(one_setting(rows, SETTING, options.say), key=lambda row: row["ranks"])
    scale, unit = byte_scale(max(row[key] / row["ranks"] for row in rows for key in BYTES))
    figure, axes = fig.subplots(1, 2, 10, 4.6)
    per_rank = [{"ranks": row["ranks"], **{key: row[key] / row["ranks"] for key in BYTES}}
                for row in rows]
    draw_lines(axes[0][0], per_rank, BYTES, scale)
    axes[0][0].set_ylabel(f"dispatch, {unit} a rank and step")
    draw_lines(axes[0][1], rows, LOADS)
    axes[0][1].set_ylabel("max / mean load, worst layer")
    figure.suptitle(options.title or "Jobs: " + describe(rows[0], SETTING))
    figure.tight_layout()
    return figure

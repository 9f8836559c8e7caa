# SPDX-License-Identifier: Apache-2.0
"""Time and efficiency over ranks: `hashep-bench scale`, with predictions as a band."""

from . import figure as fig
from .results import BadInput, least_and_most, numbers, one_setting
from .text import describe, microseconds

SETTING = ["device", "dtype", "workload", "hidden_size", "ffn_size", "num_experts", "top_k"]
# Transport, node size and experts may change with the ranks.
PREDICTED_SETTING = ["of", "machine", "dtype", "workload", "hidden_size", "ffn_size", "top_k"]
TITLES = {"strong": "strong: the same tokens on more ranks",
          "weak": "weak: the same tokens a rank"}
LOSSES = {"imbalance": fig.PURPLE, "exchange": fig.SKY, "gemm_shape": fig.GREEN, "other": "#bbbbbb"}


def fits(document):
    return any(row.get("name") in ("strong", "weak", "predicted") for row in document["results"])


def measured_of(rows, mode, say):
    found = [row for row in rows if row.get("name") == mode]
    for row in found:
        numbers(row, "ranks", "median_us", "efficiency", "efficiency_min", "efficiency_max")
        least_and_most(row)
    return sorted(one_setting(found, [*SETTING, "transport"], say), key=lambda row: row["ranks"])


def predicted_of(rows, mode, measured, say):
    """Predictions of this way of scaling, of the job that was measured if there is one."""
    found = [row for row in rows if row.get("name") == "predicted" and row.get("of") == "layer"
             and row.get("scaling", "weak") == mode]
    for row in found:
        numbers(row, "ranks", "predicted_us", "low_us", "high_us")
    shared = [field for field in PREDICTED_SETTING
              if measured and measured[0].get(field) is not None]
    fitting = [row for row in found
               if all(row.get(field) in (None, measured[0][field]) for field in shared)]
    if len(fitting) < len(found):
        say(f"left out: {len(found) - len(fitting)} predictions of other settings than is measured")
    fitting = sorted(one_setting(fitting, PREDICTED_SETTING, say), key=lambda row: row["ranks"])
    ranks = [row["ranks"] for row in fitting]
    if len(set(ranks)) < len(ranks):
        raise BadInput("several predictions for one number of ranks (--where KEY=VALUE picks)")
    return fitting


def checked(rows, say):
    """{mode: {"measured": rows, "predicted": rows}} of the modes that there are, rows by ranks."""
    found = {}
    for mode in TITLES:
        measured = measured_of(rows, mode, say)
        predicted = predicted_of(rows, mode, measured, say)
        if measured or predicted:
            found[mode] = {"measured": measured, "predicted": predicted}
    if not found:
        raise BadInput("no row 'strong', 'weak' or 'predicted'")
    return found


def mark_shared_cores(axis, measured, values):
    """Hollow marks where ranks outnumber the cores, so that no machine could have scaled."""
    shared = [(row["ranks"], value) for row, value in zip(measured, values)
              if row.get("shares_cores")]
    if shared:
        axis.plot(*zip(*shared), color=fig.BLUE, marker="o", markersize=5, linestyle="",
                  markerfacecolor="white", zorder=4, label="ranks share cores")


def draw_times(axis, measured, predicted):
    if predicted:
        ranks = [row["ranks"] for row in predicted]
        axis.fill_between(ranks, [row["low_us"] for row in predicted],
                          [row["high_us"] for row in predicted], color=fig.ORANGE, alpha=0.25,
                          linewidth=0, label="predicted, low to high")
        axis.plot(ranks, [row["predicted_us"] for row in predicted], color=fig.ORANGE,
                  linestyle="--", marker="s", markersize=4, label="predicted")
    if measured:
        medians = [row["median_us"] for row in measured]
        extremes = [least_and_most(row) for row in measured]
        spread = [[median - least for median, (least, _) in zip(medians, extremes)],
                  [most - median for median, (_, most) in zip(medians, extremes)]]
        axis.errorbar([row["ranks"] for row in measured], medians, yerr=spread, color=fig.BLUE,
                      marker="o", markersize=5, capsize=3, label="measured, least to most")
        mark_shared_cores(axis, measured, medians)
    fig.log_time_axis(axis)
    low, high = axis.get_ylim()
    if high < 20 * low:
        axis.set_yscale("linear")
        axis.yaxis.set_major_formatter(lambda value, _: microseconds(value))
        axis.set_ylim(bottom=0)
    axis.set_ylabel("time")


def base_text(measured, predicted):
    """What 100 % is: the ranks whose time efficiency is relative to."""
    bases = {"measured": measured and measured[0].get("base_ranks", measured[0]["ranks"]),
             # Predictions did not say it when it was always one rank.
             "predicted": predicted and predicted[0].get("base_ranks", 1)}
    bases = {kind: ranks for kind, ranks in bases.items() if ranks}
    texts = [f"{ranks} rank" + ("s" if ranks != 1 else "") for ranks in bases.values()]
    if len(set(texts)) > 1:
        texts = [f"{text} {kind}" for text, kind in zip(texts, bases)]
    return ", ".join(dict.fromkeys(texts))


def draw_efficiency(axis, measured, predicted):
    axis.axhline(100, color="black", linewidth=0.8, linestyle=":")
    with_efficiency = [row for row in predicted if row.get("efficiency") is not None]
    if with_efficiency:
        ranks = [row["ranks"] for row in with_efficiency]
        middle = [100 * row["efficiency"] for row in with_efficiency]
        # Efficiency falls as the time grows: the band of times is that of efficiencies.
        low = [100 * row["efficiency"] * row["predicted_us"] / row["high_us"]
               for row in with_efficiency]
        high = [100 * row["efficiency"] * row["predicted_us"] / row["low_us"]
                for row in with_efficiency]
        axis.fill_between(ranks, low, high, color=fig.ORANGE, alpha=0.25, linewidth=0)
        axis.plot(ranks, middle, color=fig.ORANGE, linestyle="--", marker="s", markersize=4)
    if measured:
        values = [100 * row["efficiency"] for row in measured]
        spread = [[max(0.0, value - 100 * row["efficiency_min"])
                   for value, row in zip(values, measured)],
                  [max(0.0, 100 * row["efficiency_max"] - value)
                   for value, row in zip(values, measured)]]
        axis.errorbar([row["ranks"] for row in measured], values, yerr=spread, color=fig.BLUE,
                      marker="o", markersize=5, capsize=3)
        mark_shared_cores(axis, measured, values)
    axis.set_ylim(bottom=0)
    axis.set_ylabel(f"efficiency, % (100: {base_text(measured, predicted)})")


def draw_losses(axis, measured):
    """Shares of the time, stacked; what is gained rather than lost goes below zero."""
    above, below = [0.0] * len(measured), [0.0] * len(measured)
    places = range(len(measured))
    for name, colour in LOSSES.items():
        shares = [100 * row["loss"].get(name, 0.0) for row in measured]
        starts = [up if share >= 0 else down for share, up, down in zip(shares, above, below)]
        axis.bar(places, shares, bottom=starts, width=0.6, color=colour, label=name)
        above = [start + max(0.0, share) for start, share in zip(above, shares)]
        below = [start + min(0.0, share) for start, share in zip(below, shares)]
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(places, [str(row["ranks"]) for row in measured])
    axis.grid(axis="x", visible=False)
    room = max(1.0, 0.1 * (max(above) - min(below)))
    axis.set_ylim(min(below) - (room if min(below) < 0 else 0), max(above) + room)
    axis.set_ylabel("loss, % of the time")


def draw(rows, options):
    found = checked(rows, options.say)
    losses = any(isinstance(row.get("loss"), dict) for mode in found.values()
                 for row in mode["measured"])
    figure, axes = fig.subplots(len(found), 3 if losses else 2, 11 if losses else 8.5,
                                3.4 * len(found) + 0.6)
    for line, (mode, sets) in zip(axes, found.items()):
        draw_times(line[0], **sets)
        draw_efficiency(line[1], **sets)
        ranks = sorted({row["ranks"] for kind in sets.values() for row in kind})
        for axis in line[:2]:
            fig.power_of_two_axis(axis, ranks, [str(count) for count in ranks])
        with_loss = [row for row in sets["measured"] if isinstance(row.get("loss"), dict)]
        if with_loss:
            draw_losses(line[2], with_loss)
        elif losses:
            line[2].set_visible(False)
        line[0].set_title(TITLES[mode], loc="left")
        for axis in line:
            axis.set_xlabel("ranks")
    first = next(kind[0] for mode in found.values() for kind in mode.values() if kind)
    figure.suptitle(options.title or "Scaling: " + describe(first, ["machine", *SETTING]))
    room = fig.legend_below(figure, [axis for line in axes for axis in line], 4)
    figure.tight_layout(rect=(0, room, 1, 1))
    return figure

# SPDX-License-Identifier: Apache-2.0
"""Where the time of a layer or a step goes: rows of `hashep-bench layer` and of `hashep run`."""

from . import figure as fig
from .results import BadInput, distinct, numbers, sample_count, varying, with_plain_workload
from .text import describe, microseconds

# In the order of a batch. The sums are of `layer` or `step`; the bounds are measured beside them.
AHEAD = ["route", "plan"]
PART_COLOURS = {"route": fig.YELLOW, "plan": fig.SKY, "gate": fig.PURPLE, "dispatch": fig.BLUE,
                "far_rows": "black", "experts": fig.GREEN, "shared_experts": fig.GREY,
                "combine": fig.ORANGE}
WHOLE = ["layer", "step"]
BOUNDS = ["gemm_alone", "copy_bound"]
SETTING = ["ranks", "transport", "planning", "device", "dtype", "router", "workload",
           "placement", "tokens_per_rank", "hidden_size", "ffn_size", "num_experts", "top_k",
           "num_layers"]


def fits(document):
    names = {row.get("name") for row in document["results"]}
    return bool(names & set(WHOLE)) and bool(names & set(PART_COLOURS))


def cases_of(rows):
    """[(setting, {phase: row})]; a bound without a transport is that of all."""
    cases = []
    for setting in distinct([row for row in rows if row["name"] in WHOLE], SETTING):
        phases = {}
        for row in rows:
            for field, value in zip(SETTING, setting):
                shared = row["name"] in BOUNDS and row.get(field) is None
                if row.get(field) != value and not shared:
                    break
            else:
                if row["name"] in phases:
                    raise BadInput(f"two rows '{row['name']}' of one setting "
                                   "(--where KEY=VALUE picks)")
                phases[row["name"]] = row
        cases.append((dict(zip(SETTING, setting)), phases))
    return cases


def legend_under(axis, columns):
    """Below the labels of the x axis, 0.8 inches down."""
    height = axis.get_window_extent().height / axis.figure.dpi
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.8 / height), ncol=columns, fontsize=8)


def draw_times(axis, cases, labels, names):
    """Each phase's time, on a scale where large and small can be read."""
    height = 0.8 / len(cases)
    least = min(row["min_us"] for _, phases in cases for row in phases.values())
    most = max(row["p90_us"] for _, phases in cases for row in phases.values())
    for i, ((_, phases), label) in enumerate(zip(cases, labels)):
        found = [(place, phases[name]) for place, name in enumerate(names) if name in phases]
        places = [place + (i - (len(cases) - 1) / 2) * height for place, _ in found]
        medians = [row["median_us"] for _, row in found]
        spread = [[row["median_us"] - row["min_us"] for _, row in found],
                  [row["p90_us"] - row["median_us"] for _, row in found]]
        axis.barh(places, medians, height, color=fig.COLOURS[i % len(fig.COLOURS)], label=label,
                  xerr=spread, error_kw={"elinewidth": 0.8, "ecolor": "#444444"})
        for place, (_, row) in zip(places, found):
            axis.annotate(microseconds(row["median_us"]), (row["p90_us"], place), va="center",
                          xytext=(4, 0), textcoords="offset points", fontsize=7)
    axis.set_xscale("log")
    axis.set_xlim(least / 3, most * (most / least) ** 0.2 * 1.5)  # room for the numbers
    axis.xaxis.set_major_formatter(lambda value, _: microseconds(value))
    axis.tick_params(axis="x", labelrotation=30)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("median, slowest rank (line: least to p90)")


def share_of(phases, name):
    """How many percent of the whole a phase is; a step has phases of several layers."""
    whole = next(phases[each] for each in WHOLE if each in phases)
    times = (sample_count(phases[name]) / sample_count(whole)
             if whole["name"] == "step" else 1)
    return 100.0 * times * phases[name]["median_us"] / whole["median_us"]


def draw_shares(axis, cases, labels):
    """The parts of a whole, each by its share; what the parts leave is named other. A case that has
    a whole alone is left out."""
    chosen = [(case, label) for case, label in zip(cases, labels)
              if set(case[1]) & set(PART_COLOURS)]
    cases, labels = zip(*chosen)
    left = [0.0] * len(cases)
    for name, colour in PART_COLOURS.items():
        # Routing and planning are a part only where they are not done ahead.
        widths = [share_of(phases, name) if name in phases
                  and (name not in AHEAD or case["planning"] == "inline") else 0.0
                  for case, phases in cases]
        if any(widths):
            axis.barh(range(len(cases)), widths, left=left, height=0.6, color=colour, label=name)
        left = [start + width for start, width in zip(left, widths)]
    axis.barh(range(len(cases)), [max(0.0, 100.0 - start) for start in left], left=left,
              height=0.6, color="#dddddd", label="other")
    axis.axvline(100, color="black", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(cases)), labels)
    axis.set_ylim(len(cases) - 0.5, -0.5)
    axis.set_xlim(0, 1.05 * max(100.0, *left))
    axis.grid(axis="y", visible=False)
    # Each phase is that of its own slowest rank.
    axis.set_xlabel("phase / whole, medians of the slowest rank, % (may add up to over 100)")
    legend_under(axis, 4)


def draw(rows, options):
    known = [*PART_COLOURS, *WHOLE, *BOUNDS]
    rows = [with_plain_workload(row) for row in rows
            if row.get("name") in known and row.get("median_us") is not None]
    for row in rows:
        numbers(row, "median_us", "min_us", "p90_us")
        if not sample_count(row):
            raise BadInput(f"row '{row['name']}': no samples")
    cases = cases_of(rows)
    if not any(set(phases) & set(PART_COLOURS) for _, phases in cases):
        raise BadInput("no row 'layer' or 'step' with phases (hashep-bench layer, hashep run)")
    if len(cases) > len(fig.COLOURS):
        raise BadInput(f"{len(cases)} settings are too many for one plot (--where KEY=VALUE picks)")
    settings = [case for case, _ in cases]
    fields = varying(settings, SETTING) or ["transport"]
    labels = [describe(case, fields) or "all" for case in settings]
    names = [name for name in known if any(name in phases for _, phases in cases)]

    tall = 1.8 + 0.16 * len(cases) * len(names) + 0.12 * len(names)
    figure, axes = fig.subplots(1, 2, 11, max(4.2, tall))
    draw_times(axes[0][0], cases, labels, names)
    draw_shares(axes[0][1], cases, labels)
    if len(cases) > 1:
        legend_under(axes[0][0], 2)
    same = [field for field in SETTING if field not in fields]
    figure.suptitle(options.title or "Phases: " + describe(settings[0], same))
    figure.tight_layout()
    return figure

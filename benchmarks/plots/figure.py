# SPDX-License-Identifier: Apache-2.0
"""Figures with one look, and files that are the same whenever they are made."""

import os

from .results import BadInput
from .text import microseconds

# Okabe and Ito's colours: told apart with any kind of colour vision. Marks and dashes differ too.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, YELLOW, SKY, GREY = "#CC79A7", "#E69F00", "#56B4E9", "#777777"
COLOURS = [BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, "black", GREY]
MARKS = ["o", "s", "^", "D", "v", "P", "X", "*"]


def subplots(rows, columns, width, height, **options):
    """A figure and its axes, [rows][columns], width x height inches in all."""
    try:
        import matplotlib
    except ImportError as error:
        raise BadInput("matplotlib is missing (Debian: python3-matplotlib)") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot
    # Text stays text, and nothing depends on the time or on chance: files can be compared.
    pyplot.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "hashep", "font.size": 9, "axes.grid": True,
        "axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.6,
        "axes.titlesize": 10, "figure.titlesize": 11, "legend.frameon": False,
    })
    return pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)


def power_of_two_axis(axis, values, labels):
    """An x axis in steps of two, marked at these values."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(values, labels)
    axis.minorticks_off()


def log_time_axis(axis):
    """A logarithmic y axis of microseconds; within a decade or so, 2 and 5 are marked as well."""
    def between(value, _):
        low, high = axis.get_ylim()
        return microseconds(value) if high < 20 * low and f"{value:e}"[0] in "25" else ""
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: microseconds(value))
    axis.yaxis.set_minor_formatter(between)


def legend_below(figure, axes, columns):
    """One legend for all axes, below them, where it covers no data."""
    found = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="lower center", ncol=columns)
    rows = -(-len(found) // columns)
    return 0.25 * rows / figure.get_figheight() + 0.01


def check_name(path):
    if not path.endswith((".svg", ".png")):
        raise BadInput(f"--output {path}: FILE.svg or FILE.png is expected")


def save(figure, path):
    """Writes the figure, whole or not at all, and closes it."""
    from matplotlib import pyplot
    kind = path[-3:]
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    temporary = f"{path}.tmp"
    try:
        figure.savefig(temporary, format=kind, metadata=metadata, dpi=120)
        os.replace(temporary, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error}") from error
    finally:
        pyplot.close(figure)
        if os.path.exists(temporary):
            os.remove(temporary)

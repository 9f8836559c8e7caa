# SPDX-License-Identifier: Apache-2.0
"""The chart: loss over tokens, differences over tokens, and loss over time."""

import math
import sys

from . import arms, cost
from .intervals import difference, estimate
from .runs import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from plots import figure as look  # noqa: E402

VERSION = "3.6"  # of matplotlib, Debian 12's, that has drawn what docs/plots keeps

# In the chart: (arm, label, colour, dashes).
LINES = (
    ("dense", "dense", "black", "-"),
    ("hash", "hash, random", look.BLUE, "-"),
    ("hash-balanced", "hash, balanced", look.SKY, "--"),
    ("hash-clustered", "hash, clustered", look.PURPLE, "-."),
    ("distilled", "table distilled from a gate", look.GREEN, "--"),
    ("learned", "learned gate (Switch)", look.ORANGE, "-"),
    ("learned-no-balance", "learned gate, no balance loss", look.YELLOW, ":"),
    ("dense-wide", "dense, all parameters active", look.GREY, "-"),
)


def are_comparable():
    """Other versions of matplotlib draw other bytes."""
    import matplotlib

    return matplotlib.__version__.startswith(VERSION + ".")


def draw(results, folder):
    """Writes the SVGs to a folder; returns their paths."""
    path = folder / "quality.svg"
    figure, axes = look.subplots(1, 3, 11.5, 4.3)
    main = results.stage("main")
    if "hash" not in main:
        return []
    seconds = cost.step_seconds(results)
    for name, label, colour, dashes in LINES:
        if name not in main:
            continue
        arm, style = main[name], dict(color=colour, linestyle=dashes, linewidth=1.4)
        steps = arm.evaluated_steps
        tokens = [step * arms.TOKENS_PER_STEP for step in steps]
        losses = [estimate(list(arm.loss_at(step).values())).mean for step in steps]
        axes[0][0].plot(tokens, losses, label=label, **style)
        if name != "hash":
            found = [difference(arm.loss_at(step), main["hash"].loss_at(step), arms.MARGIN) for step in steps]
            axes[0][1].plot(tokens, [each.mean for each in found], **style)
            halves = [0.0 if math.isnan(each.half) else each.half for each in found]
            low, high = zip(*((each.mean - half, each.mean + half) for each, half in zip(found, halves)))
            axes[0][1].fill_between(tokens, low, high, color=colour, alpha=0.15, linewidth=0)
        if name in seconds:
            axes[0][2].plot([step * seconds[name] / 60 for step in steps], losses, **style)
    _finish(axes[0])
    bottom = look.legend_below(figure, axes[0], 4)
    figure.tight_layout(rect=(0, bottom, 1, 1))
    look.save(figure, str(path))
    return [path]


def _finish(axes):
    losses, differences, times = axes
    for axis in (losses, differences):
        axis.set_xscale("log")
        axis.set_xlabel("tokens trained on")
    losses.set_ylabel("held-out loss, nats a token")
    losses.set_title("Loss over tokens, mean of seeds")
    differences.set_title("Minus hash, same seeds: mean and 95 %")
    differences.set_ylabel("difference, nats a token")
    differences.axhline(0, color="#0072B2", linewidth=1.2)
    differences.axhspan(-arms.MARGIN, arms.MARGIN, color="#0072B2", alpha=0.08, linewidth=0)
    differences.set_ylim(-0.3, 0.3)
    times.set_xlabel("minutes of training on 2 ranks")
    times.set_ylabel("held-out loss, nats a token")
    times.set_xscale("log")
    times.set_title("Loss over time, 2 cores")

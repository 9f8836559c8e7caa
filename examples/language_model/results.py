# SPDX-License-Identifier: Apache-2.0
"""Curves as CSV, files that appear when they are whole, and progress."""

import csv
import io
import math
import os
import sys
import time


def curve_csv(curve):
    """Numbers are written so that reading them gives the same bits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        "step,loss,learning_rate,gradient_norm,held_out_loss,held_out_perplexity,balance".split(",")
    )
    for point in curve:
        held = point["held_out_loss"]
        values = [
            point["loss"], point["learning_rate"], point["gradient_norm"], held,
            None if held is None else math.exp(held), point["balance"],
        ]  # fmt: skip
        writer.writerow([point["step"], *("" if each is None else repr(float(each)) for each in values)])
    return file.getvalue()


def write(name, text):
    temporary = f"{name}.tmp"
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, name)


class Progress:
    """On stderr: a bar where a person looks at it, else a line now and then."""

    BAR, EVERY_BAR, EVERY_LINE = 30, 0.2, 5.0

    def __init__(self, options, first, last, speaks):
        style = options.progress
        if style == "auto":
            style = "bar" if self._is_seen() else "lines"
        self.style = style if speaks else "off"
        self.first, self.last = first, last
        self.begin = self.shown = time.monotonic()
        self.is_drawn = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()

    def update(self, step):
        now = time.monotonic()
        every = self.EVERY_BAR if self.style == "bar" else self.EVERY_LINE
        if self.style == "off" or now - self.shown < every:
            return
        self.shown = now
        left = (now - self.begin) / (step - self.first) * (self.last - step)
        text = f"step {step}/{self.last}, {left:.0f} s left"
        if self.style == "bar":
            full = self.BAR * step // self.last
            text = f"\r\033[K[{'=' * full}{' ' * (self.BAR - full)}] {text}"
        print(text, end="" if self.style == "bar" else "\n", file=sys.stderr, flush=True)
        self.is_drawn = self.style == "bar"

    def clear(self):
        if self.is_drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        self.is_drawn = False

    @staticmethod
    def _is_seen():
        """mpirun gives ranks a pipe as stderr whatever its own is, so its own counts too."""
        if sys.stderr.isatty():
            return True
        try:
            return os.readlink(f"/proc/{os.getppid()}/fd/2").startswith("/dev/pts/")
        except OSError:
            return False

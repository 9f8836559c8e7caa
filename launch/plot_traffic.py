#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the traffic of `hashep plan --csv FILE` as heat maps: benchmarks/plot.py traffic.

    launch/plot_traffic.py traffic.csv --output traffic.svg [--dedup]
"""

import os
import sys

plot = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "benchmarks", "plot.py")
os.execv(sys.executable, [sys.executable, plot, "traffic", *sys.argv[1:]])

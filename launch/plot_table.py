#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots the balance of routing tables: benchmarks/plot.py load.

    launch/plot_table.py random.json balanced.json --labels "random;balanced" --output balance.svg
"""

import os
import sys

plot = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "benchmarks", "plot.py")
os.execv(sys.executable, [sys.executable, plot, "load", *sys.argv[1:]])

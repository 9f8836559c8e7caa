# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/plot.py draws and compares: one kind of plot a file."""

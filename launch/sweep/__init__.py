# SPDX-License-Identifier: Apache-2.0
"""What launch/sweep.py is made of."""

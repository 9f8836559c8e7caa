#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare_hidden.py GOT WANT BOUND: compares the tensors hidden_states of two safetensors files by
row, |got - want| / |want| in Euclidean norms as `hashep run --check` does. Prints the largest error
and its row; ends with 1 where it is not below BOUND, or WANT shows nothing."""

import sys

import numpy as np

import safetensors_file


def main():
    got_path, want_path, bound = sys.argv[1:]
    got = safetensors_file.File(got_path).floats("hidden_states").astype(np.float64)
    want = safetensors_file.File(want_path).floats("hidden_states").astype(np.float64)
    if got.shape != want.shape or want.size == 0:
        raise SystemExit(f"shapes {got.shape} and {want.shape}")
    difference = np.linalg.norm(got - want, axis=1)
    norm = np.linalg.norm(want, axis=1)
    # Rows of zeros (padding without the residual) must be zeros.
    errors = np.where(difference == 0, 0, difference / np.where(norm == 0, 1e-300, norm))
    worst = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
    print(f"relative error by row: at most {errors[worst]:.2e} (row {worst}), median "
          f"{np.median(errors):.2e}, bound {float(bound):.0e}, {len(errors)} rows")
    if not errors[worst] < float(bound):
        return 1
    if np.count_nonzero(norm) < len(norm) // 2:
        raise SystemExit("most rows of WANT are zero")
    return 0


if __name__ == "__main__":
    sys.exit(main())

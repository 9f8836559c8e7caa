# SPDX-License-Identifier: Apache-2.0
"""Quantised matrices from the description of their formats alone (OCP MX v1.0; DeepSeek-V4's layout),
for the other scripts here.

A matrix [rows, cols] is codes and scales: a code's value times the scale of its block. FP8: F8_E4M3
codes [rows, cols]. FP4: E2M1 codes two a byte, as I8 [rows, cols / 2], an even column in the low four
bits; blocks of 1 x 32. Scales [ceil(rows / block), ceil(cols / block)] are F8_E8M0 (2^(e - 127)) or F32.
"""

import numpy as np

FP4_BLOCK = (1, 32)


def e4m3_values():
    """Of all 256 codes; NaN for 0x7f and 0xff."""
    codes = np.arange(256)
    sign = np.where(codes & 128, -1.0, 1.0)
    exponent, fraction = (codes >> 3) & 15, codes & 7
    values = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7.0))
    values[codes & 127 == 127] = np.nan
    return sign * values


def e2m1_values():
    """Of all 16 codes."""
    codes = np.arange(16)
    exponent, fraction = (codes >> 1) & 3, codes & 1
    values = np.where(exponent == 0, fraction / 2, (1 + fraction / 2) * 2.0 ** (exponent - 1.0))
    return np.where(codes & 8, -1.0, 1.0) * values


def spread(scales, block, shape):
    """A scale for each element."""
    rows, cols = np.indices(shape)
    return scales[rows // block[0], cols // block[1]]


def unpacked(codes):
    """FP4 codes [rows, cols] of bytes [rows, cols / 2]."""
    codes = codes.view(np.uint8)
    pairs = np.stack((codes & 15, codes >> 4), axis=-1)
    return pairs.reshape(len(codes), -1)


def packed(codes):
    return (codes[:, 0::2] | (codes[:, 1::2] << 4)).astype(np.uint8).view(np.int8)


def scale_values(stored):
    return np.ldexp(1.0, stored.astype(int) - 127) if stored.dtype == np.uint8 else stored.astype(np.float64)


def dequantised(dtype, codes, scales, block):
    """In fp64. dtype: that of the codes."""
    if dtype == "I8":
        codes, block = unpacked(codes), FP4_BLOCK
    values = (e2m1_values() if dtype == "I8" else e4m3_values())[codes]
    return values * spread(scale_values(scales), block, values.shape)


def quantised(dtype, values, block, scale_dtype):
    """(codes, scales) near fp values: a block's largest is near the format's."""
    table = e2m1_values() if dtype == "I8" else e4m3_values()
    block = FP4_BLOCK if dtype == "I8" else block
    largest = np.nanmax(table)
    counts = [-(-size // by) for size, by in zip(values.shape, block)]
    scales = np.zeros(counts)
    for i, j in np.ndindex(*counts):
        part = values[i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]]
        scales[i, j] = max(np.abs(part).max() / largest, 2.0**-40)
    if scale_dtype == "F8_E8M0":
        stored = (np.ceil(np.log2(scales)) + 127).astype(np.uint8)
    else:
        stored = scales.astype(np.float32)
    wanted = values / spread(scale_values(stored), block, values.shape)
    order = np.argsort(table[~np.isnan(table)], kind="stable")
    known = np.flatnonzero(~np.isnan(table))[order]
    places = np.clip(np.searchsorted(table[known], wanted), 1, len(known) - 1)
    below, above = known[places - 1], known[places]
    codes = np.where(wanted - table[below] < table[above] - wanted, below, above).astype(np.uint8)
    return (packed(codes) if dtype == "I8" else codes), stored

# SPDX-License-Identifier: Apache-2.0
"""safetensors files by hand, from the format's description alone, for the other scripts here.

A file is a length (8 bytes, little-endian), that many bytes of JSON and the tensors' bytes; the JSON
tells each tensor's dtype, shape and place (https://github.com/huggingface/safetensors#format).
"""

import json

import numpy as np

# BF16 stands as its bits; the dtypes of one byte that numpy lacks as bytes.
STORED = {
    "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I32": np.int32, "I64": np.int64,
    "I8": np.int8, "F8_E4M3": np.uint8, "F8_E5M2": np.uint8, "F8_E8M0": np.uint8,
}


def bf16_bits(values):
    """The nearest bf16 of fp32 values, ties to even, as bits (no value is a NaN's rounding)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def bf16_values(bits):
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


def write(path, tensors):
    """tensors: (name, dtype, shape, make) in the file's order; make() gives the stored array, so that
    one tensor at a time is in memory."""
    header = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape, _ in tensors:
        begin, end = end, end + int(np.prod(shape)) * np.dtype(STORED[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, dtype, shape, make in tensors:
            array = make()
            if array.dtype != STORED[dtype] or array.shape != tuple(shape):
                raise ValueError(f"{name}: made {array.dtype} {array.shape}, not {dtype} {shape}")
            array.tofile(file)


class File:
    """The tensors of a file, read when asked for."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self.header = json.loads(file.read(length))
        self.header.pop("__metadata__", None)
        self.begin = 8 + length

    def stored(self, name):
        entry = self.header[name]
        first, end = entry["data_offsets"]
        dtype = np.dtype(STORED[entry["dtype"]])
        count = (end - first) // dtype.itemsize
        flat = np.fromfile(self.path, dtype, count, offset=self.begin + first)
        return flat.reshape(entry["shape"])

    def floats(self, name):
        """A tensor of F32, F16 or BF16 as fp32."""
        dtype = self.header[name]["dtype"]
        if dtype not in ("F32", "F16", "BF16"):
            raise ValueError(f"{self.path}: {name}: {dtype} is no weight of this reference")
        stored = self.stored(name)
        return bf16_values(stored) if dtype == "BF16" else stored.astype(np.float32)

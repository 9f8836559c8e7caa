# SPDX-License-Identifier: Apache-2.0
"""Reads safetensors files as PyTorch tensors, with nothing beyond PyTorch."""

import json
import os

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I32": torch.int32, "I64": torch.int64}


def read_safetensors(path):
    """(tensors by name, metadata) of a file, in host memory."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > size - 8:
            raise ValueError("the header is longer than the file")
        header = json.loads(file.read(header_bytes))
    metadata = header.pop("__metadata__", {})
    data = torch.from_file(path, shared=False, size=size, dtype=torch.uint8)[8 + header_bytes:]
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        # The copy is aligned for its type, wherever the file has it.
        tensors[name] = data[begin:end].clone().view(DTYPES[entry["dtype"]]).view(entry["shape"])
    return tensors, metadata

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which experts' bytes of a model folder were read, told by the pages in the system's memory (mincore).

    tests/reference/resident_experts.py evict DIR       # before: nothing is there
    tests/reference/resident_experts.py check DIR 0:3   # after: experts 0 to 2 are, others are not

Experts must be larger than what the system reads ahead, some 16 MB. Ends with 77 where nothing can be
evicted (a file system in memory), with 1 where other bytes were read.
"""

import ctypes
import glob
import json
import mmap
import os
import re
import sys

import numpy as np

import safetensors_file

LARGEST_STRAY = 0.25  # of the bytes of experts that were not to be read
LEAST_OWN = 0.5  # of those that were: some may have been evicted since


def resident_pages(path):
    size = os.path.getsize(path)
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    mapped = np.memmap(path, np.uint8, "r")
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    if mincore(mapped.ctypes.data, size, pages.ctypes.data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return pages & 1


def evict(paths):
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if resident_pages(path).mean() > 0.01:
            print(f"{path} stays in memory: what is read cannot be told here")
            return 77
    return 0


def check(folder, paths, own):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        hash_layers = json.load(file)["num_hash_layers"]
    pages = {True: [], False: []}
    for path in paths:
        resident = resident_pages(path)
        file = safetensors_file.File(path)
        for name, entry in file.header.items():
            found = re.fullmatch(r".*layers\.(\d+)\.ffn\.experts\.(\d+)\.w\d\.weight", name)
            if found is None:
                continue
            is_own = int(found[1]) < hash_layers and int(found[2]) in own
            begin, end = ((file.begin + offset) // mmap.PAGESIZE for offset in entry["data_offsets"])
            pages[is_own].append(resident[begin:end])
    own_share, other_share = (np.concatenate(pages[key]).mean() for key in (True, False))
    print(f"read: {100 * own_share:.1f} % of experts {own.start} to {own.stop - 1}, "
          f"{100 * other_share:.1f} % of the others")
    return 0 if own_share >= LEAST_OWN and other_share <= LARGEST_STRAY else 1


def main():
    verb, folder, *own = sys.argv[1:]
    paths = sorted(glob.glob(os.path.join(folder, "*.safetensors")))
    if not paths:
        raise SystemExit(f"{folder}: no *.safetensors")
    if verb == "evict":
        return evict(paths)
    first, end = own[0].split(":")
    return check(folder, paths, range(int(first), int(end)))


if __name__ == "__main__":
    sys.exit(main())

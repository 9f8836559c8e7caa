#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes result files anew as benchmarks/results keeps them: a row a line, samples as quantiles.

    benchmarks/summarise.py benchmarks/results/layer-2-ranks-amd-epyc-milan.json ...

`samples_us` of a row becomes `samples`, their number, and `quantiles_us`, those of QUANTILES.
Plots and the cost model read such files. `plot.py --compare` needs all samples: `--keep-samples`.
"""

import argparse
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
from plots.results import QUANTILES, BadInput, read_document  # noqa: E402


def quantile(ordered, share):
    """The value at this share of the way through the sorted values, between two in proportion."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (place - below) * (ordered[above] - ordered[below]), 2)


def summarised(row):
    """The row with quantiles in the place of its samples."""
    whole = {}
    for key, value in row.items():
        if key != "samples_us":
            whole[key] = value
        elif value:
            whole["samples"] = len(value)
            whole["quantiles_us"] = [quantile(sorted(value), share) for share in QUANTILES]
    return whole


def text_of(document):
    """The document as JSON: each row a line, and each of what describes the run."""
    head = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()
            if key != "results"]
    rows = ",\n".join(f"  {json.dumps(row)}" for row in document["results"])
    return "{\n" + ",\n".join([*head, f' "results": [\n{rows}\n ]']) + "\n}\n"


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", metavar="FILE", nargs="+", type=pathlib.Path)
    parser.add_argument("--keep-samples", action="store_true", help="for plot.py --compare")
    arguments = parser.parse_args(words)
    try:
        for path in arguments.files:
            document = read_document(path)
            del document["path"]
            if not arguments.keep_samples:
                document["results"] = [summarised(row) for row in document["results"]]
            beside = path.with_name(path.name + ".tmp")
            beside.write_text(text_of(document), encoding="utf-8")
            os.replace(beside, path)
    except (BadInput, OSError) as error:
        print(f"summarise.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""The result JSON of all HashEP programs, as far as the peers write it."""

import datetime
import json
import math
import os
import statistics
import subprocess


def percentile(samples, p):
    return sorted(samples)[max(math.ceil(p * len(samples)), 1) - 1]


def sample_fields(samples):
    """What a row tells of its samples (microseconds, each the slowest rank's)."""
    return {"median_us": round(statistics.median(samples), 2),
            "p50_us": round(percentile(samples, 0.5), 2),
            "p90_us": round(percentile(samples, 0.9), 2),
            "p99_us": round(percentile(samples, 0.99), 2),
            "min_us": round(min(samples), 2), "samples_us": [round(s, 2) for s in samples],
            "max_over_ranks": True}


def commit():
    named = os.environ.get("HASHEP_COMMIT")
    if named:
        return named
    asked = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse",
                            "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_json(path, document):
    """Whole or not at all."""
    part = path + ".tmp"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    os.replace(part, path)

# SPDX-License-Identifier: Apache-2.0
"""Reading result files, and picking rows out of them."""

import csv
import json

# What benchmarks/summarise.py leaves of a row's samples: the least, the median, the most, ...
QUANTILES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]


class BadInput(Exception):
    """Something that a user can mend; its text is one line."""


def read_document(path):
    """A result: the JSON of any program, or the CSV of `hashep plan --csv` as such a result."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    if text.startswith("ranks,"):
        rows = list(csv.DictReader(text.splitlines()))
        return {"path": path, "program": "hashep plan --csv", "results": rows}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{path}: no result JSON: {error}") from error
    rows = document.get("results") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"{path}: no result JSON: 'results' has to be a list of rows")
    if not rows:
        raise BadInput(f"{path}: no row in it")
    return dict(document, path=path)


def split_where(words):
    """KEY=VALUE words as pairs."""
    pairs = [word.partition("=") for word in words]
    for word, (key, equals, _) in zip(words, pairs):
        if not key or not equals:
            raise BadInput(f"--where {word}: KEY=VALUE is expected")
    return [(key, value) for key, _, value in pairs]


def rows_of(documents, where=()):
    """All rows that have the wanted values, each with its job's ranks and its `_document`."""
    rows = []
    for document in documents:
        for row in document["results"]:
            whole = {"ranks": document.get("ranks"), **row, "_document": document}
            if all(str(whole.get(key)) == value for key, value in where):
                rows.append(whole)
    if where and not rows:
        raise BadInput("no row has " + ", ".join(f"{key}={value}" for key, value in where))
    return rows


def with_plain_workload(row):
    """A copy's workload also tells how it copies ("uniform, memcpy"): it changes with the size."""
    if row.get("name") != "copy_bound" or not isinstance(row.get("workload"), str):
        return row
    return {**row, "workload": row["workload"].rsplit(", ", 1)[0]}


def numbers(row, *keys):
    """The row's values of these keys, which have to be numbers."""
    for key in keys:
        if not isinstance(row.get(key), (int, float)) or isinstance(row.get(key), bool):
            raise BadInput(f"row '{row.get('name')}': {key} has to be a number, "
                           f"not {row.get(key)!r}")
    return [row[key] for key in keys]


def sample_count(row):
    """How many samples the row is of; 0 where it does not tell."""
    return len(row.get("samples_us") or ()) or row.get("samples", 0)


def least_and_most(row):
    """The extremes of the row's samples, or of the quantiles that are left of them."""
    values = row.get("samples_us") or row.get("quantiles_us")
    if not isinstance(values, list) or not values:
        raise BadInput(f"row '{row.get('name')}': no samples_us and no quantiles_us")
    return min(values), max(values)


def distinct(rows, fields):
    """The different values of these fields, as tuples, in order of appearance."""
    return list(dict.fromkeys(tuple(row.get(field) for field in fields) for row in rows))


def varying(rows, fields):
    """Those of the fields that differ among the rows."""
    return [field for field in fields if len(distinct(rows, [field])) > 1]


def one_setting(rows, fields, say):
    """The rows that agree with the first one in these fields; says what is left out."""
    settings = distinct(rows, fields)
    if not settings:
        return []
    for other in settings[1:]:
        differing = [f"{field}={value}" for field, value, first in zip(fields, other, settings[0])
                     if value != first]
        say("left out: " + " ".join(differing) + " (--where KEY=VALUE picks)")
    return [row for row in rows if tuple(row.get(field) for field in fields) == settings[0]]

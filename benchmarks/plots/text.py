# SPDX-License-Identifier: Apache-2.0
"""Numbers and rows in words, as axes and legends have them."""

SHORT = {
    "hidden_size": "d", "ffn_size": "f", "num_experts": "E",
}
COUNTED = {
    "ranks": "ranks", "tokens_per_rank": "tokens a rank", "num_layers": "layers",
    "ranks_per_node": "ranks a node",
}


def short_number(value):
    """4096 as 4K."""
    for unit, name in ((1024 ** 3, "G"), (1024 ** 2, "M"), (1024, "K")):
        if value >= unit and value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


def in_words(field, value):
    """A field's value for a person: `d 1024`, `top-6`, `bf16`."""
    if field in ("router", "placement"):
        return f"{field} {value}"
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    if field == "top_k":
        return f"top-{value}"
    if field in COUNTED:
        words = COUNTED[field] if value != 1 else COUNTED[field].replace("s", "", 1)
        return f"{short_number(value)} {words}"
    return f"{SHORT.get(field, field)} {value}"


def describe(row, fields):
    """What a row is, by those of the fields that it has."""
    return ", ".join(in_words(field, row[field]) for field in fields if row.get(field) is not None)


def microseconds(value):
    """A time with its unit, three digits."""
    if value == 0:
        return "0"
    for unit, name in ((1e6, "s"), (1e3, "ms")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} µs"


def byte_scale(most):
    """A unit in which so many bytes are readable, and its name."""
    for power, name in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if most >= 1024 ** power:
            return 1024 ** power, name
    return 1, "bytes"

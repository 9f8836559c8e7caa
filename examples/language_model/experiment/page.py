# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of docs/quality.md, from the results that the repository keeps and nothing else."""

import math
import re
import statistics

from data import BadInput

from . import arms, cost, plots
from .intervals import difference, estimate
from .results import Results
from .runs import ROOT

PAGE = ROOT / "docs/quality.md"
LABELS = {
    "dense": "dense", "hash": "hash, random", "hash-balanced": "hash, balanced",
    "hash-clustered": "hash, clustered", "distilled": "table distilled from a gate",
    "learned": "learned gate", "learned-no-balance": "learned gate, no balance loss",
    "hash-top-2": "hash, top-2", "learned-top-2": "learned gate, top-2",
    "dense-wide": "dense, all parameters active",
}  # fmt: skip
MARK = re.compile(r"(?s)(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)")


def made(results):
    """{table: its lines}."""
    return {name: make(results) or ["Not run yet."] for name, make in TABLES.items()}


def write(results):
    """Tables in the page, and plots."""
    PAGE.write_text(with_tables(PAGE.read_text(), made(results)))
    plots.draw(results, ROOT / "docs/plots")


def check(results, work):
    """What is not as the results have it: lines to print; `work` is an empty folder."""
    page = PAGE.read_text()
    wrong = [] if with_tables(page, made(results)) == page else [f"{PAGE.name}: its tables are others"]
    if not plots.are_comparable():
        return wrong
    for drawn in plots.draw(results, work):
        kept = ROOT / "docs/plots" / drawn.name
        if not kept.exists() or kept.read_bytes() != drawn.read_bytes():
            wrong.append(f"docs/plots/{drawn.name}: is another")
    return wrong


def with_tables(page, tables):
    missing = {name for _, name, _ in MARK.findall(page)} - tables.keys()
    if missing:
        raise BadInput(f"{PAGE.name}: no table is called {sorted(missing)[0]}")
    return MARK.sub(lambda found: found[1] + "\n".join(tables[found[2]]) + "\n" + found[3], page)


def table(head, rows):
    return rows and [
        "| " + " | ".join(head) + " |", "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]  # fmt: skip


def main_table(results):
    main = in_order(results.stage("main"))
    if "hash" not in main:
        return []
    base = main["hash"].final()
    rows = []
    for name, arm in main.items():
        final = estimate(list(arm.final().values()))
        total, active = parameters(arm)
        row = [
            LABELS[name], f"{total / 1e6:.2f}", f"{active / 1e6:.2f}", interval(final),
            f"{math.exp(final.mean):.2f}",
        ]  # fmt: skip
        if name == "hash":
            row += ["", ""]
        else:
            found = difference(arm.final(), base, arms.MARGIN)
            row += [signed(found), found.verdict]
        rows.append(row)
    head = [
        "arm", "parameters, millions", "active", "held-out loss, nats a token", "perplexity", "minus hash",
        f"verdict (margin {arms.MARGIN})",
    ]  # fmt: skip
    return table(head, rows)


def order_table(results):
    """Paired differences along the way."""
    main = in_order(results.stage("main"))
    if "hash" not in main:
        return []
    steps = main["hash"].evaluated_steps
    chosen = [step for step in steps if step in (100, 200, 500, 1000, 2000, 3500)] + steps[-1:]
    rows = []
    for name, arm in main.items():
        if name == "hash":
            continue
        row = [LABELS[name]]
        for step in chosen:
            found = difference(arm.loss_at(step), main["hash"].loss_at(step), arms.MARGIN)
            row.append(signed(found) + (" *" if found.verdict.startswith(("lower", "higher")) else ""))
        rows.append([*row, settled(arm, main["hash"])])
    head = ["minus hash, at million tokens", *(f"{millions(step):.2g}" for step in chosen), "same sign since"]
    return table(head, rows)


def settled(arm, base):
    """From how many tokens on the mean difference has the sign that it has at the end."""
    steps = arm.evaluated_steps
    means = [difference(arm.loss_at(step), base.loss_at(step), arms.MARGIN).mean for step in steps]
    since = steps[-1]
    for step, mean in zip(reversed(steps), reversed(means)):
        if (mean < 0) != (means[-1] < 0):
            break
        since = step
    return f"{millions(since):.2g}"


def load_table(results):
    rows = []
    for name, arm in in_order(results.stage("main")).items():
        found = next(iter(arm.rows.values()))
        if "load_factor_experts" not in found:
            continue
        factors = [mean_of(arm, "load_factor_experts", at) for at in (0, len(found["evaluated_steps"]) // 2, -1)]
        ranks = [mean_of(arm, f"load_factor_{ranks}_ranks", -1) for ranks in (2, 4, 8)]
        rows.append([LABELS[name], *(f"{each:.2f}" for each in factors + ranks)])
    first, last = arms.EVALUATION["evaluate-every"], arms.STEPS["main"]
    head = [
        "max / mean", f"experts, step {first}", f"step {last // 2}", f"step {last}", "2 ranks, at the end",
        "4 ranks", "8 ranks",
    ]  # fmt: skip
    return table(head, rows)


def stability_table(results):
    rows = []
    for name, arm in in_order(results.stage("main")).items():
        found = list(arm.rows.values())
        steps = sum(row["steps"] for row in found)
        spikes = sum(row["gradient_norm_spikes"] for row in found)
        median = statistics.median(norm for row in found for norm in row["gradient_norm_median"])
        largest = max(norm for row in found for norm in row["gradient_norm_max"][1:])
        share = [row["balance_share"][-1] for row in found if "balance_share" in row]
        shown = f"{100 * statistics.fmean(share):.2f} %" if share else "none"
        rows.append([LABELS[name], f"{median:.2f}", f"{largest:.2f}", f"{spikes} in {steps}", shown])
    head = ["arm", "gradient norm, median", "largest after warm-up", "spikes, all seeds", "balance loss in the loss"]
    return table(head, rows)


def tuning_table(results):
    rows = []
    for name, arm in results.stage("tuning").items():
        kind, _, setting = name.partition("-lr-")
        rows.append((kind, min(arm.final().values()), setting))
    return table(
        ["arm", "learning rate, and what else", "held-out loss"],
        [[kind, setting, f"{loss:.4f}"] for kind, loss, setting in sorted(rows)],
    )


def ablation_table(results):
    ablations = results.stage("ablations")
    if "hash" not in ablations:
        return []
    rows = []
    for name, (label, _) in arms.ABLATIONS.items():
        if name in ablations:
            arm = ablations[name]
            row = [label, interval(estimate(list(arm.final().values())))]
            found = difference(arm.final(), ablations["hash"].final(), arms.MARGIN)
            rows.append(row + (["", ""] if name == "hash" else [signed(found), found.verdict]))
    return table(["layers", "held-out loss", "minus the first", "verdict"], rows)


def source_table(results):
    sources = results.documents["text/sources.json"]
    rows = [
        [each["package"], each["version"], f"{each['documents']}", f"{each['characters'] / 1e6:.1f}",
         f"`{each['sha256'][:16]}`"] for each in sources["results"]
    ]  # fmt: skip
    return table(["package", "version", "documents", "characters, millions", "SHA-256 begins"], rows)


def in_order(stage):
    return {name: stage[name] for name in LABELS if name in stage}


def parameters(arm):
    """(all, those that a token uses), with the embedding once."""
    d, layers = int(arm.option("hidden-size")), int(arm.option("num-layers"))
    expert = 3 * d * int(arm.option("ffn-size"))  # SwiGLU: three matrices
    same = int(arm.option("vocab-size")) * d + layers * 4 * d * d
    k = int(arm.args[min(arm.args)].get("top-k", 1))
    if arm.option("arm") == "dense":
        return same + layers * k * expert, same + layers * k * expert
    experts = int(arm.option("num-experts"))
    gate = experts * d if arm.option("arm") == "learned" else 0
    return same + layers * (experts * expert + gate), same + layers * (k * expert + gate)


def millions(step):
    return step * arms.TOKENS_PER_STEP / 1e6


def mean_of(arm, key, at):
    return statistics.fmean(arm.values(lambda row: row[key][at]).values())


def interval(found):
    return f"{found.mean:.4f}" + ("" if math.isnan(found.half) else f" ± {found.half:.4f}")


def signed(found):
    if math.isnan(found.mean):
        return ""
    return f"{found.mean:+.4f}" + ("" if math.isnan(found.half) else f" ± {found.half:.4f}")


def load():
    return Results()


TABLES = {
    "main": main_table, "orders": order_table, "loads": load_table, "stability": stability_table,
    "tuning": tuning_table, "ablations": ablation_table, "sources": source_table,
    "cost": cost.cost_table, "planning": cost.planning_table, "predicted": cost.predicted_table,
}  # fmt: skip

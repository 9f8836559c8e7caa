# SPDX-License-Identifier: Apache-2.0
"""What is run: arms, sizes, seeds, and the rules that were set before the first result was seen."""

import dataclasses
import functools

SEEDS = (0, 1, 2)
EXTRA_SEEDS = (3, 4)  # of arms whose difference to hash is not decided by three
TUNING_SEED = 100  # of no run whose result counts
MARGIN = 0.02  # nats: two arms whose losses differ by less are called equivalent (TOST)
SPIKE, SPIKE_STEPS = 3.0, 50  # a gradient norm above 3 medians of the 50 steps before is a spike

SIZE = {
    "num-layers": 4, "hidden-size": 64, "num-heads": 4, "ffn-size": 128, "num-experts": 16,
    "vocab-size": 2000, "seq-len": 128, "sequences": 32,
}  # fmt: skip
TOKENS_PER_STEP = SIZE["seq-len"] * SIZE["sequences"]
STEPS = {"tuning": 5000, "main": 5000, "ablations": 2500}
EVALUATION = {"evaluate-every": 100, "evaluate-sequences": 256, "evaluate-last": 2048}
TRAINING = {"warmup": 100, "weight-decay": 0.1, "clip-norm": 1.0}


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of train.py."""

    stage: str
    arm: str
    seed: int
    options: tuple = ()  # (name, value) pairs that differ from SIZE and TRAINING
    table_from: "Run | None" = None  # whose weights the routing table is made from
    table_by: str = ""  # clustered or distilled

    @property
    def name(self):
        return f"{self.stage}/{self.arm}-seed{self.seed}"

    @property
    def steps(self):
        return dict(self.options).get("steps", STEPS[self.stage])

    @property
    def tokens(self):
        return self.steps * TOKENS_PER_STEP

    @property
    def work(self):
        """Operations a token, over those of one expert a layer."""
        values = dict(self.options)
        d, layers, vocabulary = SIZE["hidden-size"], SIZE["num-layers"], SIZE["vocab-size"]
        width = values.get("ffn-size", SIZE["ffn-size"]) * values.get("top-k", 1)
        of = [layers * (4 * d * d + 3 * d * f) + vocabulary * d for f in (width, SIZE["ffn-size"])]
        return of[0] / of[1]

    def words(self):
        """What train.py is told."""
        values = {
            **SIZE, **TRAINING, **EVALUATION, "steps": self.steps, "seed": self.seed, **dict(self.options),
        }  # fmt: skip
        return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def options(**values):
    return tuple((name.replace("_", "-"), value) for name, value in values.items())


# Learning rates, and a gate's other settings, are the best of tuning_runs.
DENSE = options(arm="dense", lr=0.004)
STATIC = options(arm="hash", lr=0.012)
HASH = (*STATIC, ("router", "token"))
LEARNED = options(arm="learned", lr=0.008, gate_weight="one")
TOP_2 = options(top_k=2, ffn_size=SIZE["ffn-size"] // 2)


def main_runs(seeds=SEEDS):
    """Of one seed after the other: what a table is made from stands before it."""
    runs = []
    for seed in seeds:
        run = functools.partial(Run, "main", seed=seed)
        dense = run("dense", options=DENSE)
        learned = run("learned", options=LEARNED)
        runs += [
            dense,
            run("hash", options=HASH),
            learned,
            run("hash-balanced", options=(*STATIC, ("router", "balanced"))),
            run("hash-clustered", options=STATIC, table_from=dense, table_by="clustered"),
            run("distilled", options=STATIC, table_from=learned, table_by="distilled"),
            run("learned-no-balance", options=(*LEARNED, ("balance-loss", 0))),
        ]
    if seeds != SEEDS:
        return runs
    wide = SIZE["ffn-size"] * SIZE["num-experts"]
    return runs + [Run("main", "dense-wide", seed, (*DENSE, ("ffn-size", wide))) for seed in seeds]


def tuning_runs():
    """All with a seed of their own, and as many steps as the chart has: what is best for a gate over the first
    fifth of them is not at the end. Rates are doubled, or halved, until that no longer helps; the balance
    weight is tried at the best one. What was best is in the arms above.
    """
    runs = []

    def add(arm, base, **values):
        label = "-".join(f"{name.replace('_', '-')}-{value}" for name, value in values.items())
        runs.append(Run("tuning", f"{arm}-{label}", TUNING_SEED, (*base, *options(**values))))

    dense, hashed = options(arm="dense"), options(arm="hash", router="token")
    learned, whole = options(arm="learned"), options(arm="learned", gate_weight="one")
    for rate in (0.002, 0.004, 0.008):
        add("dense", dense, lr=rate)
    for rate in (0.006, 0.012, 0.024):
        add("hash", hashed, lr=rate)
    add("learned-probability", learned, lr=0.004, output_scale=16)
    for rate in (0.004, 0.008, 0.016):
        add("learned-whole", whole, lr=rate)
    for weight in (0.003, 0.03):
        add("learned-whole", whole, lr=0.008, balance_loss=weight)
    return runs


# What differs from hash as in the chart: (label, options). Half as many steps.
ABLATIONS = {
    "hash": ("hash of the token, 16 experts in all 4 layers, top-1", HASH),
    "dense": ("dense", DENSE),
    "learned": ("learned gate", LEARNED),
    "previous": ("hash of the token before", (*STATIC, ("router", "previous"))),
    "bigram": ("hash of both", (*STATIC, ("router", "bigram"))),
    "position": ("hash of the position", (*STATIC, ("router", "position"))),
    "experts-4": ("4 experts", (*HASH, ("num-experts", 4))),
    "experts-8": ("8 experts", (*HASH, ("num-experts", 8))),
    "experts-32": ("32 experts", (*HASH, ("num-experts", 32))),
    "experts-64": ("64 experts", (*HASH, ("num-experts", 64))),
    "first-2": ("first 2 layers, others dense", (*HASH, ("moe-layers", "0,1"))),
    "last-2": ("last 2 layers", (*HASH, ("moe-layers", "2,3"))),
    "every-second": ("layers 1 and 3", (*HASH, ("moe-layers", "1,3"))),
    "top-2": ("top-2 of experts half as wide", (*HASH, *TOP_2)),
    "top-4": ("top-4 of experts a quarter as wide", (*HASH, ("top-k", 4), ("ffn-size", SIZE["ffn-size"] // 4))),
}


def ablation_runs(seeds=SEEDS):
    return [Run("ablations", name, seed, chosen) for seed in seeds for name, (_, chosen) in ABLATIONS.items()]


def top_2_runs(seeds=SEEDS):
    """Two experts of a token, half as wide. A gate's two probabilities add up to 1."""
    arms = {"hash-top-2": (*HASH, *TOP_2), "learned-top-2": (*LEARNED, ("gate-weight", "probability"), *TOP_2)}
    return [Run("main", name, seed, chosen) for seed in seeds for name, chosen in arms.items()]


STAGES = {
    "tuning": tuning_runs, "main": main_runs, "top-2": top_2_runs, "ablations": ablation_runs,
    "more-seeds": lambda: main_runs(EXTRA_SEEDS),
}  # fmt: skip

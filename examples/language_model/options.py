# SPDX-License-Identifier: Apache-2.0
"""The options of train.py."""

import argparse
import hashlib
import math
import pathlib

import checkpoint
from data import BadInput

ROUTERS = ("token", "position", "previous", "bigram", "random", "balanced")
# Options that the curve does not follow from: a run may go on with others.
FREE = {
    "text", "tokenizer", "data", "table", "json", "curve", "progress", "save", "save_every", "keep",
    "resume", "stop_at", "sample", "sample_tokens", "temperature", "evaluate_every", "evaluate_last",
}  # fmt: skip
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BadInput(message.replace("argument ", "", 1))


def count(word):
    if int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word}: must be at least 1")
    return int(word)


def amount(word):
    if not 0 <= float(word) < math.inf:
        raise argparse.ArgumentTypeError(f"{word}: must be at least 0")
    return float(word)


def parse(words, description):
    parser = Parser(
        prog="train.py", description=description, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument_group("Model").add_argument
    add("--arm", choices=("dense", "hash", "learned"), default="hash", help="feed-forward layers (hash)")
    add("--num-layers", type=count, default=4, metavar="N", help="(4)")
    add("--hidden-size", type=count, default=128, metavar="N", help="(128)")
    add("--num-heads", type=count, default=4, metavar="N", help="(4)")
    add("--ffn-size", type=count, default=256, metavar="N", help="of an expert (256)")
    add("--num-experts", type=count, default=16, metavar="N", help="of a layer (16)")
    add("--top-k", type=count, default=1, metavar="N",
        help="experts of a token; dense: their widths together are the layer's (1)")  # fmt: skip
    add("--moe-layers", metavar="0,2,...", help="which are the arm's; others are dense (all)")
    add("--seq-len", type=count, default=128, metavar="N", help="(128)")
    add("--seed", type=int, default=0, help="of weights, routers and the order of sequences (0)")
    add = parser.add_argument_group("Routing").add_argument
    add("--router", choices=ROUTERS, help="--arm hash: by which experts are chosen (token)")
    add("--table", metavar="FILE",
        help="--arm hash: a table [vocab_size, top_k], .npy or .safetensors; .npy: or one a layer")  # fmt: skip
    add("--balance-loss", type=amount, default=0.01, metavar="X",
        help="--arm learned: factor of the load-balancing loss (0.01)")  # fmt: skip
    add("--z-loss", type=amount, default=0.0, metavar="X",
        help="--arm learned: factor of the squared logarithm of the sum of odds (0)")  # fmt: skip
    add("--gate-std", type=amount, default=0.02, metavar="X", help="--arm learned: of its first weights (0.02)")
    add("--gate-rate", type=amount, default=1.0, metavar="X",
        help="--arm learned: factor of the learning rate for gates (1)")  # fmt: skip
    add("--gate-weight", choices=("probability", "one"), default="probability",
        help="--arm learned: what an expert's output is multiplied by; one: gates learn as with the "
        "probability, but experts' outputs are whole, as with a hash (probability, Switch's)")  # fmt: skip
    add("--output-scale", type=amount, default=1.0, metavar="X",
        help="--arm learned: factor of a layer's output, as top-1 odds begin at 1 / experts (1)")  # fmt: skip
    add = parser.add_argument_group("Text").add_argument
    add("--text", metavar="FILE", help="UTF-8, blank lines between documents (the King James Bible)")
    add("--vocab-size", type=count, default=4000, metavar="N", help="of the tokenizer (4000)")
    add("--tokenizer", metavar="FILE.model", help="use this one: launch/quickstart.sh's, say")
    add("--data", metavar="DIR", default=str(ROOT / "data"), help="where tokens are kept (data/)")
    add("--held-out-share", type=float, default=0.05, metavar="X",
        help="of the text, whole documents that are not trained on (0.05)")  # fmt: skip
    add = parser.add_argument_group("Training").add_argument
    add("--sequences", type=count, default=32, metavar="N", help="of a step, over all ranks (32)")
    add("--steps", type=count, default=100, metavar="N", help="in all (100)")
    add("--lr", type=amount, default=3e-3, metavar="X", help="the highest learning rate (0.003)")
    add("--warmup", type=int, default=10, metavar="N", help="steps to it; then a cosine to a tenth (10)")
    add("--weight-decay", type=amount, default=0.1, metavar="X", help="of matrices (0.1)")
    add("--clip-norm", type=amount, default=1.0, metavar="X", help="of all gradients; 0: none (1)")
    add("--reproducible", action="store_true", help="the same bits on any number of ranks, more slowly")
    add("--evaluate-every", type=count, default=25, metavar="N", help="steps (25)")
    add("--evaluate-sequences", type=count, default=64, metavar="N",
        help="at most, held out, spread over all of them (64)")  # fmt: skip
    add("--evaluate-last", type=count, metavar="N", help="the same after the last step")
    add = parser.add_argument_group("Checkpoints").add_argument
    add("--save", metavar="DIR", help="a folder for checkpoints that all ranks see")
    add("--save-every", type=count, default=100, metavar="N", help="steps; the last one is kept too (100)")
    add("--keep", type=count, default=2, metavar="N", help="checkpoints (2)")
    add("--resume", action="store_true", help="go on from the latest one, if any, on any number of ranks")
    add("--stop-at", type=count, metavar="STEP", help="stop after it; --resume goes on")
    add = parser.add_argument_group("Results").add_argument
    add("--curve", "--csv", metavar="FILE.csv", help="write the curve")
    add("--json", metavar="FILE.json", help="write the result")
    add("--progress", choices=("auto", "bar", "lines", "off"), default="auto",
        help="auto: a bar where stderr is a terminal, else lines")  # fmt: skip
    add("--sample", action="append", default=[], metavar="TEXT", help="go on with it at the end")
    add("--sample-tokens", type=count, default=48, metavar="N", help="(48)")
    add("--temperature", type=amount, default=0.8, metavar="X", help="of samples; 0: the likeliest (0.8)")
    options = parser.parse_args(words)
    validate(options)
    return options


def validate(options):
    def refuse(problem):
        raise BadInput(problem)

    if options.hidden_size % (2 * options.num_heads) != 0:
        refuse(
            f"--hidden-size {options.hidden_size}: must be a multiple of 2 * --num-heads "
            f"{options.num_heads}, as rotary positions take a head's elements in pairs"
        )
    if options.top_k > options.num_experts:
        refuse(f"--top-k {options.top_k} of --num-experts {options.num_experts}")
    if not 0 <= options.warmup <= options.steps:
        refuse(f"--warmup {options.warmup} of --steps {options.steps}")
    if not 0 < options.held_out_share < 1:
        refuse("--held-out-share: must be between 0 and 1")
    if options.seed < 0:
        refuse(f"--seed {options.seed}: must be at least 0")
    if options.arm != "hash" and (options.router or options.table):
        refuse(f"--{'table' if options.table else 'router'}: goes with --arm hash")
    if options.router and options.table:
        refuse("--router and --table: one of them is needed")
    if options.resume and not options.save:
        refuse("--resume goes with --save DIR")
    for name in (options.curve, options.json):
        if name and not pathlib.Path(name).absolute().parent.is_dir():
            refuse(f"{name}: there is no such folder")
    if options.save and not options.resume and checkpoint.exists(options.save):
        refuse(f"--save {options.save} has checkpoints: --resume goes on from the latest one")
    if options.arm == "hash" and not options.table and not options.router:
        options.router = "token"
    if options.gate_weight == "one" and options.top_k > 1:
        refuse("--gate-weight one: goes with --top-k 1")
    options.evaluate_last = options.evaluate_last or options.evaluate_sequences
    options.moe_layers = moe_layers(options)


def moe_layers(options):
    """Their numbers, in order."""
    if options.moe_layers is None:
        return list(range(options.num_layers))
    words = options.moe_layers.split(",")
    numbers = sorted({int(word) for word in words if word.isdecimal()})
    if len(numbers) != len(words) or numbers[-1] >= options.num_layers:
        raise BadInput(f"--moe-layers {options.moe_layers}: layers of 0 to {options.num_layers - 1}, once each")
    return numbers


def curve_options(options, text):
    """Options that the curve follows from, by name."""
    shaping = {name: value for name, value in vars(options).items() if name not in FREE}
    named = {"--" + name.replace("_", "-"): value for name, value in shaping.items()}
    if options.tokenizer:
        del named["--vocab-size"]
    named["--text"] = text.digest
    if options.table:
        named["--table"] = hashlib.sha256(pathlib.Path(options.table).read_bytes()).hexdigest()
    return named

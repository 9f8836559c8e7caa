# SPDX-License-Identifier: Apache-2.0
"""Trains a language model whose feed-forward layers are dense, hash-routed, or routed by a learned gate.

    launch/mpirun.sh 2 python3 examples/language_model/train.py --arm hash
"""

import argparse
import csv
import hashlib
import io
import json
import math
import os
import pathlib
import sys
import time

# OpenBLAS counts cores, not ranks, and reads this when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hashep
import numpy as np
import torch

import by_sequence
import checkpoint
from data import BadInput, Order, Sequences, Text, part_of
from hashep.torch import GradientSum, MoE, Planner, clip_grad_norm_, reduce_gradients
from model import Transformer, parameter_groups, token_losses
from ranks import Stop, sum_of_sequences, together

ROUTERS = ("token", "position", "previous", "bigram", "random", "balanced")
FINAL_SHARE = 0.1  # of the learning rate, at the last step
# Options that the curve does not follow from: a run may go on with others.
FREE = {
    "text", "tokenizer", "data", "table", "json", "curve", "progress", "save", "save_every", "keep",
    "resume", "stop_at", "sample", "sample_tokens", "temperature", "evaluate_every",
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


def parse(words):
    parser = Parser(
        prog="train.py", description=__doc__, allow_abbrev=False,
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
    add("--seq-len", type=count, default=128, metavar="N", help="(128)")
    add("--seed", type=int, default=0, help="of weights, routers and the order of sequences (0)")
    add = parser.add_argument_group("Routing").add_argument
    add("--router", choices=ROUTERS, help="--arm hash: by which experts are chosen (token)")
    add("--table", metavar="FILE", help="--arm hash: a table [vocab_size, top_k], .npy or .safetensors")
    add("--balance-loss", type=amount, default=0.01, metavar="X",
        help="--arm learned: factor of the load-balancing loss (0.01)")  # fmt: skip
    add = parser.add_argument_group("Text").add_argument
    add("--text", metavar="FILE", help="UTF-8, blank lines between documents (the King James Bible)")
    add("--vocab-size", type=count, default=4000, metavar="N", help="of the tokenizer that is trained (4000)")
    add("--tokenizer", metavar="FILE.model", help="use this one (data/kjv.model of launch/quickstart.sh, say)")
    add("--data", metavar="DIR", default=str(ROOT / "data"), help="where tokens are kept (data/)")
    add("--held-out-share", type=float, default=0.05, metavar="X",
        help="of the text, whole documents that are not trained on (0.05)")  # fmt: skip
    add = parser.add_argument_group("Training").add_argument
    add("--sequences", type=count, default=32, metavar="N", help="of a step, over all ranks (32)")
    add("--steps", type=count, default=100, metavar="N", help="in all (100)")
    add("--lr", type=amount, default=3e-3, metavar="X", help="the highest learning rate (0.003)")
    add("--warmup", type=int, default=10, metavar="N", help="steps to it; then a cosine to a tenth (10)")
    add("--weight-decay", type=amount, default=0.1, metavar="X", help="of matrices (0.1)")
    add("--clip-norm", type=amount, default=1.0, metavar="X", help="largest norm of gradients; 0: none (1)")
    add("--reproducible", action="store_true", help="the same bits on any number of ranks, more slowly")
    add("--evaluate-every", type=count, default=25, metavar="N", help="steps (25)")
    add("--evaluate-sequences", type=count, default=64, metavar="N", help="at most, held out (64)")
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
    add("--sample", action="append", default=[], metavar="TEXT", help="have the model go on with it at the end")
    add("--sample-tokens", type=count, default=48, metavar="N", help="(48)")
    add("--temperature", type=amount, default=0.8, metavar="X", help="of samples; 0: the likeliest token (0.8)")
    options = parser.parse_args(words)
    validate(options)
    return options


def validate(options):
    def refuse(problem):
        raise BadInput(problem)

    if options.hidden_size % (2 * options.num_heads) != 0:
        refuse(f"--hidden-size {options.hidden_size}: must be a multiple of twice --num-heads {options.num_heads}")
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


def arm_of(options, text):
    """What a Planner is told of the feed-forward layers."""
    if options.arm == "dense":
        arm = dict(num_experts=0, num_shared_experts=1, ffn_size=options.ffn_size * options.top_k)
    else:
        arm = dict(num_experts=options.num_experts, top_k=options.top_k, ffn_size=options.ffn_size)
    if options.arm == "learned":
        arm.update(gate="softmax_top_k", balance_loss=options.balance_loss)
    elif options.arm == "hash":
        arm.update(router=options.router, vocab_size=text.vocab_size)
        if options.router == "balanced":
            arm.update(counts=np.bincount(text.train, minlength=text.vocab_size))
        if options.table:
            arm.update(router=read_table(options, text))
    return arm


def make_planner(context, options, text):
    """All feed-forward layers: their weights on all ranks, and the plans of batches. Collective."""
    arm = together(context, lambda: arm_of(options, text))
    return together(context, lambda: Planner(
        context, num_layers=options.num_layers, hidden_size=options.hidden_size, seed=options.seed,
        gradient_block=options.seq_len, expected_tokens=options.sequences * options.seq_len, **arm,
    ))  # fmt: skip


def read_table(options, text):
    table = hashep.load_table(options.table, num_experts=options.num_experts)
    if (table.vocab_size, table.top_k) != (text.vocab_size, options.top_k):
        raise BadInput(
            f"{options.table}: a table [{table.vocab_size}, {table.top_k}], where the vocabulary and "
            f"--top-k are [{text.vocab_size}, {options.top_k}]"
        )
    return table


def curve_options(options, text):
    """Options that the curve follows from, by name."""
    named = {"--" + name.replace("_", "-"): value for name, value in vars(options).items() if name not in FREE}
    if options.tokenizer:
        del named["--vocab-size"]
    named["--text"] = text.digest
    if options.table:
        named["--table"] = hashlib.sha256(pathlib.Path(options.table).read_bytes()).hexdigest()
    return named


class Trainer:
    def __init__(self, context, options, text):
        self.context, self.options, self.text = context, options, text
        self.is_first = context.rank == 0
        self.train = Sequences(text.train, options.seq_len)
        self.held_out = Sequences(text.held_out, options.seq_len)
        self.order = Order(self.train.count, options.sequences, options.seed)
        self.planner = make_planner(context, options, text)
        layers = [MoE(self.planner, layer) for layer in range(options.num_layers)]
        self.model = Transformer(
            text.vocab_size, options.hidden_size, options.num_heads, options.seq_len, layers, options.seed
        )
        # An update by element knows no ranks; foreach joins parameters, of which ranks have others.
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, options.weight_decay), lr=options.lr, betas=(0.9, 0.95), foreach=False
        )
        self.gradients = GradientSum(self.model, context) if options.reproducible else None
        self.shapes_curve = curve_options(options, text)
        self.curve, self.seconds, self.step = [], [], 0

    def run(self):
        options = self.options
        self.resume()
        last = min(options.steps, options.stop_at or options.steps)
        if self.is_first:
            self.print_start()
        with Progress(options, self.step, last, self.is_first) as self.progress:
            batches = (self.batch(step) for step in range(self.step, last))
            for (ids, targets), planned in self.planner.ahead(batches, ids=lambda batch: batch[0]):
                begin = time.perf_counter()
                point = self.train_step(ids, targets, planned)
                self.seconds.append(time.perf_counter() - begin)
                self.step += 1
                if self.step % options.evaluate_every == 0 or self.step == options.steps:
                    point["held_out_loss"] = self.evaluate()
                self.curve.append(point)
                if point["held_out_loss"] is not None or len(self.seconds) == 1:
                    self.print_point(point)
                if options.save and (self.step % options.save_every == 0 or self.step == last):
                    run = {"options": self.shapes_curve, "curve": self.curve}
                    checkpoint.save(
                        self.context, options.save, self.step, self.model, self.optimizer, run, options.keep
                    )
                self.progress.update(self.step)
        samples = [self.sample(prompt) for prompt in options.sample]
        if self.is_first:
            self.report(samples)

    def batch(self, step):
        part = part_of(self.options.sequences, self.context.rank, self.context.size)
        return tuple(map(torch.from_numpy, self.train[self.order[step][part]]))

    def rate(self):
        options = self.options
        if self.step < options.warmup:
            return options.lr * (self.step + 1) / options.warmup
        left = max(1, options.steps - 1 - options.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * (self.step - options.warmup) / left))
        return options.lr * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)

    def train_step(self, ids, targets, planned):
        options, size = self.options, self.options.sequences
        scale = 1 / (size * options.seq_len)  # a rank's loss is its share of all tokens' mean
        self.optimizer.zero_grad(set_to_none=True)
        if options.reproducible:
            forward = by_sequence.Pass(self.model, ids, targets)
            losses = forward.losses()
        else:
            tokens = token_losses(self.model(ids), targets)
            losses = tokens.detach().double().sum(1)
        balance = self.planner.aux_losses(planned).balance if options.arm == "learned" else None
        loss = self.mean(losses, size)
        if not math.isfinite(loss):
            line = f"step {self.step + 1}: the loss is not finite (a lower --lr may help)"
            raise Stop(line if self.is_first else None, exit_code=1)
        if options.reproducible:
            forward.backward(scale, self.gradients)
            self.gradients.finish()
        else:
            (tokens.sum() * scale).backward()
            reduce_gradients(self.model, self.context)
        norm = clip_grad_norm_(self.model, options.clip_norm, self.context)
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return {
            "step": self.step + 1, "loss": loss, "learning_rate": rate, "gradient_norm": norm,
            "held_out_loss": None, "balance": balance,
        }  # fmt: skip

    def mean(self, losses, size):
        """Per token, of a batch of so many sequences, of which this rank has the losses of its part."""
        part = part_of(size, self.context.rank, self.context.size)
        return sum_of_sequences(self.context, losses, part, size) / (size * self.options.seq_len)

    @torch.no_grad()
    def evaluate(self):
        """The mean loss of a token held out."""
        options, total = self.options, 0.0
        count = min(self.held_out.count, options.evaluate_sequences)
        for begin in range(0, count, options.sequences):
            size = min(options.sequences, count - begin)
            part = part_of(size, self.context.rank, self.context.size)
            ids, targets = map(torch.from_numpy, self.held_out[range(begin, begin + size)[part]])
            self.planner.plan(ids)
            if options.reproducible:
                losses = by_sequence.Pass(self.model, ids, targets).losses()
            else:
                losses = token_losses(self.model(ids), targets).double().sum(1)
            total += self.mean(losses, size) * size
        return total / count

    @torch.no_grad()
    def sample(self, prompt):
        """Text that goes on with a prompt. Rank 0 has the tokens; others lend their experts."""
        options = self.options
        ids = self.text.tokenizer.encode([prompt])[0] or [0]
        random = torch.Generator().manual_seed(options.seed)
        for _ in range(options.sample_tokens):
            seen = torch.tensor([ids[-options.seq_len :]])[: 1 if self.is_first else 0]
            self.planner.plan(seen)
            logits = self.model(seen)
            if not self.is_first:
                continue
            logits = logits[0, -1].double()
            if options.temperature > 0:
                odds = torch.softmax(logits / options.temperature, 0)
                ids.append(int(torch.multinomial(odds, 1, generator=random)))
            else:
                ids.append(int(logits.argmax()))
        return self.text.tokenizer.decode(ids) if self.is_first else None

    def resume(self):
        options = self.options
        if not options.resume:
            return
        if not together(self.context, lambda: checkpoint.exists(options.save)):
            return

        def check(run, path):
            was, now = run["options"], self.shapes_curve
            for name in sorted(was.keys() | now.keys()):
                if was.get(name) == now.get(name):
                    continue
                if name in ("--text", "--table") and name in was and name in now:
                    raise BadInput(f"{path}: was trained with another {name}")
                raise BadInput(f"{path}: was trained with {name} {was.get(name)}, not {now.get(name)}")

        self.step, run = checkpoint.load(self.context, options.save, self.model, self.optimizer, check)
        self.curve = run["curve"]
        if self.is_first:
            print(f"goes on from {options.save}, step {self.step}", flush=True)

    def print_start(self):
        options, context = self.options, self.context
        ffn = {"dense": "dense", "learned": f"{options.num_experts} experts, a learned gate"}.get(
            options.arm, f"{options.num_experts} experts, router {options.table or options.router}"
        )
        print(
            f"hashep {hashep.__version__}: {context.size} rank{'s' if context.size > 1 else ''} x "
            f"{context.threads} thread{'s' if context.threads > 1 else ''}, transport {context.transport}"
            f"{', reproducible' if options.reproducible else ''}\n"
            f"model: {options.num_layers} layers, d {options.hidden_size}, f {options.ffn_size}, "
            f"{options.num_heads} heads, {ffn}, vocabulary {self.text.vocab_size}\n"
            f"text: {len(self.text.train)} tokens to train on, {len(self.text.held_out)} held out; "
            f"{options.sequences} x {options.seq_len} a step\n\n"
            f"  {'step':>8}{'loss':>10}{'held out':>12}{'perplexity':>12}{'learning rate':>15}{'tokens/s':>12}",
            flush=True,
        )

    def print_point(self, point):
        if not self.is_first:
            return
        held = point["held_out_loss"]
        self.progress.clear()
        print(
            f"  {point['step']:>8}{point['loss']:>10.4f}{'-' if held is None else f'{held:.4f}':>12}"
            f"{'-' if held is None else f'{math.exp(held):.2f}':>12}{point['learning_rate']:>15.2e}"
            f"{self.tokens_per_second():>12.0f}",
            flush=True,
        )

    def tokens_per_second(self):
        if not self.seconds:
            return 0.0
        return self.options.sequences * self.options.seq_len / float(np.median(self.seconds))

    def report(self, samples):
        options = self.options
        for text in samples:
            print(f"\n{text}", flush=True)
        if options.curve:
            write(options.curve, curve_csv(self.curve))
        if options.json:
            names = list(self.curve[0]) if self.curve else []
            result = {
                "program": "examples/language_model/train.py",
                "version": hashep.__version__,
                "args": sys.argv[1:],
                "ranks": self.context.size,
                "torch": torch.__version__,
                "options": self.shapes_curve,
                "tokens_per_s": self.tokens_per_second(),
                "curve": {name: [point[name] for point in self.curve] for name in names},
                "samples": samples,
            }
            write(options.json, json.dumps(result, indent=1) + "\n")


def curve_csv(curve):
    """Numbers are written so that reading them gives the same bits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        "step,loss,learning_rate,gradient_norm,held_out_loss,held_out_perplexity,balance".split(",")
    )
    for point in curve:
        held = point["held_out_loss"]
        values = [
            point["loss"], point["learning_rate"], point["gradient_norm"], held,
            None if held is None else math.exp(held), point["balance"],
        ]  # fmt: skip
        writer.writerow([point["step"], *("" if each is None else repr(float(each)) for each in values)])
    return file.getvalue()


def write(name, text):
    temporary = f"{name}.tmp"
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, name)


class Progress:
    """On stderr: a bar where a person looks at it, else a line now and then."""

    BAR, EVERY_BAR, EVERY_LINE = 30, 0.2, 5.0

    def __init__(self, options, first, last, speaks):
        style = options.progress
        if style == "auto":
            style = "bar" if self._is_seen() else "lines"
        self.style = style if speaks else "off"
        self.first, self.last = first, last
        self.begin = self.shown = time.monotonic()
        self.is_drawn = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()

    def update(self, step):
        now = time.monotonic()
        every = self.EVERY_BAR if self.style == "bar" else self.EVERY_LINE
        if self.style == "off" or now - self.shown < every:
            return
        self.shown = now
        left = (now - self.begin) / (step - self.first) * (self.last - step)
        text = f"step {step}/{self.last}, {left:.0f} s left"
        if self.style == "bar":
            full = self.BAR * step // self.last
            text = f"\r\033[K[{'=' * full}{' ' * (self.BAR - full)}] {text}"
        print(text, end="" if self.style == "bar" else "\n", file=sys.stderr, flush=True)
        self.is_drawn = self.style == "bar"

    def clear(self):
        if self.is_drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        self.is_drawn = False

    @staticmethod
    def _is_seen():
        """mpirun gives ranks a pipe as stderr whatever its own is, so its own counts too."""
        if sys.stderr.isatty():
            return True
        try:
            return os.readlink(f"/proc/{os.getppid()}/fd/2").startswith("/dev/pts/")
        except OSError:
            return False


def read_text(options):
    text = Text(
        options.text, options.data, vocab_size=options.vocab_size, tokenizer=options.tokenizer,
        held_out_share=options.held_out_share,
    )  # fmt: skip
    for ids, least, what in (
        (text.train, options.sequences, "to train on, fewer than --sequences"),
        (text.held_out, 1, "held out, fewer than"),
    ):
        found = Sequences(ids, options.seq_len).count
        if found < least:
            raise BadInput(
                f"{text.path}: too short, with {found} sequences of {options.seq_len} tokens {what} {least}"
            )
    return text


def main():
    context = hashep.Context()
    words = sys.argv[1:]
    if context.rank != 0 and {"--help", "-h"} & set(words):
        return 0
    try:
        options = together(context, lambda: parse(words))
        torch.set_num_threads(1 if options.reproducible else context.threads)
        text = together(context, lambda: read_text(options))
        Trainer(context, options, text).run()
    except Stop as stop:
        if stop.line:
            print(f"train.py: error: {stop.line}", file=sys.stderr, flush=True)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

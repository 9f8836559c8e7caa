# SPDX-License-Identifier: Apache-2.0
"""Trains a language model whose feed-forward layers are dense, hash-routed, or routed by a learned gate.

    launch/mpirun.sh 2 python3 examples/language_model/train.py --arm hash
"""

import json
import math
import os
import sys
import time

# OpenBLAS counts cores, not ranks, and reads this when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hashep
import numpy as np
import torch
from hashep.torch import GradientSum, clip_grad_norm_, reduce_gradients

import by_sequence
import checkpoint
from data import BadInput, Order, Sequences, Text, part_of
from feed_forward import FeedForward
from model import Transformer, parameter_groups
from options import curve_options, parse
from ranks import Stop, sum_of_sequences, together
from results import Progress, curve_csv, write

FINAL_SHARE = 0.1  # of the learning rate, at the last step


class Trainer:
    def __init__(self, context, options, text):
        self.context, self.options, self.text = context, options, text
        self.is_first = context.rank == 0
        self.train = Sequences(text.train, options.seq_len)
        self.held_out = Sequences(text.held_out, options.seq_len)
        self.order = Order(self.train.count, options.sequences, options.seed)
        self.feed_forward = FeedForward(context, options, text)
        self.model = Transformer(
            text.vocab_size, options.hidden_size, options.num_heads, options.seq_len,
            self.feed_forward.layers, options.seed,
        )  # fmt: skip
        # An update by element knows no ranks; foreach joins parameters, of which ranks have others.
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, options.weight_decay, options.gate_rate),
            lr=options.lr, betas=(0.9, 0.95), foreach=False,
        )  # fmt: skip
        self.gradients = GradientSum(self.model, context) if options.reproducible else None
        self.shapes_curve = curve_options(options, text)
        self.curve, self.seconds, self.step = [], [], 0
        self.bytes_off_rank = 0  # of the last step

    def run(self):
        options = self.options
        self.resume()
        last = min(options.steps, options.stop_at or options.steps)
        if self.is_first:
            self.print_start()
        with Progress(options, self.step, last, self.is_first) as self.progress:
            batches = (self.batch(step) for step in range(self.step, last))
            for (ids, targets), planned in self.feed_forward.ahead(batches):
                begin = time.perf_counter()
                point = self.train_step(ids, targets, planned)
                self.seconds.append(time.perf_counter() - begin)
                self.step += 1
                if self.step % options.evaluate_every == 0 or self.step == options.steps:
                    point["expert_counts"] = self.feed_forward.expert_counts(planned)
                    point["held_out_loss"] = self.evaluate()
                self.curve.append(point)
                if point["held_out_loss"] is not None or len(self.seconds) == 1:
                    self.print_point(point)
                if options.save and (self.step % options.save_every == 0 or self.step == last):
                    self.save()
                self.progress.update(self.step)
        if self.seconds:
            self.bytes_off_rank = self.feed_forward.bytes_off_rank(planned)
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
            total, tokens = self.model.losses(self.model.hidden(ids), targets)
            losses = tokens.double().sum(1)
        balance = None
        if options.arm == "learned":
            balance = self.feed_forward.planner.aux_losses(planned).balance
        loss = self.mean(losses, size)
        self.require_finite(loss, "the loss is")
        if options.reproducible:
            forward.backward(scale, self.gradients)
            self.gradients.finish()
        else:
            (total * scale).backward()
            reduce_gradients(self.model, self.context)
        norm = clip_grad_norm_(self.model, options.clip_norm, self.context)
        self.require_finite(norm, "gradients are")
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self.optimizer.step()
        return {
            "step": self.step + 1, "loss": loss, "learning_rate": rate, "gradient_norm": norm,
            "held_out_loss": None, "balance": balance, "expert_counts": None,
        }  # fmt: skip

    def require_finite(self, value, what):
        if not math.isfinite(value):
            line = f"step {self.step + 1}: {what} not finite (a lower --lr may help)"
            raise Stop(line if self.is_first else None, exit_code=1)

    def mean(self, losses, size):
        """Per token, of a batch of so many sequences, of which this rank has the losses of its part."""
        part = part_of(size, self.context.rank, self.context.size)
        return sum_of_sequences(self.context, losses, part, size) / (size * self.options.seq_len)

    @torch.no_grad()
    def evaluate(self):
        """The mean loss of a token held out."""
        options, total = self.options, 0.0
        is_last = self.step == options.steps
        wanted = options.evaluate_last if is_last else options.evaluate_sequences
        count = min(self.held_out.count, wanted)
        chosen = np.arange(count) * self.held_out.count // count
        for begin in range(0, count, options.sequences):
            size = min(options.sequences, count - begin)
            part = part_of(size, self.context.rank, self.context.size)
            ids, targets = map(torch.from_numpy, self.held_out[chosen[begin : begin + size][part]])
            self.feed_forward.plan(ids)
            if options.reproducible:
                losses = by_sequence.Pass(self.model, ids, targets).losses()
            else:
                losses = self.model.losses(self.model.hidden(ids), targets)[1].double().sum(1)
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
            self.feed_forward.plan(seen)
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

    def save(self):
        run = {"options": self.shapes_curve, "curve": self.curve}
        checkpoint.save(
            self.context, self.options.save, self.step, self.model, self.optimizer, run, self.options.keep
        )

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
            f"  {'step':>8}{'loss':>10}{'held out':>12}{'perplexity':>12}{'learning rate':>15}"
            f"{'tokens/s':>12}",
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
                "step_seconds": self.seconds,
                "bytes_off_rank": self.bytes_off_rank,
                "curve": {name: [point[name] for point in self.curve] for name in names},
                "samples": samples,
            }
            write(options.json, json.dumps(result, indent=1) + "\n")


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
                f"{text.path}: too short, with {found} sequences of {options.seq_len} tokens "
                f"{what} {least}"
            )
    return text


def main():
    context = hashep.Context()
    words = sys.argv[1:]
    if context.rank != 0 and {"--help", "-h"} & set(words):
        return 0
    try:
        options = together(context, lambda: parse(words, __doc__))
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

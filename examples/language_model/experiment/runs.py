# SPDX-License-Identifier: Apache-2.0
"""Runs what is missing, from where it was stopped, and keeps of each run what tables and plots need."""

import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import corpus
from data import BadInput

from . import arms

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/language_model"
RESULTS = ROOT / "benchmarks/results/language_model"
SAVE_EVERY = 500  # steps
WINDOW = 100  # steps that one value of a stored curve stands for
RANKS_SHOWN = (2, 4, 8, 16)  # whose load factors follow from those of experts

sys.path.insert(0, str(ROOT / "benchmarks"))
from peers.result import commit, now, write_json  # noqa: E402


class Runner:
    """Starts train.py on `ranks` ranks. work: for text, checkpoints and whole curves.

    lock: a file that what it starts keeps open, and so locked, should this process be killed.
    """

    def __init__(self, work, ranks, say, lock):
        self.work, self.ranks, self.say, self._lock = pathlib.Path(work).absolute(), ranks, say, lock
        self.commit = commit()  # of the code that runs, whatever is committed meanwhile
        self.text, sources = corpus.make(self.work / "english", say)
        self._record_text(json.loads(sources.read_text()))

    def result(self, run):
        return RESULTS / f"{run.name}.json"

    def is_done(self, run):
        return self.result(run).exists()

    def run(self, run):
        """Makes the result of a run, or leaves it as it is."""
        if self.is_done(run):
            return
        self._train(run)
        self.result(run).parent.mkdir(parents=True, exist_ok=True)
        write_json(str(self.result(run)), self._document(run, self._folder(run)))
        is_needed = any(each.table_from == run for each in arms.main_runs())
        if not is_needed and not (run.stage == "main" and run.seed == arms.SEEDS[0]):
            shutil.rmtree(self._folder(run) / "checkpoints", ignore_errors=True)

    def repeat(self, run):
        """The document of a run that is made anew, from its first step."""
        with tempfile.TemporaryDirectory(dir=self.work, suffix=".tmp") as folder:
            self._train(run, pathlib.Path(folder))
            return self._document(run, pathlib.Path(folder))

    def prepare(self, run):
        """The tables that a run needs, and so the weights that they are made from."""
        if run.table_from is None:
            return []
        table = self._folder(run) / ("table.npy" if run.table_by == "distilled" else "table.safetensors")
        if not table.exists():
            source = self._folder(run.table_from) / "checkpoints"
            if not (source / "latest").exists():
                self.say(f"{run.table_from.name}: once more, as a table is made from its weights")
                self._train(run.table_from)
            table.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, EXAMPLE / "make_table.py", run.table_by, "--output", table]
            self._call([*command, *self._common(run.table_from), "--save", source], table.parent / "table.log")
        return ["--table", table]

    def continue_run(self, run, steps, folder):
        """So many more steps from the checkpoint before the last, in `folder`: what train.py's JSON tells."""
        kept = self._folder(run) / "checkpoints"
        if len(list(kept.glob("step-*"))) < 2:
            self.say(f"{run.name}: once more, as its checkpoints are not there")
            shutil.rmtree(kept, ignore_errors=True)
            self._train(run)
        before = sorted(int(each.name[5:]) for each in kept.glob("step-*"))[-2]
        shutil.copytree(kept / f"step-{before}", f"{folder}/step-{before}")
        os.symlink(f"step-{before}", f"{folder}/latest")
        result = pathlib.Path(folder) / "result.json"
        self._call([
            ROOT / "launch/mpirun.sh", "--per", "core", *self._command(run), "--evaluate-every", run.steps,
            "--save", folder, "--stop-at", before + steps, "--json", result,
        ], pathlib.Path(folder) / "log")  # fmt: skip
        return json.loads(result.read_text())

    def _train(self, run, folder=None):
        folder = folder or self._folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        self._call([
            ROOT / "launch/mpirun.sh", *self._command(run), "--save", folder / "checkpoints",
            "--json", folder / "result.json",
        ], folder / "log")  # fmt: skip

    def _command(self, run):
        return [
            self.ranks, sys.executable, EXAMPLE / "train.py", *self._common(run), *self.prepare(run),
            "--resume", "--save-every", SAVE_EVERY, "--keep", 2, "--progress", "off",
        ]  # fmt: skip

    def _common(self, run):
        return [*run.words(), "--text", self.text, "--data", self.work / "english"]

    def _folder(self, run):
        return self.work / run.name

    def _call(self, command, log):
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with open(log, "a") as output:
            done = subprocess.run(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment, pass_fds=[self._lock.fileno()],
            )  # fmt: skip
        if done.returncode != 0:
            last = [line for line in log.read_text(errors="replace").splitlines() if "error:" in line]
            raise BadInput(f"{last[-1] if last else 'a run has failed'} (see {log})")

    def _record_text(self, made):
        """Keeps what the text was made from, and refuses another one: results could not be compared."""
        path = RESULTS / "text/sources.json"
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["text_sha256"] != made["sha256"]:
                versions = {each["package"]: each["version"] for each in kept["results"]}
                other = [each["package"] for each in made["sources"]
                         if versions.get(each["package"]) != each["version"]]  # fmt: skip
                raise BadInput(
                    f"{self.text}: is not the text of the results in {RESULTS} (another version: "
                    f"{', '.join(other) or 'none'}); move those away to begin anew"
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(str(path), {
            "program": "examples/language_model/corpus.py", "commit": commit(), "date": now(),
            "text_sha256": made["sha256"], "documents": made["documents"],
            "characters": made["characters"], "results": made["sources"],
        })  # fmt: skip

    def _document(self, run, folder):
        """What the repository keeps of a run."""
        whole = json.loads((folder / "result.json").read_text())
        row = {
            "name": run.arm, "stage": run.stage, "seed": run.seed, "steps": run.steps, "tokens": run.tokens,
            **summary(whole["curve"], whole["options"]),
        }  # fmt: skip
        table = ["--table", f"<{run.table_by} of {run.table_from.name}>"] if run.table_from else []
        return {
            "program": "examples/language_model/chart.py", "version": whole["version"],
            "commit": self.commit, "date": now(), "args": [*run.words(), *table],
            "machine": machine(whole["torch"]), "ranks": self.ranks, "text": whole["options"]["--text"],
            "results": [row],
        }  # fmt: skip


def summary(curve, options):
    """Of a curve with a value a step: losses at evaluations, and windows of the rest."""
    held = [(step, loss) for step, loss in zip(curve["step"], curve["held_out_loss"]) if loss is not None]
    norms = curve["gradient_norm"]
    last = arms.SPIKE_STEPS
    spikes = [
        norms[i] > arms.SPIKE * statistics.median(norms[i - last : i]) for i in range(last, len(norms))
    ]
    bits = json.dumps([curve["loss"], norms, curve["held_out_loss"]]).encode()
    made = {
        "curve_sha256": hashlib.sha256(bits).hexdigest(),
        "window_steps": WINDOW,
        "evaluated_steps": [step for step, _ in held],
        "held_out_loss": [round(loss, 6) for _, loss in held],
        "train_loss": windows(curve["loss"], statistics.fmean),
        "gradient_norm_median": windows(norms, statistics.median),
        "gradient_norm_max": windows(norms, max),
        "gradient_norm_spikes": sum(spikes),
    }
    if curve["balance"][0] is not None:
        made["balance_loss"] = windows(curve["balance"], statistics.fmean)
        made["balance_share"] = windows(
            [options["--balance-loss"] * b / (options["--balance-loss"] * b + loss)
             for b, loss in zip(curve["balance"], curve["loss"])], statistics.fmean)  # fmt: skip
    counts = [each for each in curve["expert_counts"] if each]
    if counts:
        made["load_factor_experts"] = [load_factor(each, len(each[0])) for each in counts]
        for ranks in RANKS_SHOWN:
            if len(counts[0][0]) % ranks == 0:
                made[f"load_factor_{ranks}_ranks"] = [load_factor(each, ranks) for each in counts]
    return made


def windows(values, of):
    return [round(of(values[i : i + WINDOW]), 5) for i in range(0, len(values), WINDOW)]


def load_factor(counts, parts):
    """max / mean, where layers' experts stand on so many ranks in order; the mean over layers."""
    factors = []
    for layer in counts:
        size = len(layer) // parts
        loads = [sum(layer[i : i + size]) for i in range(0, len(layer), size)]
        factors.append(max(loads) * parts / sum(loads))
    return round(statistics.fmean(factors), 4)


def machine(torch):
    with open("/proc/cpuinfo") as info:
        cpu = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cores": os.cpu_count(), "gpu": None, "torch": torch}

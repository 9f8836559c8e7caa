# SPDX-License-Identifier: Apache-2.0
"""The two programs that take turns, each on all ranks."""

import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
MPIRUN = os.path.join(HERE, os.pardir, os.pardir, "launch", "mpirun.sh")


class PeerError(Exception):
    """A program failed, or its outputs differ; it has said more on stderr."""


class HashEp:
    """hashep-bench layer, started afresh for each turn."""

    def __init__(self, program, ranks, threads, activation, folder, more):
        self.command = [MPIRUN, str(ranks), program, "layer", "--threads", str(threads),
                        "--activation", activation, "-w", "1", *more]
        self.result = os.path.join(folder, "hashep.json")

    def turn(self, case, samples, dump=None):
        """The result JSON of one turn."""
        more = ["--dump", dump] if dump else []
        done = subprocess.run([*self.command, *case.options(), *more, "-n", str(samples),
                               "-J", self.result], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise PeerError(f"{case.name}: hashep-bench ended with exit code {done.returncode}")
        with open(self.result, encoding="utf-8") as file:
            return json.load(file)


class Torch:
    """torch_ranks.py, which loads a dump once, compares, and then waits for its turns."""

    def __init__(self, python, ranks, threads, dump, more):
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                                  "MKL_NUM_THREADS")}
        self.process = subprocess.Popen(
            [MPIRUN, str(ranks), python, os.path.join(HERE, "torch_ranks.py"), "--turns", "--input",
             dump, "--threads", str(threads), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **limits})
        self.about = self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()  # the end of its input is its end
        self.process.stdout.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"torch_ranks ended with exit code {self.process.wait()}")
        return json.loads(line)

    def turn(self, samples):
        self.process.stdin.write(f"{samples}\n")
        self.process.stdin.flush()
        return self.answer()

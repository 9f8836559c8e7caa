# SPDX-License-Identifier: Apache-2.0
"""Measures what routing does to a language model's loss: dense, hash-routed and learned arms, on real text.

    python3 examples/language_model/chart.py                 # what is missing of the main arms
    python3 examples/language_model/chart.py --stage cost    # or of another stage
    python3 examples/language_model/chart.py --page          # tables and plot of docs/quality.md

Says what it will take before it starts, and may be stopped at any moment: it goes on where it was. Results
are kept in benchmarks/results/language_model, one file a run.
"""

import argparse
import contextlib
import fcntl
import importlib.util
import json
import pathlib
import sys
import tempfile
import time

from data import BadInput
from experiment.arms import STAGES
from experiment.runs import Runner

TOKENS_PER_S = 29000.0  # that 2 ranks on 2 cores train, to say beforehand how long it will take


def say(line):
    print(line, flush=True)


def run_missing(runner, runs, minutes):
    missing = [run for run in runs if not runner.is_done(run)]
    work = sum(run.tokens * run.work for run in missing)
    say(
        f"{len(runs)} runs, {len(missing)} missing: {sum(run.tokens for run in missing) / 1e6:.0f} million tokens, "
        f"some {work / TOKENS_PER_S / 3600:.1f} hours on 2 cores"
    )
    begin = time.monotonic()
    for run in missing:
        if minutes is not None and time.monotonic() - begin > 60 * minutes:
            say(f"stops here, as {minutes:g} minutes have gone")
            return
        say(f"{time.strftime('%H:%M')} {run.name}")
        runner.run(run)


def repeat(runner, run):
    """Runs it once more, and tells whether its curve has the same bits as the one that is kept."""
    kept = json.loads(runner.result(run).read_text())
    again = runner.repeat(run)
    same = kept["results"][0]["curve_sha256"] == again["results"][0]["curve_sha256"]
    say(f"{run.name}: {'the same curve, to the bit' if same else 'another curve'}")
    for about in ("machine", "ranks"):
        if kept[about] != again[about]:
            say(f"  {about}: then {kept[about]}, now {again[about]}")
    return 0 if same else 1


@contextlib.contextmanager
def alone(folder):
    """Two of these programs would spoil each other's checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "chart.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput(f"--work {folder}: another chart.py works there, or a run that it has left") from None
        yield lock


def make_page():
    from experiment import page

    page.write(page.load())


def check_page():
    from experiment import page, plots

    with tempfile.TemporaryDirectory() as work:
        wrong = page.check(page.load(), pathlib.Path(work))
    if not plots.are_comparable():
        say(f"the plot was not compared: that needs matplotlib {plots.VERSION}")
    for line in wrong:
        print(f"chart.py: {line} than the results make (--page makes it)", file=sys.stderr)
    return 1 if wrong else 0


def run_of_name(name):
    for make in STAGES.values():
        for run in make():
            if run.name == name:
                return run
    raise BadInput(f"--repeat {name}: there is no such run (--list shows their names)")


def need(*modules):
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise BadInput(f"Python's module {name} is needed")


def parse():
    parser = argparse.ArgumentParser(
        prog="chart.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=(*STAGES, "cost"), default="main", help="(main)")
    parser.add_argument("--only", metavar="TEXT", default="", help="runs whose names have it")
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="of each run (2)")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no run after so many")
    parser.add_argument("--work", default="data", metavar="DIR", help="for text and checkpoints (data)")
    parser.add_argument("--list", action="store_true", help="print the runs, and which are missing")
    parser.add_argument("--repeat", metavar="RUN", help="run it once more: has its curve the same bits?")
    parser.add_argument("--page", action="store_true", help="make tables and plot of docs/quality.md again")
    parser.add_argument("--check", action="store_true", help="are they, to the byte, what the results make?")
    return parser.parse_args()


def main():
    options = parse()
    try:
        if options.page or options.check:
            need("scipy", "matplotlib")
            return make_page() if options.page else check_page()
        need("hashep", "torch")
        with alone(pathlib.Path(options.work)) as lock:
            runner = Runner(options.work, options.ranks, say, lock)
            if options.stage == "cost":
                from experiment import cost

                cost.measure(runner, say)
                return 0
            if options.repeat:
                return repeat(runner, run_of_name(options.repeat))
            runs = [run for run in STAGES[options.stage]() if options.only in run.name]
            if options.list:
                for run in runs:
                    say(f"{'done' if runner.is_done(run) else 'missing':8} {run.name}  {' '.join(run.words())}")
            else:
                run_missing(runner, runs, options.minutes)
    except (BadInput, OSError) as error:
        print(f"chart.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chart.py: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

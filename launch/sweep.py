#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command at each point of a grid, a result JSON for each, and goes on where it was cut off.

    launch/sweep.py --output results/layer --grid tokens-per-rank=1K,4K --grid top-k=1,6 \\
        -- launch/mpirun.sh 2 build/cpu-release/bin/hashep-bench layer --hidden-size 1024
    launch/sweep.py --output results/ranks --grid ranks=1,2,4 \\
        -- launch/mpirun.sh {ranks} build/cpu-release/bin/hashep-bench exchange
    launch/sweep.py --file sweep.toml

A value of the grid goes where {NAME} stands in the command, else to its end as --NAME VALUE; the
end also gets --json FILE. A result appears in the folder when its point is complete, beside a .log
of what the point printed, and holds its own command under "sweep". A point whose result is there is
not run again; a result of another command in its place is an error. Exit code 0: all points are
there; 1: some failed, or it was stopped; 2: bad input.
"""

import argparse
import sys

from sweep.grid import BadInput, points_of
from sweep.report import print_table
from sweep.runner import Runner, Stopped
from sweep.settings import read_settings


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BadInput(message)


def parse(words):
    command = []
    if "--" in words:
        command = words[words.index("--") + 1:]
        words = words[:words.index("--")]
    parser = Parser(prog="sweep.py", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", metavar="FILE.toml|.json",
                        help="command = [...], [grid] NAME = [...], and output, timeout, retries; "
                             "the command line goes before it")
    parser.add_argument("--grid", action="append", default=[], metavar="NAME=VALUE,...",
                        help="may be given again: all combinations are run")
    parser.add_argument("--output", metavar="FOLDER", help="where results are and go")
    parser.add_argument("--timeout", type=float, metavar="SECONDS",
                        help="a point that takes longer is ended, and has failed (600)")
    parser.add_argument("--retries", type=int, metavar="N",
                        help="how often a point that failed is tried again (0)")
    parser.add_argument("--show", default="", metavar="NAME,...",
                        help="rows whose median the table is to tell")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    arguments = parser.parse_args(words)
    return arguments, command


def main():
    try:
        arguments, command = parse(sys.argv[1:])
        settings = read_settings(arguments, command)
        runner = Runner(settings, points_of(settings.command, settings.grid, settings.output))
        if arguments.dry_run:
            runner.print_commands()
            return 0
        try:
            runner.run()
        except Stopped as stopped:
            print(f"sweep.py: stopped ({stopped}); the same command goes on from here",
                  file=sys.stderr)
    except BadInput as error:
        # Parts are of files: nothing of them may reach the terminal as a command.
        shown = "".join(c if c.isprintable() else "?" for c in str(error))
        print(f"sweep.py: error: {shown}", file=sys.stderr)
        return 2
    print_table(runner.points, [name for name in arguments.show.split(",") if name])
    return 0 if all(point.complete for point in runner.points) else 1


if __name__ == "__main__":
    sys.exit(main())

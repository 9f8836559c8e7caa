#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots results of HashEP's programs, and compares them.

    benchmarks/plot.py [KIND] FILE... --output plot.svg
    benchmarks/plot.py --compare A.json B.json

KIND is found by what is in the files, unless it is named. Exit code 0: all went well; 1: with
--fail-on-slower, something is slower; 2: bad input, told in one line.
"""

import argparse
import sys
import types

from plots import exchange, figure, load, peers, phases, plan, scaling, simulation, traffic
from plots.compare import compare
from plots.results import BadInput, read_document, rows_of, split_where

# By name, in the order in which contents are looked at.
KINDS = {"traffic": traffic, "load": load, "plan": plan, "simulation": simulation,
         "scaling": scaling, "exchange": exchange, "peers": peers, "phases": phases}


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BadInput(message)


def parse(words):
    kinds = "\n".join(f"  {name:12s}{kind.__doc__.splitlines()[0]}" for name, kind in KINDS.items())
    parser = Parser(prog="plot.py", description=__doc__, epilog="kinds:\n" + kinds,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="[KIND] FILE",
                        help="result JSON of any program, or CSV of hashep plan --csv")
    parser.add_argument("--output", metavar="FILE", help="FILE.svg or FILE.png, to be written")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE",
                        help="only rows whose KEY is VALUE, as dtype=bf16; may be given again")
    parser.add_argument("--title", default="", help="instead of the one that tells the setting")
    parser.add_argument("--labels", metavar="A;B;...", help="load: a name for each file")
    parser.add_argument("--dedup", action="store_true",
                        help="traffic: rows that cross to a node once")
    parser.add_argument("--compare", nargs=2, metavar=("A.json", "B.json"),
                        help="tell how much slower or faster B is, row by row")
    parser.add_argument("--again", action="append", default=[], metavar="A2.json",
                        help="--compare: another run of what A is of; differences not above that "
                             "between them do not count; may be given again")
    parser.add_argument("--threshold", type=float, default=0.1, metavar="SHARE",
                        help="--compare: differences below it do not count (default 0.1)")
    parser.add_argument("--confidence", type=float, default=0.99, metavar="SHARE",
                        help="--compare: of the intervals (default 0.99)")
    parser.add_argument("--fail-on-slower", action="store_true",
                        help="--compare: exit code 1 where a row is slower")
    return parser.parse_intermixed_args(words)


def kind_of(documents):
    for document in documents:
        for name, kind in KINDS.items():
            if kind.fits(document):
                return name
    raise BadInput(f"{documents[0]['path']}: nothing in it that is plotted; kinds are "
                   + ", ".join(KINDS))


def say(text):
    print(f"plot.py: {text}", file=sys.stderr)


def plot(arguments):
    kind = arguments.files.pop(0) if arguments.files and arguments.files[0] in KINDS else None
    if arguments.again:
        raise BadInput("--again goes with --compare")
    if not arguments.files:
        raise BadInput("FILE... is missing (--help tells how)")
    if not arguments.output:
        raise BadInput("--output is missing")
    figure.check_name(arguments.output)
    where = split_where(arguments.where)
    documents = [read_document(path) for path in arguments.files]
    module = KINDS[kind or kind_of(documents)]
    options = types.SimpleNamespace(title=arguments.title, labels=arguments.labels,
                                    dedup=arguments.dedup, say=say)
    try:
        drawn = module.draw(rows_of(documents, where), options)
    except KeyError as error:
        raise BadInput(f"a row has no {error}, which the plot needs") from error
    figure.save(drawn, arguments.output)
    return 0


def main(words):
    try:
        arguments = parse(words)
        if not arguments.compare:
            return plot(arguments)
        if arguments.files or arguments.output:
            raise BadInput("--compare takes two files and draws nothing")
        if not arguments.threshold >= 0 or not 0 < arguments.confidence < 1:
            raise BadInput("--threshold has to be 0 or more, --confidence between 0 and 1")
        lines, slower = compare(*map(read_document, arguments.compare),
                                [read_document(path) for path in arguments.again],
                                split_where(arguments.where), arguments.threshold,
                                arguments.confidence)
        print("\n".join(lines))
        return 1 if slower and arguments.fail_on_slower else 0
    except BadInput as error:
        print(f"plot.py: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

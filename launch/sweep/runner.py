# SPDX-License-Identifier: Apache-2.0
"""Runs the points of a sweep that have no result yet."""

import fcntl
import json
import os
import shlex
import signal
import time

from . import process
from .grid import BadInput

LOCK = ".sweep.lock"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal came."""


def on_signal(number, _):
    for each in SIGNALS:  # once is enough: processes are being ended
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(signal.Signals(number).name)


def read_json(path):
    """A result, or None where there is none that is whole."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return None
    rows = document.get("results") if isinstance(document, dict) else None
    return document if isinstance(rows, list) else None


def write_json(path, document):
    """Writes it whole or not at all, and for good: a machine that goes down loses no result."""
    temporary = path + ".new.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def last_line(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else "it printed nothing"


class Runner:
    def __init__(self, settings, points):
        self.settings = settings
        self.points = points
        for point in points:
            self.keep(point)

    def keep(self, point):
        """Notes whether the point's result is there already."""
        if not os.path.exists(point.path):
            return
        document = read_json(point.path)
        if document is None:
            raise BadInput(f"{point.path}: no result of a sweep; remove it, or take another folder")
        before = (document.get("sweep") or {}).get("command")
        if before != point.command:
            told = shlex.join(before or ["unknown"])
            raise BadInput(f"{point.path}: is of another command ({told}); remove it, or take "
                           "another folder")
        point.state = "kept"
        point.seconds = document["sweep"].get("seconds", 0.0)

    def print_commands(self):
        for point in self.points:
            if point.complete:
                print(f"# {point.path} is complete")
            else:
                print(shlex.join([*point.command, "--json", point.partial]))

    def run(self):
        """Runs what is missing; raises Stopped where a signal comes, with all processes ended."""
        missing = [point for point in self.points if not point.complete]
        if not missing:
            return
        try:
            os.makedirs(self.settings.output, exist_ok=True)
            lock = open(os.path.join(self.settings.output, LOCK), "w", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"--output {self.settings.output}: {error}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadInput(f"{self.settings.output}: another sweep is at work there") from error
            for number in SIGNALS:
                signal.signal(number, on_signal)
            for place, point in enumerate(missing):
                self.keep(point)  # another sweep may have been here before the lock was ours
                while not point.complete and point.attempts <= self.settings.retries:
                    again = f", try {point.attempts + 1}" if point.attempts else ""
                    print(f"[{place + 1}/{len(missing)}] {shlex.join(point.command)}{again}",
                          flush=True)
                    self.try_once(point)
                    if not point.complete:
                        print(f"    {point.state}; see {point.log}", flush=True)

    def try_once(self, point):
        point.attempts += 1
        start = time.monotonic()
        point.state = "stopped"
        try:
            with open(point.log, "w", encoding="utf-8") as log:
                code = process.run([*point.command, "--json", point.partial], log,
                                   self.settings.timeout)
            point.seconds = round(time.monotonic() - start, 3)
            document = read_json(point.partial)
            if code is None:
                point.state = f"failed: not done within {self.settings.timeout:g} s"
            elif code != 0:
                point.state = f"failed: exit code {code}: {last_line(point.log)}"
            elif document is None:
                point.state = "failed: it wrote no result"
            else:
                document["sweep"] = {"command": point.command, "values": point.values,
                                     "attempts": point.attempts, "seconds": point.seconds}
                write_json(point.path, document)
                point.state = "done"
        except FileNotFoundError as error:
            raise BadInput(f"{point.command[0]}: cannot be started: {error.strerror}") from error
        except PermissionError as error:
            raise BadInput(f"{error.filename}: {error.strerror}") from error
        finally:
            if os.path.exists(point.partial):
                os.remove(point.partial)

# SPDX-License-Identifier: Apache-2.0
"""The points of a grid: their commands and the places of their results."""

import dataclasses
import itertools
import os
import re


class BadInput(Exception):
    """Something that a user can mend; its text is one line."""


@dataclasses.dataclass
class Point:
    values: dict   # of the grid, by name, as words
    command: list  # without --json FILE
    path: str      # of the result
    state: str = "not run"
    attempts: int = 0
    seconds: float = 0.0

    @property
    def complete(self):
        return self.state in ("kept", "done")

    @property
    def partial(self):
        """Where the program writes, until the result is complete."""
        return self.path + ".tmp"

    @property
    def log(self):
        return os.path.splitext(self.path)[0] + ".log"


def parse_grid(words):
    """NAME=VALUE,... words as {name: values}."""
    grid = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not values:
            raise BadInput(f"--grid {word}: NAME=VALUE,... is expected")
        if name in grid:
            raise BadInput(f"--grid {name} is there twice")
        grid[name] = values.split(",")
    return grid


def check_grid(grid):
    for name, values in grid.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            raise BadInput(f"grid: '{name}' is no name of an option")
        if not values or "" in values:
            raise BadInput(f"grid: {name} has an empty value")


def command_of(command, values):
    """The command with these values in it."""
    words, used = [], set()
    for word in command:
        for name, value in values.items():
            if f"{{{name}}}" in word:
                word = word.replace(f"{{{name}}}", value)
                used.add(name)
        words.append(word)
    for name, value in values.items():
        if name not in used:
            words += [f"--{name}", value]
    return words


def points_of(command, grid, output):
    """All combinations, the last name of the grid varying fastest."""
    check_grid(grid)
    points, names = [], {}
    for combination in itertools.product(*grid.values()):
        values = dict(zip(grid, combination))
        name = ",".join(f"{key}={value}" for key, value in values.items()) or "result"
        name = re.sub(r"[^A-Za-z0-9=.,+-]", "_", name)
        if name in names:
            raise BadInput(f"two points would have the result {name}.json: {names[name]} and "
                           f"{values}")
        names[name] = values
        points.append(Point(values, command_of(command, values),
                            os.path.join(output, f"{name}.json")))
    return points

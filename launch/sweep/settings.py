# SPDX-License-Identifier: Apache-2.0
"""What a sweep is to do, from a file and the command line."""

import dataclasses
import json

from .grid import BadInput, parse_grid


@dataclasses.dataclass
class Settings:
    command: list
    grid: dict
    output: str
    timeout: float = 600.0  # seconds, for a point
    retries: int = 0


def parsed(path):
    try:
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        try:
            import tomllib
        except ImportError as error:
            raise BadInput(f"{path}: TOML needs Python 3.11 or later; JSON does not") from error
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error


def words_of(path, key, values):
    """A list of words and numbers as words."""
    if not isinstance(values, list) or any(isinstance(value, (list, dict, bool)) or value is None
                                           for value in values):
        raise BadInput(f"{path}: {key}: a list of words and numbers is expected")
    return [str(value) for value in values]


def from_file(path):
    found = parsed(path)
    known = {field.name for field in dataclasses.fields(Settings)}
    if not isinstance(found, dict) or not set(found) <= known:
        raise BadInput(f"{path}: known are {', '.join(sorted(known))}")
    if "command" in found:
        found["command"] = words_of(path, "command", found["command"])
    if not isinstance(found.get("grid", {}), dict):
        raise BadInput(f"{path}: grid: lists by name are expected")
    found["grid"] = {name: words_of(path, f"grid: {name}", values)
                     for name, values in found.get("grid", {}).items()}
    return found


def read_settings(arguments, command):
    """The file's settings, with what the command line says in its place."""
    found = from_file(arguments.file) if arguments.file else {"grid": {}}
    found["grid"].update(parse_grid(arguments.grid))
    if command:
        found["command"] = command
    for key in ("output", "timeout", "retries"):
        if getattr(arguments, key) is not None:
            found[key] = getattr(arguments, key)
    if not found.get("command"):
        raise BadInput("-- COMMAND is missing (--help tells how)")
    if not isinstance(found.get("output"), str) or not found["output"]:
        raise BadInput("--output FOLDER is missing")
    settings = Settings(**found)
    if type(settings.timeout) not in (int, float) or not settings.timeout > 0:
        raise BadInput(f"timeout {settings.timeout}: a number of seconds above 0 is expected")
    if type(settings.retries) is not int or settings.retries < 0:
        raise BadInput(f"retries {settings.retries}: a whole number from 0 on is expected")
    return settings

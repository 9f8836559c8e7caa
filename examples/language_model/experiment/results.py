# SPDX-License-Identifier: Apache-2.0
"""The results that the repository keeps, by stage, arm and seed."""

import json

from data import BadInput

from .runs import RESULTS


class Arm:
    """Results of an arm: a row a seed."""

    def __init__(self):
        self.rows, self.args = {}, {}

    def values(self, of):
        """{seed: of(row)}."""
        return {seed: of(row) for seed, row in sorted(self.rows.items())}

    def final(self):
        """Held-out loss after the last step, by seed."""
        return self.values(lambda row: row["held_out_loss"][-1])

    def loss_at(self, step):
        """Held-out loss at an evaluation, by seed."""
        return self.values(lambda row: row["held_out_loss"][row["evaluated_steps"].index(step)])

    @property
    def evaluated_steps(self):
        return next(iter(self.rows.values()))["evaluated_steps"]

    def option(self, name):
        return self.args[min(self.args)][name]


class Results:
    """stages[stage][arm]: an Arm. documents: what each was read from, by file name."""

    def __init__(self, folder=RESULTS):
        self.stages, self.documents = {}, {}
        for path in sorted(folder.glob("*/*.json")):
            document = self.documents[path.relative_to(folder).as_posix()] = json.loads(path.read_text())
            for row in document["results"]:
                if "seed" in row:
                    arm = self.stages.setdefault(row["stage"], {}).setdefault(row["name"], Arm())
                    arm.rows[row["seed"]] = row
                    arm.args[row["seed"]] = _options(document["args"])
        texts = {document["text"] for document in self.documents.values() if "text" in document}
        if len(texts) > 1:
            raise BadInput(f"{folder}: results are of {len(texts)} different texts")

    def stage(self, name):
        return self.stages.get(name, {})


def _options(words):
    return {name[2:]: value for name, value in zip(words[::2], words[1::2])}

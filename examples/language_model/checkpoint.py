# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a model whose experts stand on several ranks: a file a rank, read by any number of them.

FOLDER/step-N/rank-R-of-SIZE.pt appear together, by one rename, and `latest` is a link to the last.
"""

import json
import os
import pathlib
import pickle
import shutil

import torch
from hashep.torch import MoE, merge_state_dicts

from data import BadInput
from ranks import together

MOMENTS = ("exp_avg", "exp_avg_sq")


def save(context, folder, step, model, optimizer, run, keep_last):
    """run: what rank 0 keeps of the program's own, as JSON. Collective."""
    folder = pathlib.Path(folder)
    work = folder / f"step-{step}.tmp"
    first = context.rank == 0

    def begin():
        if first:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)

    def write():
        state = {
            "step": step,
            "model": dict(model.state_dict()),
            "moments": {name: _moments(model, optimizer, name) for name in MOMENTS},
            "run": json.dumps(run) if first else None,
        }
        with open(work / f"rank-{context.rank}-of-{context.size}.pt", "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    def finish():
        if not first:
            return
        done = folder / f"step-{step}"
        shutil.rmtree(done, ignore_errors=True)
        os.rename(work, done)
        link = folder / "latest.tmp"
        link.unlink(missing_ok=True)
        link.symlink_to(done.name)
        os.replace(link, folder / "latest")
        steps = sorted(int(each.name[5:]) for each in folder.glob("step-*") if each.name[5:].isdigit())
        for old in [each for each in steps if each <= step][:-keep_last]:
            shutil.rmtree(folder / f"step-{old}", ignore_errors=True)

    for part in (begin, write, finish):
        together(context, part)


def exists(folder):
    return (pathlib.Path(folder) / "latest").exists()


def load(context, folder, model, optimizer, check):
    """Reads the latest one: (step, run). check(run, path) may refuse it before anything is changed.

    Collective.
    """

    def read():
        path = (pathlib.Path(folder) / "latest").resolve()
        files = sorted(path.glob("rank-*-of-*.pt"), key=lambda file: int(file.name.split("-")[1]))
        try:
            states = [torch.load(file, map_location="cpu", weights_only=True) for file in files]
            ranks = int(files[0].stem.split("-")[3]) if files else 1
            if len(files) != ranks:
                raise BadInput(f"{path}: {len(files)} of {ranks} ranks' files are there")
            run = json.loads(states[0]["run"])
            check(run, path)
            model.load_state_dict(merge_state_dicts([each["model"] for each in states]))
            moments = {
                name: merge_state_dicts([each["moments"][name] for each in states]) for name in MOMENTS
            }
        except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise BadInput(f"{path}: not a checkpoint of this model ({_line(error)})") from error
        _set_moments(model, optimizer, moments, states[0]["step"])
        return states[0]["step"], run

    return together(context, read)


def _moments(model, optimizer, name):
    """One of AdamW's moments as a state dict of the model: so those of ranks' experts can be joined."""
    states = {key: value for key, value in model.state_dict().items() if key.endswith("_extra_state")}
    for key, parameter in model.named_parameters():
        if name in optimizer.state.get(parameter, {}):
            states[key] = optimizer.state[parameter][name].contiguous()
    return states


def _set_moments(model, optimizer, moments, step):
    mine = {}  # experts' parameters, by name: which experts this rank has
    for prefix, module in model.named_modules():
        if isinstance(module, MoE):
            for name, parameter in module.named_parameters(prefix):
                if parameter.is_expert:
                    mine[name] = module.planner.local_experts[module.layer]
    for key, parameter in model.named_parameters():
        if key not in moments[MOMENTS[0]]:
            continue
        state = optimizer.state[parameter] = {"step": torch.tensor(float(step))}
        for name in MOMENTS:
            whole = moments[name][key]
            state[name] = whole[mine[key]].clone() if key in mine else whole


def _line(error):
    return " ".join(str(error).split())[:200]

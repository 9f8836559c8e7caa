# SPDX-License-Identifier: Apache-2.0
"""examples/language_model: curves do not depend on ranks or stops, and bad input is told in a line."""

import csv
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("torch")
if shutil.which("spm_train") is None or shutil.which("mpirun") is None:
    pytest.skip("spm_train and mpirun are needed", allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = (
    "--num-layers 2 --hidden-size 32 --num-heads 2 --ffn-size 48 --num-experts 8 --seq-len 32 "
    "--sequences 8 --steps 6 --warmup 1 --lr 0.01 --evaluate-every 3 --evaluate-sequences 10 "
    "--vocab-size 300 --progress off"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Has a text of some documents, and then its tokens."""
    folder = tmp_path_factory.mktemp("language_model")
    drawn = random.Random(0)
    letters = "etaoinshrdlu"
    words = ["".join(drawn.choices(letters, k=drawn.randint(2, 6))) for _ in range(120)]
    weights = [1 / (i + 1) for i in range(len(words))]
    documents = [
        "\n".join(" ".join(drawn.choices(words, weights, k=12)) for _ in range(12)) for _ in range(40)
    ]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n")
    return folder


def run(folder, ranks, *options):
    command = [str(ROOT / "launch/mpirun.sh"), str(ranks), sys.executable]
    command += [str(ROOT / "examples/language_model/train.py"), *SMALL]
    command += ["--text", str(folder / "text.txt"), "--data", str(folder / "data"), *options]
    # A BLAS or OpenMP that takes all cores for each rank makes a small run slow.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=120
    )


def curve_of(folder, ranks, *options):
    """The lines of the curve's CSV."""
    file = folder / f"curve-{ranks}.csv"
    file.unlink(missing_ok=True)
    result = run(folder, ranks, "--curve", str(file), *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return file.read_text().splitlines()


@pytest.fixture(scope="module")
def hash_curve(folder):
    result = folder / "result.json"
    options = ["--json", str(result), "--sample", "the", "--sample-tokens", "3"]
    curve = curve_of(folder, 1, "--arm", "hash", "--reproducible", *options)
    return curve, json.loads(result.read_text())


def test_hash_has_the_same_bits_on_any_ranks_and_learns(folder, hash_curve):
    curve, result = hash_curve
    for ranks in (2, 4):
        assert curve_of(folder, ranks, "--arm", "hash", "--reproducible") == curve
    rows = list(csv.DictReader(curve))
    losses = [float(row["loss"]) for row in rows]
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 0.1
    assert float(rows[5]["held_out_loss"]) < float(rows[2]["held_out_loss"])
    assert result["curve"]["loss"] == losses
    assert result["tokens_per_s"] > 0
    assert len(result["samples"]) == 1


def test_learned_has_the_same_bits_on_any_ranks(folder):
    options = ["--arm", "learned", "--reproducible", "--steps", "3"]
    curves = [curve_of(folder, ranks, *options) for ranks in (1, 2, 4)]
    assert curves[0] == curves[1] == curves[2]
    assert float(list(csv.DictReader(curves[0]))[0]["balance"]) >= 1.9


def test_one_backward_gives_the_same_but_for_rounding(folder, hash_curve):
    fast = csv.DictReader(curve_of(folder, 2, "--arm", "hash"))
    for row, exact in zip(fast, csv.DictReader(hash_curve[0])):
        assert float(row["loss"]) == pytest.approx(float(exact["loss"]), abs=1e-3)
        assert float(row["gradient_norm"]) == pytest.approx(float(exact["gradient_norm"]), rel=1e-2)


def test_a_run_that_was_stopped_goes_on_to_the_same_curve(folder, hash_curve):
    options = ["--arm", "hash", "--reproducible", "--save"]
    saved = folder / "saved"
    curve_of(folder, 2, *options, str(saved), "--stop-at", "3")
    shutil.copytree(saved, folder / "copy", symlinks=True)
    for ranks, place in ((2, saved), (1, folder / "copy")):
        assert curve_of(folder, ranks, *options, str(place), "--resume") == hash_curve[0]
        assert (place / "latest").resolve().name == "step-6"
    line = error_of(run(folder, 2, *options, str(saved), "--resume", "--seed", "7"))
    assert "--seed 0, not 7" in line


@pytest.mark.parametrize(
    "options, part",
    [
        (["--hidden-size", "33"], "--hidden-size 33"),
        (["--text", "no-such-file"], "no-such-file"),
    ],
)
def test_bad_input_is_told_in_one_line(folder, options, part):
    assert part in error_of(run(folder, 2, *options))


def error_of(result):
    """The one line that ranks have printed; mpirun has words of its own."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if "train.py: error:" in line]
    assert len(lines) == 1, result.stderr
    return lines[0]

# SPDX-License-Identifier: Apache-2.0
"""examples/language_model/chart.py: what it runs, that it goes on after a kill, and its arithmetic."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")
if shutil.which("spm_train") is None or shutil.which("mpirun") is None:
    pytest.skip("spm_train and mpirun are needed", allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/language_model"
sys.path.insert(0, str(EXAMPLE))

from experiment import arms, runs  # noqa: E402

# chart.py with a small model, and a text that is there already.
SMALL = """
import sys
sys.path.insert(0, {example!r})
import pathlib
from experiment import arms, runs
arms.SIZE.update({{"num-layers": 2, "hidden-size": 32, "num-heads": 2, "ffn-size": 48, "num-experts": 8,
                  "vocab-size": 300, "seq-len": 32, "sequences": 8}})
arms.STEPS.update(main=12, ablations=6)
arms.TRAINING.update(warmup=2)
arms.EVALUATION.update({{"evaluate-every": 4, "evaluate-sequences": 10, "evaluate-last": 10}})
runs.SAVE_EVERY, runs.WINDOW, arms.SPIKE_STEPS, runs.RESULTS = 3, 4, 4, pathlib.Path({results!r})
import chart
sys.exit(chart.main())
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder, as corpus.py would have left it."""
    folder = tmp_path_factory.mktemp("chart")
    english = folder / "work/english"
    english.mkdir(parents=True)
    drawn = random.Random(0)
    words = ["".join(drawn.choices("etaoinshrdlu", k=drawn.randint(2, 6))) for _ in range(120)]
    weights = [1 / (i + 1) for i in range(len(words))]
    documents = [
        "\n".join(" ".join(drawn.choices(words, weights, k=12)) for _ in range(12)) for _ in range(40)
    ]
    (english / "text.txt").write_text("\n\n".join(documents) + "\n")
    sources = {"sha256": "of the test", "documents": 40, "characters": 1, "sources": []}
    (english / "sources.json").write_text(json.dumps(sources))
    return folder


def command(work, results, *words):
    program = SMALL.format(example=str(EXAMPLE), results=str(work / results))
    return [sys.executable, "-c", program, "--work", str(work / "work"), "--ranks", "1", *words]


def chart(work, results, *words):
    return subprocess.run(
        command(work, results, *words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400
    )


def result(work, results, name):
    return json.loads((work / results / f"{name}.json").read_text())["results"][0]


@pytest.fixture(scope="module")
def done(work):
    """One seed of all main arms."""
    made = chart(work, "results", "--only", "seed0")
    assert made.returncode == 0, made.stdout + made.stderr
    return made


def test_all_arms_of_a_seed_are_run(work, done):
    names = {run.name for run in arms.main_runs() if run.seed == 0}
    assert {f"main/{path.stem}" for path in (work / "results/main").glob("*.json")} == names
    assert f"{len(names)} missing" in done.stdout
    for name in names:
        row = result(work, "results", name)
        assert row["evaluated_steps"] == [4, 8, 12]
        assert len(row["held_out_loss"]) == len(row["train_loss"]) == 3
        assert ("load_factor_experts" in row) == ("dense" not in name)
        assert ("balance_share" in row) == ("learned" in name)
    again = chart(work, "results", "--only", "seed0")
    assert again.returncode == 0 and " 0 missing" in again.stdout


def test_a_run_that_was_killed_goes_on_to_the_same_curve(work, done):
    shutil.rmtree(work / "work/main/hash-seed0", ignore_errors=True)
    begun = subprocess.Popen(
        command(work, "other", "--only", "main/hash-seed0"), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    checkpoints = work / "work/main/hash-seed0/checkpoints"
    until = time.monotonic() + 120
    while not (checkpoints / "latest").exists() and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert not (work / "other/main/hash-seed0.json").exists()
    made = chart(work, "other", "--only", "main/hash-seed0")
    assert made.returncode == 0, made.stdout + made.stderr
    digests = [result(work, folder, "main/hash-seed0")["curve_sha256"] for folder in ("results", "other")]
    assert digests[0] == digests[1]


def test_a_run_repeats_to_the_bit(work, done):
    name = "main/hash-clustered-seed0"
    made = chart(work, "results", "--repeat", name)
    assert made.returncode == 0 and "the same curve, to the bit" in made.stdout, made.stdout + made.stderr
    kept = work / f"results/{name}.json"
    text = kept.read_text()
    kept.write_text(text.replace('"curve_sha256": "', '"curve_sha256": "0'))
    made = chart(work, "results", "--repeat", name)
    kept.write_text(text)
    assert made.returncode == 1 and "another curve" in made.stdout


def test_another_text_is_refused(work, done):
    record = work / "results/text/sources.json"
    kept = record.read_text()
    record.write_text(kept.replace("of the test", "of another"))
    made = chart(work, "results", "--only", "main/hash-seed1")
    record.write_text(kept)
    assert made.returncode == 2
    assert "is not the text of the results" in made.stderr
    assert not (work / "results/main/hash-seed1.json").exists()


def test_what_is_kept_of_a_curve(monkeypatch):
    monkeypatch.setattr(runs, "WINDOW", 50)
    steps = list(range(1, 121))
    norms = [1.0] * 120
    norms[20], norms[80], norms[90] = 9.0, 3.5, 2.9  # warming up; a spike; none
    curve = {
        "step": steps, "loss": [6.0 - 0.01 * step for step in steps], "gradient_norm": norms,
        "held_out_loss": [5.0 if step == 60 else 4.0 if step == 120 else None for step in steps],
        "balance": [2.0] * 120,
        "expert_counts": [[[6, 2, 0, 0], [2, 2, 2, 2]] if step % 60 == 0 else None for step in steps],
    }  # fmt: skip
    made = runs.summary(curve, {"--balance-loss": 0.01})
    assert made["evaluated_steps"] == [60, 120] and made["held_out_loss"] == [5.0, 4.0]
    assert made["gradient_norm_spikes"] == 1
    assert made["gradient_norm_max"] == [9.0, 3.5, 1.0]
    assert made["train_loss"] == pytest.approx([5.745, 5.245, 4.895])
    assert made["load_factor_experts"] == [2.0, 2.0]  # the mean of 3 and 1
    assert made["load_factor_2_ranks"] == [1.5, 1.5]  # of 2 and 1
    assert made["balance_share"][0] == pytest.approx(0.02 / 5.765, abs=1e-4)


def test_intervals_are_students():
    pytest.importorskip("scipy")
    from experiment.intervals import difference, estimate

    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2 and found.half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)  # t(0.975, 2)
    ours = {0: 5.00, 1: 5.11, 2: 5.19, 3: 1.0}
    theirs = {0: 5.10, 1: 5.20, 2: 5.30}
    verdicts = {margin: difference(ours, theirs, margin) for margin in (0.02, 0.2)}
    assert verdicts[0.02].count == 3 and verdicts[0.02].mean == pytest.approx(-0.1)
    assert verdicts[0.02].half == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-6)
    assert verdicts[0.02].verdict == "lower"
    assert verdicts[0.2].verdict == "lower, equivalent"
    same = {seed: loss + step for (seed, loss), step in zip(theirs.items(), (0.001, -0.002, 0.001))}
    assert difference(same, theirs, 0.02).verdict == "equivalent"
    assert difference(same, theirs, 0.001).verdict == "undecided"
    assert difference({0: 1.0}, theirs, 0.02).verdict == "undecided"


def test_the_page_is_what_the_results_make():
    pytest.importorskip("scipy")
    pytest.importorskip("matplotlib")
    made = subprocess.run(
        [sys.executable, str(EXAMPLE / "chart.py"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert made.returncode == 0, made.stderr

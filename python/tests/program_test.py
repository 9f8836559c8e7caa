# SPDX-License-Identifier: Apache-2.0
"""Whole programs on ranks: how they begin and end. Not run under mpirun: it starts them."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

MPIRUN = pathlib.Path(__file__).parents[2] / "launch" / "mpirun.sh"

PRELUDE = """
import sys, time
import numpy as np, hashep
context = hashep.Context(threads=1, deadline={deadline})
shape = hashep.StackShape(num_layers=2, hidden_size=16, ffn_size=32, num_experts=8, top_k=2)
stack = hashep.Stack(context, shape, hashep.HashRouter(100), hashep.synthetic_weights(shape))
x = np.ones((8, 16), np.float32)
def step(ids=range(8)):
    batch = stack.submit(list(ids), seq_len=4)
    return stack.forward(batch, x)
step()
"""


def run(tmp_path, ranks, code, deadline=60, prelude=True, timeout=120, launcher=True, environment=()):
    """Runs a program, and gives what it has printed, its exit code, and how long it took."""
    file = tmp_path / "program.py"
    file.write_text((PRELUDE.format(deadline=deadline) if prelude else "") + textwrap.dedent(code))
    begin = time.monotonic()
    command = [str(MPIRUN), str(ranks)] if launcher else []
    done = subprocess.run(
        [*command, sys.executable, str(file)], capture_output=True, text=True, timeout=timeout,
        stdin=subprocess.DEVNULL, env={**os.environ, **dict(environment)},
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode, time.monotonic() - begin


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_first_contact(ranks):
    done = subprocess.run(
        [str(MPIRUN), str(ranks), sys.executable, "-m", "hashep"], capture_output=True, text=True,
        timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"a step of training on {ranks} ranks has the bits of one" in done.stdout
    assert done.stdout.count("MPI ") >= 1 and done.stdout.count("test ") == 1


def test_an_exception_on_one_rank_names_it_on_the_others(tmp_path):
    code = """
        if context.rank == 1:
            raise KeyError("boom")
        try:
            step()
        except hashep.RunError as error:
            print(error, flush=True)
            raise
    """
    out, err, code, seconds = run(tmp_path, 3, code)
    assert code != 0 and seconds < 30
    assert "KeyError: 'boom'" in err and "Traceback" in err
    assert out.count("rank 1 has left: KeyError: 'boom'") == 2


def test_a_rank_that_ends_too_early_is_named(tmp_path):
    code = """
        if context.rank == 0:
            sys.exit(0)
        step()
    """
    _, err, code, seconds = run(tmp_path, 2, code)
    assert code != 0 and seconds < 30
    assert "rank 0 has left: its program has ended" in err


def test_an_error_that_all_meet_is_printed_once(tmp_path):
    out, err, code, seconds = run(tmp_path, 3, "step([1, 2, 3, 4, 5, 6, 7, 100 if context.rank == 2 else 8])")
    assert code == 1 and seconds < 30
    assert err.count("Traceback") == 1 and err.count("InputError") == 1
    assert "100" in err and "MPI_ABORT" not in err


def test_a_rank_that_does_not_come_is_missed(tmp_path):
    code = """
        if context.rank == 1:
            time.sleep(8)
        step()
    """
    _, err, code, seconds = run(tmp_path, 2, code, deadline=2)
    assert code != 0 and seconds < 30
    assert "no answer from rank 1" in err


def test_programs_end_with_all_that_is_alive(tmp_path):
    code = """
        import atexit
        ahead = [stack.submit(list(range(8)), seq_len=4) for _ in range(3)]
        trained = hashep.Stack(context, shape, hashep.HashRouter(100),
                               hashep.synthetic_weights(shape), training=hashep.TrainingOptions())
        kept = trained.parameters()
        tape = hashep.Tape()
        trained.forward(trained.submit(list(range(8)), seq_len=4), x, tape=tape)
        optimizer = hashep.AdamW(trained)
        with hashep.Context(threads=1):
            pass
        print(f"done {kept[0].value.sum() != 0}")
    """
    out, err, code, seconds = run(tmp_path, 2, code)
    assert (code, err.replace("\n", "")) == (0, "")
    assert out.count("done") == 2 and out.count("True") == 2  # ranks' words may mix


def test_exit_codes_of_programs(tmp_path):
    assert run(tmp_path, 2, "sys.exit(3)")[2] == 3


def test_ctrl_c_ends_a_wait(tmp_path):
    file = tmp_path / "program.py"
    code = """
        if context.rank == 1:
            time.sleep(30)
        print("waits", flush=True)
        step()
    """
    file.write_text(PRELUDE.format(deadline=100) + textwrap.dedent(code))
    begin = time.monotonic()
    job = subprocess.Popen(
        [str(MPIRUN), "2", sys.executable, str(file)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert job.stdout.readline() == "waits\n"
    time.sleep(0.5)
    job.send_signal(signal.SIGINT)
    job.communicate(timeout=60)
    assert job.returncode != 0 and time.monotonic() - begin < 25


def test_signals_reach_python_in_a_wait(tmp_path):
    code = """
        import os, signal, threading
        if context.rank == 1:
            time.sleep(3)
            sys.exit(0)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            step()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    out, _, _, seconds = run(tmp_path, 2, code, deadline=40)
    assert "interrupted" in out and seconds < 20


def test_other_threads_run_while_a_call_waits(tmp_path):
    code = """
        import threading
        count, stops = 0, False
        def tick():
            global count
            while not stops:
                count += 1
                time.sleep(0.001)
        thread = threading.Thread(target=tick)
        thread.start()
        if context.rank == 1:
            time.sleep(1.5)
        before = count
        step()
        gained, stops = count - before, True
        thread.join()
        if context.rank == 0:
            print(f"ticks {gained}", flush=True)
    """
    out, err, code, _ = run(tmp_path, 2, code)
    assert code == 0, err
    assert int(out.split("ticks")[1]) > 100


def test_torchrun_is_refused(tmp_path):
    code = "import hashep; hashep.Context()"
    environment = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "0"}
    _, err, code, _ = run(tmp_path, 1, code, prelude=False, launcher=False, environment=environment)
    assert code == 1
    assert "launch/mpirun.sh RANKS python3 PROGRAM" in err.splitlines()[-1]


def test_a_launcher_that_mpi_knows_nothing_of(tmp_path):
    code = "import hashep; hashep.Context()"
    environment = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    _, err, code, _ = run(tmp_path, 1, code, prelude=False, launcher=False, environment=environment)
    assert code == 1
    assert "SLURM_NTASKS is 4" in err.splitlines()[-1]


def test_no_torch_is_needed(tmp_path):
    code = "import hashep, sys; assert 'torch' not in sys.modules; hashep.Context()"
    assert run(tmp_path, 1, code, prelude=False, launcher=False)[2] == 0


def test_beside_mpi4py(tmp_path):
    pytest.importorskip("mpi4py")
    code = """
        from mpi4py import MPI
        import hashep, numpy as np
        half = MPI.COMM_WORLD.Split(MPI.COMM_WORLD.rank % 2)
        context = hashep.Context(half, threads=1)
        assert (context.rank, context.size) == (half.rank, half.size)
        total = hashep.ReproducibleSum(context, 1, 1)
        total.add(np.ones((1, 1), np.float32))
        assert total.finish()[0, 0] == half.size
        print("fine")
    """
    out, err, code, _ = run(tmp_path, 3, code, prelude=False)
    assert (out.count("fine"), code) == (3, 0), err


def test_what_python_drops_waits_for_nobody(tmp_path):
    """Ranks let go of stacks and contexts at moments of their own, and in cycles that gc finds."""
    code = """
        import gc
        def use():
            again = hashep.Stack(context, shape, hashep.HashRouter(100), hashep.synthetic_weights(shape))
            other = hashep.Context(threads=1)
            batch = again.submit(list(range(8)), seq_len=4)
            again.forward(batch, x)
            loop = [again, other]
            loop.append(loop)
        for i in range(3):
            use()
            if i % context.size == context.rank:
                gc.collect()
            step()
        print("done", flush=True)
    """
    out, err, code, seconds = run(tmp_path, 2, code, deadline=60)
    assert (out.count("done"), code) == (2, 0), err
    assert seconds < 20

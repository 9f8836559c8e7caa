#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""launch/sweep.py: each point of a grid is run once, however often the sweep is cut off."""

import fcntl
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sweep = pathlib.Path(__file__).resolve().parent.parent.parent / "launch" / "sweep.py"

# Stands for a benchmark: notes its start, and writes a result unless it is told otherwise.
PROGRAM = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do
  case $1 in
    --size) size=$2 ;; --mode) mode=$2 ;; --json) json=$2 ;;
  esac
  shift 2
done
if read -r last _ < <(tail -n 1 starts.txt 2>/dev/null) && kill -0 "$last" 2>/dev/null; then
  echo "$last $$" >>overlaps.txt
fi
echo "$$ $size" >>starts.txt
case $mode in
  slow) echo waiting; for ((i = 0; i < 600; i++)); do [ -e "go_$size" ] && break; sleep 0.1; done ;;
  hang) sleep 600 ;;
  fail) echo '{"results": []}' >"$json"; echo "it is broken"; exit 3 ;;
  flaky) if [ ! -e tried ]; then touch tried; exit 1; fi ;;
  half) echo '{"results": [' >"$json"; exit 0 ;;
  none) exit 0 ;;
esac
echo "{\\"results\\": [{\\"name\\": \\"layer\\", \\"median_us\\": $size}], \\"args\\": []}" >"$json"
"""


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class SweepTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        program = self.folder / "program"
        program.write_text(PROGRAM)
        program.chmod(0o755)

    def words(self, *options, mode="good", sizes="1,2,3"):
        return [sys.executable, "-B", str(sweep), "--output", "out", "--grid", f"size={sizes}",
                *options, "--", "./program", "--mode", mode]

    def run_words(self, words):
        return subprocess.run(words, cwd=self.folder, capture_output=True, text=True, timeout=60,
                              check=False)

    def sweep(self, *options, **settings):
        return self.run_words(self.words(*options, **settings))

    def starts(self):
        """Of the program: (process, size) of each."""
        path = self.folder / "starts.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def sizes(self):
        return [size for _, size in self.starts()]

    def results(self):
        return sorted(path.name for path in (self.folder / "out").glob("*.json"))

    def contents(self):
        return [(self.folder / "out" / name).read_bytes() for name in self.results()]

    def until(self, condition):
        end = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), end, "nothing happened for 30 s")
            time.sleep(0.02)

    def start_and_stop(self, how):
        """A sweep that is stopped by a signal in its second point, and what it said."""
        (self.folder / "go_1").touch()
        process = subprocess.Popen(self.words(mode="slow"), cwd=self.folder, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.until(lambda: len(self.starts()) == 2)
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
        self.until(lambda: not any(alive(pid) for pid, _ in self.starts()))
        return process.returncode, out, err

    def go_on(self):
        """After a stop: what was complete is not run again, what was not is, nothing is lost."""
        complete, started = self.results(), self.sizes()
        self.assertEqual(complete, ["size=1.json"])
        for size in "123":
            (self.folder / f"go_{size}").touch()
        done = self.sweep(mode="slow")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.results(), ["size=1.json", "size=2.json", "size=3.json"])
        self.assertEqual(self.sizes()[len(started):],
                         [size for size in "123" if f"size={size}.json" not in complete])
        self.assertIn(f"3 of 3 points complete, {len(complete)} of them from before", done.stdout)
        self.assertEqual(list((self.folder / "out").glob("*.tmp")), [])

    def test_goes_on_after_ctrl_c(self):
        code, out, err = self.start_and_stop(signal.SIGINT)
        self.assertEqual(code, 1)
        self.assertIn("stopped (SIGINT); the same command goes on", err)
        self.assertIn("not run", out)
        self.assertEqual(list((self.folder / "out").glob("*.tmp")), [])
        self.go_on()

    def test_goes_on_after_a_kill(self):
        code, _, _ = self.start_and_stop(signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL)
        self.go_on()

    def test_a_second_time_does_nothing(self):
        self.assertEqual(self.sweep("--show", "layer").returncode, 0)
        before = self.contents()
        self.assertEqual(json.loads(before[0])["sweep"]["command"],
                         ["./program", "--mode", "good", "--size", "1"])
        done = self.sweep("--show", "layer")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.sizes(), ["1", "2", "3"])
        self.assertRegex(done.stdout, r"(?m)^2 +0 +[0-9.]+ +2\.0 +kept$")
        self.assertEqual(before, self.contents())

    def test_more_points_later(self):
        self.sweep(sizes="1,2")
        self.assertEqual(self.sweep(sizes="0,1,2,3").returncode, 0)
        self.assertEqual(self.sizes(), ["1", "2", "0", "3"])

    def test_failures_are_told_and_leave_no_result(self):
        for mode, text in (("fail", "failed: exit code 3: it is broken"),
                           ("none", "it wrote no result"), ("half", "it wrote no result"),
                           ("hang", "failed: not done within 0.5 s")):
            with self.subTest(mode=mode):
                done = self.sweep("--timeout", "0.5" if mode == "hang" else "60", mode=mode,
                                  sizes="1")
                self.assertEqual(done.returncode, 1)
                self.assertIn(text, done.stdout)
                self.assertIn("0 of 1 points complete", done.stdout)
                self.assertEqual(self.results(), [])
                self.assertEqual(list((self.folder / "out").glob("*.tmp")), [])

    def test_points_never_overlap(self):
        done = self.sweep("--timeout", "0.5", mode="hang", sizes="1,2")
        self.assertIn("0 of 2 points complete", done.stdout)
        self.assertEqual(self.sizes(), ["1", "2"])
        self.assertFalse((self.folder / "overlaps.txt").exists())

    def test_retries_are_never_silent(self):
        self.assertEqual(self.sweep(mode="flaky", sizes="1").returncode, 1)
        (self.folder / "tried").unlink()
        done = self.sweep("--retries", "2", mode="flaky", sizes="1")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("failed: exit code 1", done.stdout)
        self.assertIn("--size 1, try 2", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^1 +2 +[0-9.]+ +done$")
        self.assertEqual(json.loads(self.contents()[0])["sweep"]["attempts"], 2)

    def test_dry_run_and_places_in_the_command(self):
        words = self.words("--grid", "ranks=1,2", "--dry-run", sizes="4")
        words[words.index("./program"):] = ["mpirun", "-np", "{ranks}", "a program"]
        done = self.run_words(words)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stdout.splitlines(),
                         [f"mpirun -np {ranks} 'a program' --size 4 "
                          f"--json out/size=4,ranks={ranks}.json.tmp" for ranks in (1, 2)])
        self.assertFalse((self.folder / "out").exists())

    def test_files(self):
        (self.folder / "s.json").write_text(json.dumps(
            {"command": ["./program", "--mode", "good"], "grid": {"size": [7, 8]},
             "output": "out"}))
        (self.folder / "s.toml").write_text(
            'command = ["./program", "--mode", "good"]\noutput = "out"\n[grid]\nsize = [8, "9"]\n')
        names = ["s.json"] + (["s.toml"] if sys.version_info >= (3, 11) else [])
        for name in names:
            done = self.run_words([sys.executable, "-B", str(sweep), "--file", name])
            self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.sizes(), ["7", "8", "9"][:len(names) + 1])

    def test_bad_input_is_one_line_and_runs_nothing(self):
        self.sweep(sizes="1")
        (self.folder / "foreign").mkdir()
        (self.folder / "foreign/size=1.json").write_text("{}")
        (self.folder / "bad.json").write_text('{"comand": []}')
        (self.folder / "escape.json").write_text('{"grid": {"a\\u001b[31m": 7}}')
        lock = open(self.folder / "out/.sweep.lock", "w", encoding="utf-8")
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)
        good = self.words()
        for words, text in ((self.words(mode="other"), "is of another command"),
                            (self.words("--output", "foreign"), "no result of a sweep"),
                            (self.words(sizes="2"), "another sweep is at work there"),
                            (self.words("--grid", "size=4"), "--grid size is there twice"),
                            (self.words("--grid", "x"), "NAME=VALUE"),
                            (self.words(sizes="2,,3"), "has an empty value"),
                            (self.words(sizes="a/b,a_b"), "two points would have the result"),
                            (self.words("--timeout", "0"), "timeout 0"),
                            (self.words("--retries", "-1"), "retries -1"),
                            (self.words("--file", "bad.json"), "known are command, grid"),
                            (self.words("--file", "escape.json"), "grid: a?[31m"),
                            (self.words("--file", "no.json"), "no.json"),
                            (good[:good.index("--")], "-- COMMAND is missing"),
                            (self.words("--output", "new")[:-3] + ["./none"], "cannot be started"),
                            (self.words("--bogus"), "--bogus")):
            with self.subTest(text=text):
                done = self.run_words(words)
                self.assertEqual(done.returncode, 2, done)
                self.assertRegex(done.stderr, r"\Asweep.py: error: [^\n\x1b]*\n\Z")
                self.assertIn(text, done.stderr)
        self.assertEqual(self.sizes(), ["1"])


if __name__ == "__main__":
    unittest.main()

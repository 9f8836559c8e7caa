#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/plot.py --compare, and the test behind it, on data whose differences are known."""

import contextlib
import io
import itertools
import json
import math
import pathlib
import random
import tempfile
import unittest

import result_fixtures as fixtures
from plots import results
from plots.rank_test import critical_value, ratio_interval


def samples(median, spread, count, seed):
    chance = random.Random(seed)
    return [round(median * math.exp(chance.gauss(0, spread)), 2) for _ in range(count)]


def measured(name, values, **fields):
    middle = sorted(values)[len(values) // 2]
    return {**fixtures.row(name, 1.0, **fields), "samples_us": values, "median_us": middle}


class RankTest(unittest.TestCase):
    def test_critical_values_are_those_of_all_orders(self):
        for n, m in ((1, 1), (3, 4), (5, 5), (2, 7)):
            ranks = [sum(place) - n * (n - 1) // 2
                     for place in itertools.combinations(range(n + m), n)]
            for level in (0.005, 0.025, 0.1, 0.3):
                k = critical_value(n, m, level)
                share = [sum(u <= each for u in ranks) / len(ranks) for each in (k, k + 1)]
                self.assertLessEqual(share[0] if k >= 0 else 0.0, level)
                self.assertGreater(share[1], level)

    def test_known_critical_values(self):
        # Of the usual tables of the two-sided test: 5 % and 1 %.
        self.assertEqual(critical_value(10, 10, 0.025), 23)
        self.assertEqual(critical_value(20, 20, 0.025), 127)
        self.assertEqual(critical_value(20, 20, 0.005), 105)

    def test_the_approximation_continues_the_exact_values(self):
        exact = critical_value(60, 66, 0.005)
        self.assertLess(abs(exact / (60 * 66) - critical_value(60, 67, 0.005) / (60 * 67)), 0.003)

    def test_interval_holds_the_ratio_as_often_as_it_says(self):
        held = 0
        for seed in range(300):
            low, high = ratio_interval(samples(100, 0.1, 12, (seed * 2)),
                                       samples(130, 0.1, 12, (seed * 2 + 1)), 0.9)
            held += low <= 1.3 <= high
        self.assertGreater(held, 0.85 * 300)
        self.assertLess(held, 0.96 * 300)  # neither is it wider than need be

    def test_few_samples_say_nothing(self):
        self.assertEqual(ratio_interval([1, 1, 1], [9, 9, 9], 0.99), (0.0, math.inf))


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def compare(self, a, b, *options):
        for name, document in (("a.json", a), ("b.json", b)):
            (self.folder / name).write_text(json.dumps(document))
        return fixtures.run_plot("--compare", self.folder / "a.json", self.folder / "b.json",
                                 *options)

    def verdict(self, done):
        lines = [line for line in done.stdout.splitlines() if line.startswith("dispatch")]
        self.assertEqual(len(lines), 1, done)
        return lines[0].split()[-1]

    def of(self, values, **fields):
        return fixtures.document([measured("dispatch", values, transport="shm", **fields)])

    def test_planted_differences_are_found(self):
        for factor, verdict in ((1.3, "slower"), (1 / 1.3, "faster"), (1.0, "same"),
                                (1.02, "same")):
            done = self.compare(self.of(samples(500, 0.03, 25, 1)),
                                self.of(samples(500 * factor, 0.03, 25, 2)))
            self.assertEqual(self.verdict(done), verdict, done.stdout)
            self.assertEqual(done.returncode, 0)

    def test_what_noise_hides_is_unsure(self):
        few = self.compare(self.of([100, 101, 102]), self.of([200, 201, 202]))
        self.assertEqual(self.verdict(few), "unsure")
        wide = self.compare(self.of(samples(500, 0.4, 9, 1)), self.of(samples(560, 0.4, 9, 2)))
        self.assertEqual(self.verdict(wide), "unsure")

    def test_the_threshold_decides_what_counts(self):
        a, b = self.of(samples(500, 0.01, 25, 1)), self.of(samples(540, 0.01, 25, 2))
        self.assertEqual(self.verdict(self.compare(a, b)), "same")
        self.assertEqual(self.verdict(self.compare(a, b, "--threshold", "0.05")), "slower")

    def test_what_changes_between_runs_does_not_count(self):
        a, b = self.of(samples(500, 0.02, 25, 1)), self.of(samples(650, 0.02, 25, 2))
        again = self.folder / "again.json"
        for median, verdict in ((500, "slower"), (600, "slower"), (700, "unsure"), (350, "unsure")):
            again.write_text(json.dumps(self.of(samples(median, 0.02, 25, 3))))
            self.assertEqual(self.verdict(self.compare(a, b, "--again", again)), verdict, median)
        again.write_text(json.dumps(b))
        self.assertEqual(self.verdict(self.compare(a, b, "--again", again)), "unsure")
        self.assertEqual(self.verdict(self.compare(a, a, "--again", again)), "same")

    def test_equal_data_is_never_slower_or_faster(self):
        done = self.compare(fixtures.exchange(), fixtures.exchange(), "--fail-on-slower")
        self.assertEqual(done.returncode, 0)
        self.assertIn("0 faster, 0 slower", done.stdout)
        self.assertIn(f"{len(fixtures.exchange()['results'])} rows", done.stdout)

    def test_exit_code_on_request(self):
        a, b = self.of(samples(500, 0.03, 25, 1)), self.of(samples(900, 0.03, 25, 2))
        self.assertEqual(self.compare(a, b, "--fail-on-slower").returncode, 1)
        self.assertEqual(self.compare(b, a, "--fail-on-slower").returncode, 0)

    def test_rows_are_matched_by_what_they_are(self):
        values = samples(500, 0.03, 15, 1)
        a = fixtures.document([measured("dispatch", values, transport=transport, dtype=dtype)
                               for transport in ("shm", "mpi") for dtype in ("fp32", "bf16")])
        b = fixtures.document(list(reversed(a["results"]))[1:] +
                              [measured("combine", values, transport="shm")])
        done = self.compare(a, b)
        self.assertIn("3 rows: 0 faster, 0 slower, 3 same", done.stdout)
        self.assertIn("only in A: 1, only in B: 1", done.stdout)
        copies = [fixtures.document([measured("copy_bound", values, workload=f"uniform, {way}")])
                  for way in ("memcpy", "non-temporal")]
        self.assertIn("1 rows", self.compare(*copies).stdout)
        one = self.compare(a, b, "--where", "transport=shm")
        self.assertIn("2 rows", one.stdout)

    def test_differences_of_machine_and_commit_are_told(self):
        a = self.of(samples(500, 0.03, 15, 1))
        b = dict(self.of(samples(500, 0.03, 15, 1), router="token"), commit="fedcba",
                 machine={"cpu": "b", "cores": 2})
        done = self.compare(a, b)
        for text in ("note: commit differs: 0123456789ab / fedcba", "note: machine differs",
                     "only one file tells router"):
            self.assertIn(text, done.stdout)

    def test_bad_input_is_one_line(self):
        good, other = self.of([1.0]), fixtures.document([measured("layer", [1.0])])
        twice = fixtures.document(good["results"] * 2)
        wrong = self.of([1.0], wrong=3)
        for a, b, options, text in (
                (good, other, [], "no measured row in common"), (good, twice, [], "two rows of"),
                (good, wrong, [], "failed its check"), (good, {}, [], "has to be a list of rows"),
                (good, good, ["--where", "dtype"], "KEY=VALUE"),
                (good, good, ["--where", "dtype=x"], "no row has dtype=x"),
                (good, good, ["--threshold", "-1"], "--threshold"),
                (good, good, ["--threshold", "x"], "--threshold"),
                (good, good, ["more.json"], "takes two files")):
            fixtures.check_refused(self, self.compare(a, b, *options), text)


class SummariseTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "result.json"

    def summarised(self, document, *options):
        self.path.write_text(json.dumps(document))
        self.assertEqual(fixtures.summarise.main([str(self.path), *options]), 0)
        self.assertEqual(list(self.path.parent.iterdir()), [self.path])
        return json.loads(self.path.read_text())

    def test_samples_become_quantiles_and_all_else_stays(self):
        values = [30.0, 10.0, 20.0, 50.0, 40.0]
        before = fixtures.document([measured("layer", values), {"name": "told", "samples_us": []}])
        after = self.summarised(before)
        row = dict(before["results"][0], samples=5,
                   quantiles_us=[10.0, 14.0, 20.0, 30.0, 40.0, 46.0, 50.0])
        del row["samples_us"]
        self.assertEqual(after, dict(before, results=[row, {"name": "told"}]))
        self.assertEqual(self.summarised(after), after)  # again: nothing more to do

    def test_a_row_a_line_with_the_samples_where_they_are_needed(self):
        before = fixtures.exchange()
        self.assertEqual(self.summarised(before, "--keep-samples"), before)
        self.assertEqual(self.path.read_text().count('\n  {"name"'), len(before["results"]))

    def test_bad_input_is_one_line_and_the_file_stays(self):
        self.path.write_text("no JSON")
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            self.assertEqual(fixtures.summarise.main([str(self.path)]), 2)
        self.assertRegex(told.getvalue(), r"\Asummarise.py: error: [^\n]*\n\Z")
        self.assertEqual(self.path.read_text(), "no JSON")

    def test_plots_say_least_and_most_of_quantiles(self):
        row = measured("layer", [2.0, 9.0, 1.0])
        for each in (row, fixtures.summarise.summarised(row)):
            self.assertEqual(results.least_and_most(each), (1.0, 9.0))
            self.assertEqual(results.sample_count(each), 3)
        with self.assertRaises(results.BadInput):
            results.least_and_most({"name": "layer"})


if __name__ == "__main__":
    unittest.main()

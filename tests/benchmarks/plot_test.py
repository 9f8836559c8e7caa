#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/plot.py draws each kind of plot from small results, the same file each time.

Exit code 77: skipped, as there is no matplotlib.
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import result_fixtures as fixtures

# What has to be readable in each kind of plot.
WORDS = {
    "exchange": ["HashEP, shm", "HashEP, mpi", "pack + alltoallv + unpack", "local copy (bound)",
                 "alltoallv (raw, equal bytes)", "tokens a rank (rows of 4 KiB)", "GB/s", "4K"],
    "phases": ["dispatch", "shared_experts", "gemm_alone", "copy_bound", "ahead", "inline",
               "other", "ms"],
    "load": ["bound 4.00", "balanced, both", "experts by falling load", "2.50", "run"],
    "plan": ["between nodes, a row once a node", "bound of any table", "64"],
    "scaling": ["strong: the same tokens on more ranks", "weak: the same tokens a rank",
                "predicted", "predicted, low to high", "ranks share cores", "imbalance",
                "gemm_shape", "efficiency, % (100: 1 rank)", "512"],
    "simulation": ["mpi (flat)", "hier (once a node)", "combine, top-6", "3.3 x", "512"],
    "peers": ["HashEP", "PyTorch", "fp32, f 4096", "bf16, f 1024"],
    "traffic": ["4 ranks, 2 a node", "source rank", "target node", "KiB a step"],
}


def texts_of(path):
    """All that can be read in an SVG."""
    return "\n".join(re.findall(r">([^<>\n]+)</text>", path.read_text()))


class PlotTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.files = fixtures.write_all(cls.folder)

    def test_every_kind_is_found_and_drawn(self):
        self.assertEqual(set(WORDS), set(self.files))
        for kind, files in self.files.items():
            with self.subTest(kind=kind):
                output = self.folder / f"{kind}.svg"
                done = fixtures.run_plot(*files, "--output", output)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                texts = texts_of(output)
                for word in WORDS[kind]:
                    self.assertIn(word, texts)
                self.assertLess(output.stat().st_size, 150_000)
                self.assertFalse(re.search("dc:date|Matplotlib v", output.read_text()))

    def test_results_with_quantiles_are_drawn_alike(self):
        for kind in ("exchange", "phases", "scaling", "peers"):
            short = []
            for path in self.files[kind]:
                short.append(self.folder / f"short-{path.name}")
                short[-1].write_bytes(path.read_bytes())
            self.assertEqual(fixtures.summarise.main([str(path) for path in short]), 0)
            one, two = self.folder / "samples.svg", self.folder / "quantiles.svg"
            for files, output in ((self.files[kind], one), (short, two)):
                done = fixtures.run_plot(kind, *files, "--output", output)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(one.read_bytes(), two.read_bytes(), kind)

    def test_whose_efficiency_is_100_percent(self):
        predicted = fixtures.predicted()
        for row in predicted["results"]:
            row["base_ranks"] = 8
        path = self.folder / "base8.json"
        path.write_text(json.dumps(predicted))
        output = self.folder / "base8.svg"
        for files, text in (([path], "(100: 8 ranks)"),
                            ([self.files["scaling"][0], path],
                             "(100: 1 rank measured, 8 ranks predicted)")):
            done = fixtures.run_plot(*files, "--output", output)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("efficiency, % " + text, texts_of(output))

    def test_the_same_bytes_in_another_process(self):
        words = ["peers", *map(str, self.files["peers"]), "--output"]
        one, two = self.folder / "one.svg", self.folder / "two.svg"
        self.assertEqual(fixtures.run_plot(*words, one).returncode, 0)
        subprocess.run([sys.executable, "-B", fixtures.plot.__file__, *words, two], check=True,
                       env={**os.environ, "PYTHONHASHSEED": "7"}, timeout=120)
        self.assertEqual(one.read_bytes(), two.read_bytes())

    def test_png_options_and_what_is_left_out(self):
        both = fixtures.exchange()
        both["results"] += [{**row, "dtype": "bf16"} for row in both["results"]]
        path = self.folder / "both.json"
        path.write_text(json.dumps(both))
        done = fixtures.run_plot("exchange", "--output", self.folder / "e.png", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("left out: dtype=bf16", done.stderr)
        self.assertTrue((self.folder / "e.png").read_bytes().startswith(b"\x89PNG"))
        peers = self.files["peers"][0]
        done = fixtures.run_plot(peers, "--where", "dtype=bf16", "--output", self.folder / "b.svg")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("bf16", texts_of(self.folder / "b.svg"))
        self.assertNotIn("4096", texts_of(self.folder / "b.svg"))

    def test_a_run_has_phases_and_load(self):
        run = self.files["load"][1]
        for words in ([run], ["load", run]):
            output = self.folder / "run.svg"
            done = fixtures.run_plot(*words, "--output", output)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("max / mean load" if "load" in words else "shared_experts",
                          texts_of(output))

    def test_traffic_between_nodes_once(self):
        table = self.folder / "nodes.csv"
        table.write_text("".join(f"{line}\n" for line in fixtures.traffic().splitlines()
                                 if ",rank," not in line))
        output = self.folder / "nodes.svg"
        done = fixtures.run_plot(table, "--dedup", "--output", output)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("target node", texts_of(output))

    def test_bad_input_is_one_line_and_leaves_nothing(self):
        empty = self.folder / "empty.json"
        empty.write_text(json.dumps(fixtures.document([])))
        odd = self.folder / "odd.json"
        odd.write_text(json.dumps(fixtures.document([{"name": "strong", "ranks": "two"}])))
        layer, traffic = self.files["phases"][0], self.files["traffic"][0]
        output = self.folder / "none.svg"
        for words, text in (([layer, "--output", self.folder / "x.pdf"], "FILE.svg or FILE.png"),
                            ([layer], "--output is missing"), (["--output", output], "FILE..."),
                            ([empty, "--output", output], "no row in it"),
                            ([self.folder / "no.json", "--output", output], "cannot be read"),
                            ([odd, "--output", output], "ranks has to be a number"),
                            (["exchange", layer, "--output", output], "bytes has to be a number"),
                            (["traffic", layer, "--output", output], "not a file of hashep plan"),
                            ([traffic, "--dedup", "--output", output], "--dedup is for traffic"),
                            (["load", layer, "--output", output], "no load in it"),
                            ([layer, "--where", "f=1", "--output", output], "no row has f=1"),
                            ([layer, "--output", self.folder / "no/x.svg"], "cannot be written"),
                            ([layer, "--bogus"], "--bogus")):
            with self.subTest(words=words):
                fixtures.check_refused(self, fixtures.run_plot(*words), text)
        self.assertFalse(output.exists())
        self.assertEqual(list(self.folder.glob("*.tmp*")), [])


if __name__ == "__main__":
    if not importlib.util.find_spec("matplotlib"):
        # Debian's package is for Debian's Python, which may not be the first one here.
        debian = "/usr/bin/python3"
        if sys.executable != debian and os.path.exists(debian):
            os.execv(debian, [debian, __file__])
        print("plot_test: skipped: no matplotlib (Debian: python3-matplotlib)")
        sys.exit(77)
    unittest.main()

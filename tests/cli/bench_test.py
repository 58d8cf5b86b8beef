#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""switchyard bench from outside: flags, errors, JSON, pictures, children. No time is asserted."""
import json
import math
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PROGRAM = Path(os.environ["SY_BUILD_DIR"], "bin", "switchyard")
MODEL = Path(os.environ["SY_SOURCE_DIR"], "models", "actions", "actions-q8_0.gguf")
SMALL = ("--prefill", "24", "--decode", "4", "--repeat", "2", "--buffer", "8")
FAKE_PEER = """#!/bin/sh
echo "$@" >>"$0.calls"
echo '[ { "build": 1, "avg_ns": 5, "avg_ts": 1000.5, "stddev_ts": 0 } ]'
"""


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith("SWITCHYARD_")}


def bench(*words, **more):
    return subprocess.run([str(PROGRAM), "bench", *map(str, words)], capture_output=True, text=True,
                          env={**environment(), **more}, timeout=300, check=False)


class Bench(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sy-bench-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def measured(self, *words):
        path = self.folder / "out.json"
        answer = bench(MODEL, *words, "--json", path)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(path.read_text()), answer.stdout

    def fake_peer(self):
        path = self.folder / "bin" / "llama-bench"
        path.parent.mkdir()
        path.write_text(FAKE_PEER)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def test_wrong_usage_is_2_with_a_sentence(self):
        for words, text in ((["--prefill", "x"], "--prefill cannot be \"x\""),
                            (["--decode", "1,,2"], "--decode cannot be"),
                            (["--depth", "-1"], "--depth cannot be"),
                            (["--batch", "0"], "from 1 to"),
                            (["--threads", "1,0"], "from 1 to"),
                            (["--repeat", "0"], "from 1 to"),
                            (["--prefill", "0", "--decode", "0"], "nothing to measure"),
                            (["--compare", "other"], "no comparison with \"other\""),
                            (["--frobnicate"], "there is no flag")):
            answer = bench(MODEL, *words)
            self.assertEqual(answer.returncode, 2, (words, answer.stderr))
            self.assertIn(text, answer.stderr)
            self.assertEqual(answer.stdout, "")
        answer = bench()
        self.assertEqual(answer.returncode, 2)
        self.assertIn("no model was given", answer.stderr)

    def test_what_is_missing_is_one_sentence_before_measuring(self):
        answer = bench(MODEL, "--compare", "llama.cpp", PATH=str(self.folder))
        self.assertEqual(answer.returncode, 1)
        self.assertRegex(answer.stderr, r"^switchyard: llama-bench was not found in PATH\.")
        answer = bench(MODEL, "--compare", f"llama.cpp={self.folder}")
        self.assertIn(f"was not found in {self.folder}", answer.stderr)
        answer = bench(MODEL, "--plot", self.folder / "a.png", PATH=str(self.folder))
        self.assertEqual(answer.returncode, 1)
        self.assertIn("rsvg-convert", answer.stderr)
        answer = bench(self.folder / "no.gguf", *SMALL)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("no.gguf", answer.stderr)

    def test_help_names_the_flags(self):
        text = bench("--help").stdout
        for flag in ("--prefill", "--depth", "--batch", "--start", "--profile", "--compare",
                     "--cache-type-k", "--without"):
            self.assertIn(flag, text)
        self.assertEqual(len(re.findall(r"--threads N", text)), 1)

    def test_tables_tell_cells_limits_and_energy(self):
        answer = bench(MODEL, *SMALL, "--depth", "0,16", "--threads", "1")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(answer.stderr, "")
        for text in ("prefill 24 ", "decode 4 ", "decode 4 at 16 ", "limits of 1 thread: read",
                     "energy: ", "M parameters", "prefill on "):
            self.assertIn(text, answer.stdout)

    def check_cell(self, cell, n_repeats):
        self.assertEqual(len(cell["tokens_per_s"]), n_repeats)
        self.assertEqual(cell["best"], max(cell["tokens_per_s"]))
        self.assertEqual(cell["least"], min(cell["tokens_per_s"]))
        for key, value in cell.items():
            if isinstance(value, float):
                self.assertTrue(math.isfinite(value) and value >= 0, key)
        for key in ("best", "median", "read_gb_per_s", "int8_peak_gmac_per_s", "gb_per_s",
                    "f32_peak_gmac_per_s", "attainable_tokens_per_s", "share_of_roofline",
                    "weight_bytes_per_token", "int8_macs_per_token", "f32_macs_per_token"):
            self.assertGreater(cell[key], 0, key)
        self.assertIn(cell["bound_by"], ("memory", "compute"))
        for key in ("process_us_per_token", "host_us_per_token"):
            self.assertEqual(len(cell[key]), n_repeats)
            self.assertGreater(min(cell[key]), 0)

    def test_json_has_every_cell(self):
        out, _ = self.measured(*SMALL, "--depth", "0,16", "--batch", "1,3", "--threads", "1,2")
        self.assertEqual((out["format"], out["version"]), ("switchyard-bench", 1))
        self.assertEqual(out["architecture"], "llama")
        self.assertFalse(out["interrupted"])
        cells = [(c["kind"], c["threads"], c["tokens"], c["depth"], c["sequences"])
                 for c in out["series"]]
        self.assertEqual(cells, [cell for t in (1, 2) for cell in
                                 [("prefill", t, 24, 0, 1)] +
                                 [("decode", t, 4, d, b) for d in (0, 16) for b in (1, 3)]])
        for cell in out["series"]:
            self.check_cell(cell, 2)
            self.assertNotIn("operators", cell)
            self.assertEqual(cell["written_bytes_per_token"] + cell["read_bytes_per_token"], [0] * 4)
        device, = out["devices"]
        self.assertIn(device["delegate"], ("cpu-xnnpack", "reference"))

    def test_bytes_to_and_from_devices_are_told(self):
        out, text = self.measured(*SMALL, "--threads", "1", "--plugins", PROGRAM.parents[1] /
                                  "fake-plugins", "--delegate", "fake-npu")
        prefill, decode = out["series"]
        self.assertIn("fake-npu", [d["delegate"] for d in out["devices"]])
        for cell in (prefill, decode):
            self.check_cell(cell, 2)
            self.assertGreaterEqual(min(cell["written_bytes_per_token"]), 4)  # the id
        self.assertLess(max(decode["read_bytes_per_token"]), 4 * 512)  # no row of logits
        self.assertRegex(text, r"host: 1 thread, decode 4: [0-9.]+ us/token .* bytes/token to devices")
        self.assertRegex(text, r"(?m)^fake-npu: .*, driver ")

    def test_work_is_counted_from_the_graph(self):
        out, _ = self.measured("--prefill", "0", "--decode", "4", "--depth", "0,16", "--batch", "1,2",
                               "--threads", "1", "--repeat", "1", "--buffer", "8")
        near, near_two, deep, _ = out["series"]
        # every weight once a token; of the embedding, which is the output as well, one row more
        self.assertAlmostEqual(near["weight_bytes_per_token"], out["weight_bytes"],
                               delta=0.01 * out["weight_bytes"])
        self.assertAlmostEqual(near_two["weight_bytes_per_token"],
                               near["weight_bytes_per_token"] / 2,
                               delta=0.01 * near["weight_bytes_per_token"])
        self.assertEqual(near_two["int8_macs_per_token"], near["int8_macs_per_token"])
        # 6 layers, 128 keys and 128 values of 2 bytes: decode starts at 1 token or at 16
        row = 6 * 2 * 128 * 2
        self.assertAlmostEqual(near["state_bytes_per_token"], row * (2 + 3 + 4 + 5) / 4)
        self.assertAlmostEqual(deep["state_bytes_per_token"], row * (17 + 18 + 19 + 20) / 4)

    def test_cache_types_reach_the_count(self):
        out, _ = self.measured(*SMALL, "--threads", "1", "--cache-type-k", "f32", "--cache-type-v",
                               "q8_0")
        self.assertEqual((out["key_type"], out["value_type"]), ("f32", "Q8_0"))

    def test_profile_sums_up(self):
        out, text = self.measured(*SMALL, "--threads", "1", "--profile")
        for cell in out["series"]:
            self.assertEqual(sum(s["nodes"] for s in cell["segments"]),
                             sum(o["nodes"] for o in cell["operators"]))
            for key in ("weight_bytes_per_token", "int8_macs_per_token", "f32_macs_per_token"):
                self.assertAlmostEqual(sum(o[key] for o in cell["operators"]), cell[key],
                                       delta=1e-6 * cell[key])
            told = sum(o["us_per_token"] for o in cell["operators"])
            mean = 1e6 * sum(1 / s for s in cell["tokens_per_s"]) / len(cell["tokens_per_s"])
            self.assertLessEqual(told, mean * 1.0001)
            if "cpu-xnnpack" in out["decode_on"]:
                self.assertGreater(told, 0)
        self.assertIn("Linear Q8_0 [512, 256]", text)

    def test_without_an_answer_the_profile_says_so(self):
        out, text = self.measured(*SMALL, "--threads", "1", "--profile", "--without", "cpu-xnnpack")
        self.assertIn("reference", out["decode_on"])
        self.assertIn("No delegate of this plan tells its nodes' times apart.", text)

    def test_start_runs_children(self):
        out, text = self.measured("--prefill", "32", "--decode", "0", "--repeat", "2", "--start",
                                  "--buffer", "8",
                                  "--threads", "1")
        start, = out["starts"]
        self.assertEqual(len(start["first_token_ms"]), 2)
        self.assertTrue(all(ms > 0 for ms in start["first_token_ms"]))
        self.assertGreater(start["peak_kib"], 4000)  # the weights are that many
        self.assertGreater(start["anonymous_kib"] + start["file_kib"], 0)
        self.assertEqual(start["segments_compiled"] + start["segments_from_blobs"], 0)
        alone, _ = self.measured("--prefill", "0", "--decode", "0", "--repeat", "1", "--start")
        self.assertEqual((len(alone["starts"]), alone["series"], alone["devices"]), (1, [], []))
        self.assertIn("process start to first token", text)
        answer = bench(MODEL, "--start", "--", "x")
        self.assertEqual(answer.returncode, 2)

    def test_pictures_are_well_formed(self):
        path = self.folder / "a & b.svg"
        answer = bench(MODEL, *SMALL, "--depth", "0,8,16", "--batch", "1,2", "--threads", "1,2",
                       "--plot", path)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        root = ElementTree.parse(path).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        points = root.findall(".//{http://www.w3.org/2000/svg}circle")
        self.assertEqual(len(points), 2 * 7 + 2 * 6)  # all cells; decode cells once more
        for point in points:
            self.assertTrue(0 < float(point.get("cx")) < float(root.get("width")))
            self.assertTrue(0 < float(point.get("cy")) < float(root.get("height")))
        titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
        self.assertTrue(any(t.startswith("decode 4 at 16, 2 together, threads 2:") for t in titles))
        for label in root.iter("{http://www.w3.org/2000/svg}text"):
            self.assertNotRegex(label.text or "", r"nan|inf")

    @unittest.skipUnless(shutil.which("rsvg-convert"), "rsvg-convert is not installed")
    def test_png(self):
        path = self.folder / "a.png"
        answer = bench(MODEL, *SMALL, "--threads", "1", "--plot", path)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(path.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["a.png"])

    def test_compare_runs_the_peer_between_samples(self):
        peer = self.fake_peer()
        for place in (peer, peer.parent, self.folder):
            out, text = self.measured(*SMALL, "--threads", "1", "--batch", "1,2", "--compare",
                                      f"llama.cpp={place}")
            self.assertEqual([c.get("llama_cpp_tokens_per_s") for c in out["series"]],
                             [[1000.5, 1000.5], [1000.5, 1000.5], None])
            self.assertIn("ratio", text)
        calls = Path(f"{peer}.calls").read_text().splitlines()
        self.assertEqual(len(calls), 12)
        self.assertEqual(calls[0], f"-m {MODEL} -p 24 -n 0 -d 0 -t 1 -ctk f16 -ctv f16 -r 1 -o json")
        self.assertEqual(calls[1], f"-m {MODEL} -p 0 -n 4 -d 0 -t 1 -ctk f16 -ctv f16 -r 1 -o json")

    def test_interrupt_tells_what_there_is(self):
        path = self.folder / "out.json"
        with subprocess.Popen([str(PROGRAM), "bench", str(MODEL), "--prefill", "24", "--decode", "4",
                               "--repeat", "64", "--buffer", "8", "--threads", "1", "--progress",
                               "--json", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=environment()) as process:
            for line in process.stderr:
                if "round 2 of" in line:
                    break
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0)
        self.assertIn("Interrupted", stdout)
        out = json.loads(path.read_text())
        self.assertTrue(out["interrupted"])
        self.assertTrue(1 <= len(out["series"][0]["tokens_per_s"]) < 64)

    def test_progress_stays_off_without_a_terminal(self):
        self.assertEqual(bench(MODEL, *SMALL, "--threads", "1").stderr, "")
        told = bench(MODEL, *SMALL, "--threads", "1", "--progress").stderr
        self.assertIn("threads 1, round 1 of 2: prefill 24", told)


if __name__ == "__main__":
    unittest.main()

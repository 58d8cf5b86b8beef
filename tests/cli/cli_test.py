#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program from outside: verbs, flags, exit statuses, configuration, plugins, privilege."""
import json
import os
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

PROGRAM = Path(os.environ["SY_BUILD_DIR"], "bin", "switchyard")
PLUGINS = Path(os.environ["SY_BUILD_DIR"], "test-plugins")
SOURCE = Path(os.environ["SY_SOURCE_DIR"])
MANIFEST = "[plugin]\nname = cpu-test\nabi_min = 0.9\n[options]\nspeed = how fast\n"
NOBODY = 65534


def run(*words, program=PROGRAM, **environment):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SWITCHYARD_")}
    return subprocess.run([str(program), *map(str, words)], capture_output=True, text=True,
                          env={**inherited, **environment}, timeout=120, check=False)


class Sandbox(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sy-cli-"))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    def place(self, variant="good", name="cpu-test", manifest=MANIFEST):
        """A plugin directory with one plugin; answers the directory."""
        self.write(f"{name}/plugin.ini", manifest)
        target = self.folder / name / f"{name}.so"
        shutil.copyfile(PLUGINS / f"{variant}.so", target)
        target.chmod(0o644)
        return self.folder

    def delegates(self, *words, **environment):
        answer = run("delegates", "--json", "--short", *words, **environment)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        report = json.loads(answer.stdout)
        return {d["name"]: d for d in report["delegates"]}, report


class Verbs(Sandbox):
    def test_help_and_version(self):
        answer = run("--help")
        self.assertEqual(answer.returncode, 0)
        self.assertIn("delegates", answer.stdout)
        self.assertRegex(run("--version").stdout, r"^switchyard \d+\.\d+\.\d+$")
        for verb in ("delegates", "conf"):
            answer = run(verb, "--help")
            self.assertEqual(answer.returncode, 0)
            self.assertIn("SWITCHYARD_THREADS", answer.stdout)

    def test_wrong_usage_is_2_with_a_hint(self):
        for words, text in ((["delgates"], "Did you mean delegates?"),
                            (["delegates", "--jsn"], "Did you mean --json?"),
                            (["delegates", "extra"], "too many arguments"),
                            (["delegates", "--threads"], "needs a value"),
                            (["delegates", "--threads", "many"], "cannot be \"many\""),
                            (["delegates", "--threads=257"], "from 0 to 256"),
                            (["delegates", "--json=maybe"], "1 or 0"),
                            (["conf"], "too few arguments"),
                            (["conf", "chek"], "no such action"),
                            (["conf", "check"], "name 1 to"), ([], "usage")):
            answer = run(*words)
            self.assertEqual(answer.returncode, 2, words)
            self.assertIn(text, answer.stderr, words)
            self.assertEqual(answer.stdout, "", words)

    def test_a_bad_variable_is_named(self):
        answer = run("delegates", SWITCHYARD_THREADS="many")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("SWITCHYARD_THREADS", answer.stderr)

    def test_flags_beat_variables(self):
        shown = run("conf", "show", "-t", "2", SWITCHYARD_THREADS="3").stdout
        self.assertIn("threads = 2", shown)
        self.assertIn("threads = 3", run("conf", "show", SWITCHYARD_THREADS="3").stdout)

    def test_affinity_is_checked_and_obeyed(self):
        self.assertIn("affinity = 0-1,3", run("conf", "show", "--affinity", "0-1,3").stdout)
        answer = run("conf", "show", "--affinity", "fast")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("Write none, performance, or CPUs as in", answer.stderr)
        answer = run("delegates", "--affinity", "1023")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("CPU 1023 of affinity = 1023 is none that this process may use", answer.stderr)
        cpu = min(os.sched_getaffinity(0))
        self.assertEqual(run("delegates", "--affinity", str(cpu)).returncode, 0)


class Configuration(Sandbox):
    def test_shipped_files_are_fine(self):
        files = [SOURCE / "conf/default.ini", *sorted((SOURCE / "conf/samples").glob("*.ini"))]
        answer = run("conf", "check", *files)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(answer.stdout.count(": fine"), 4)

    def test_every_problem_is_shown_with_its_line(self):
        path = self.write("bad.ini", "[runtime]\nthread = 2\nlog_level = inf\n[polcy]\n")
        answer = run("conf", "check", path)
        self.assertEqual(answer.returncode, 1)
        for text in (f"{path}:2: Unknown key", f"{path}:3: log_level", f"{path}:4: Unknown section",
                     "Did you mean \"threads\"?", "Did you mean info?", "Did you mean [policy]?"):
            self.assertIn(text, answer.stderr)

    def test_layers_may_not_widen(self):
        vendor = self.write("vendor.ini", "[budget]\nnpu = 1 GiB\n")
        oem = self.write("oem.ini", "\n[budget]\nnpu = 2 GiB\n")
        self.assertEqual(run("conf", "check", vendor, oem).returncode, 0)
        answer = run("conf", "check", "--layers", vendor, oem)
        self.assertEqual(answer.returncode, 1)
        self.assertIn(f"{oem}:3", answer.stderr)
        self.assertIn(f"{vendor}:2", answer.stderr)

    def test_flags_are_the_last_layer(self):
        admin = self.write("admin.ini", "[runtime]\nthreads = 2\n[order]\ndefault = cpu\n")
        answer = run("conf", "show", "--config", admin, "-t", "3")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("command line", answer.stderr)
        answer = run("conf", "show", "--config", admin, "--backend", "gpu")
        self.assertEqual(answer.returncode, 1)
        shown = run("conf", "show", "--config", admin, "--delegate", "cpu-xnnpack").stdout
        self.assertIn("default = cpu-xnnpack", shown)
        self.assertIn("# command line:", shown)

    def test_config_from_the_environment(self):
        path = self.write("app.ini", "[runtime]\nthreads = 7\n")
        self.assertIn(f"# {path}:2\nthreads = 7", run("conf", "show", SWITCHYARD_CONFIG=str(path)).stdout)
        self.assertEqual(run("conf", "show", SWITCHYARD_CONFIG="/nowhere.ini").returncode, 1)


class Delegates(Sandbox):
    def test_a_dropped_plugin_is_found_and_its_removal_survived(self):
        folder = self.place()
        found, report = self.delegates("--plugins", folder)
        self.assertEqual(found["cpu-test"]["state"], "ready")
        self.assertEqual(found["cpu-test"]["devices"][0]["id"], "dev0")
        self.assertEqual(report["directories"][0]["origin"], "flag")
        shutil.rmtree(folder / "cpu-test")
        found, _ = self.delegates("--plugins", folder)
        self.assertNotIn("cpu-test", found)
        self.assertIn("reference", run("delegates").stdout)

    def test_reasons_reach_the_user(self):
        folder = self.place("null_table")
        text = run("delegates", "--plugins", folder).stdout
        self.assertIn("unwilling", text)
        self.assertIn("the licence of this driver has run out", text)

    def test_a_plugin_that_cannot_be_used_is_left_out_by_name(self):
        folder = self.place("null_table")
        model = SOURCE / "models/actions/actions-q8_0.gguf"
        answer = run("plan", model, "--plugins", folder, "--without", "cpu-test")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        answer = run("plan", model, "--plugins", folder, "--without", "cpu-tests")
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn("No delegate is called 'cpu-tests'", answer.stderr)

    def test_the_path_variable_is_shown(self):
        folder = self.place()
        found, report = self.delegates(SWITCHYARD_PLUGIN_PATH=f"{folder}:/nowhere")
        self.assertEqual(found["cpu-test"]["state"], "ready")
        origins = [d["origin"] for d in report["directories"]]
        self.assertEqual(origins[:2], ["SWITCHYARD_PLUGIN_PATH"] * 2)
        self.assertFalse(report["directories"][1]["searched"])

    def test_coverage_and_measurement(self):
        folder = self.place()
        answer = run("delegates", "--json", "--measure", "--plugins", folder)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        report = {d["name"]: d for d in json.loads(answer.stdout)["delegates"]}
        device = report["cpu-test"]["devices"][0]
        linear = next(o for o in device["operators"] if o["operator"] == "Linear")
        self.assertEqual(linear["native"], ["f32"])
        self.assertGreater(device["measured"]["linear_us"], 0)
        self.assertGreater(device["measured"]["linear_gflops"], 0)

    def test_every_documented_operator_is_asked_about(self):
        answer = run("delegates", "--json", "--plugins", self.place())
        device = next(d for d in json.loads(answer.stdout)["delegates"] if d["name"] == "cpu-test")
        asked = {o["operator"] for o in device["devices"][0]["operators"]}
        documented = set()
        for line in (SOURCE / "docs/operators.md").read_text().splitlines():
            if line.startswith("| `"):
                documented |= {w.strip("`") for w in line.split("|")[1].split()}
        self.assertGreater(len(documented), 40)
        self.assertEqual(asked, documented)

    def test_verbose_logs_on_stderr(self):
        answer = run("delegates", "--verbose", "--plugins", self.place())
        self.assertIn("registry.plugin", answer.stderr)
        self.assertNotIn("registry.plugin", answer.stdout)

    @unittest.skipIf(os.geteuid() != 0, "only root can make a set-uid program")
    def test_a_privileged_process_believes_no_variable(self):
        folder = self.place()
        config = self.write("app.ini", "[runtime]\nthreads = 7\n")
        program = self.folder / "switchyard"
        shutil.copyfile(PROGRAM, program)
        os.chown(program, NOBODY, NOBODY)
        program.chmod(0o4755)
        answer = run("conf", "show", program=program, SWITCHYARD_CONFIG=str(config))
        if "LeakSanitizer does not work" in answer.stderr:
            self.skipTest("the leak checker cannot look into a privileged process")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        if os.statvfs(self.folder).f_flag & os.ST_NOSUID:
            self.skipTest("the temporary folder ignores set-uid")
        self.assertNotIn("threads = 7", answer.stdout)
        answer = run("delegates", "--json", "--short", program=program,
                     SWITCHYARD_PLUGIN_PATH=str(folder), SWITCHYARD_THREADS="many")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        report = json.loads(answer.stdout)
        self.assertEqual([d["origin"] for d in report["directories"]], ["default"])
        self.assertNotIn("cpu-test", [d["name"] for d in report["delegates"]])
        self.assertEqual(stat.S_IMODE(program.stat().st_mode), 0o4755)


if __name__ == "__main__":
    unittest.main()

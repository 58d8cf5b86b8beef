# SPDX-License-Identifier: Apache-2.0
"""`plan --memory` against what a run of the same settings takes."""
import os
import pathlib
import re
import subprocess
import time

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
SHIPPED = SOURCE / "models/actions/actions-q8_0.gguf"
STORIES = SHARED / "data/models/stories260k/stories260K-f32.gguf"
MIB = 1 << 20
# extra models, by hand: a list of files separated by colons, slow and not in the repository
MORE = [pathlib.Path(p) for p in os.environ.get("SY_MEMORY_MODELS", "").split(":") if p]

CONFIGURATIONS = [(model, *rest)
                  for model, *rest in [
                      (SHIPPED, 128, []),
                      (SHIPPED, 512, ["--cache-type-k", "f32", "--cache-type-v", "f32"]),
                      (SHIPPED, 4096, ["--cache-type-k", "Q8_0", "--cache-type-v", "Q4_0"]),
                      (SHIPPED, 2048, ["--batch-size", "32"]),
                      (SHIPPED, 4096, ["--batch-size", "1024", "--threads", "2"]),
                      (SHIPPED, 128, ["--without", "cpu-xnnpack", "--batch-size", "64"]),
                      (STORIES, 512, []),
                      (STORIES, 2048, ["--cache-type-k", "f32", "--cache-type-v", "bf16"])]
                  + [(model, n, flags) for model in MORE
                     for n, flags in [(512, []), (1024, ["--cache-type-k", "Q8_0",
                                                         "--cache-type-v", "Q8_0"])]]]


def peak_of(command):
    """VmHWM of a process as it was last seen before its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak = max(peak, int(found.group(1)) << 10) if found else peak
        time.sleep(0.002)
    assert process.returncode == 0, process.stderr.read().decode()
    return peak


@pytest.mark.parametrize("model,n_tokens,flags", CONFIGURATIONS)
def test_the_predicted_peak_is_the_measured_one(model, n_tokens, flags):
    if not model.exists():
        pytest.skip(f"{model.name} is not here")
    program = str(BUILD / "bin/switchyard")
    plan = subprocess.run([program, "plan", model, "--memory", "--max-tokens", str(n_tokens),
                           *flags], capture_output=True, text=True, timeout=120, check=True)
    predicted = int(re.search(r"^peak +(\d+) bytes", plan.stdout, re.M).group(1))
    prompt = "a b c d " * (n_tokens // 20)
    measured = peak_of([program, "run", str(model), prompt, "--ctx-size", str(n_tokens), "--raw",
                        "--ignore-eos", *flags])
    print(f"{model.name} {n_tokens} {' '.join(flags)}: predicted {predicted / MIB:.2f} MiB, "
          f"measured {measured / MIB:.2f} MiB, {100 * (predicted / measured - 1):+.1f} %")
    assert abs(predicted - measured) <= max(4 * MIB, 0.02 * measured)


@pytest.mark.parametrize("n_sessions,n_tokens", [(2, 1024), (4, 512)])
def test_the_peak_of_several_sessions(tmp_path, n_sessions, n_tokens):
    program = str(BUILD / "bin/switchyard")
    plan = subprocess.run([program, "plan", str(SHIPPED), "--memory", "--max-tokens", str(n_tokens), "--sessions",
                           str(n_sessions)], capture_output=True, text=True, timeout=120, check=True)
    predicted = int(re.search(r"^peak +(\d+) bytes", plan.stdout, re.M).group(1))
    lines = tmp_path / "lines"
    lines.write_text("\n".join("a b c d " * (n_tokens // 20) for _ in range(n_sessions)))
    measured = peak_of([program, "run", str(SHIPPED), "--requests-file", str(lines), "--parallel", str(n_sessions),
                        "--ctx-size", str(n_tokens), "--raw", "--ignore-eos"])
    print(f"{n_sessions} sessions of {n_tokens}: predicted {predicted / MIB:.2f} MiB, measured {measured / MIB:.2f} MiB")
    assert abs(predicted - measured) <= max(4 * MIB, 0.02 * measured)


def test_a_budget_below_the_need_is_refused_with_what_would_fit():
    result = subprocess.run([str(BUILD / "bin/switchyard"), "run", str(SHIPPED), "x", "-c", "4096",
                             "--memory-budget", "8"], capture_output=True, text=True, timeout=120)
    assert result.returncode != 0
    assert re.search(r"takes \d+ bytes, \d+ more than the budget leaves", result.stderr)
    fits = int(re.search(r"A session of (\d+) tokens fits now", result.stderr).group(1))
    assert "4096 would with keys and values of Q4_0" in result.stderr
    subprocess.run([str(BUILD / "bin/switchyard"), "run", str(SHIPPED), "x", "-c", str(fits),
                    "--memory-budget", "8", "-n", "1"], capture_output=True, timeout=120,
                   check=True)

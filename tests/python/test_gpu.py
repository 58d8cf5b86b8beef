# SPDX-License-Identifier: Apache-2.0
"""Whole models on the GPU delegates, on the devices that this machine has (llvmpipe and PoCL will
do): alone and beside the CPU, logits against transformers, greedy tokens against the reference."""
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from logits_probe import logits_of

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from adapters import ADAPTED, write_adapter  # noqa: E402
from families import ENCODERS, FAMILIES, IDS, write_gguf  # noqa: E402

DELEGATES = ["gpu-vulkan", "gpu-opencl"]
GOLDENS = json.loads((SOURCE / "tests/families/goldens.json").read_text())
GOLDENS_LORA = json.loads((SOURCE / "tests/families/goldens_lora.json").read_text())
PLANS = {
    "alone": "[order]\ndefault = {gpu}\n[policy]\nmode = strict\nfallback = allow\n",
    "products": "[order]\ndefault = cpu, {gpu}\n[policy]\nmode = strict\nfallback = allow\n"
                "[pin]\noperator.switchyard.Linear = {gpu}\n",
    "layers": "[order]\ndefault = cpu, {gpu}\n[policy]\nmode = strict\nfallback = allow\n"
              "[pin]\nnode.blk.0.* = {gpu}\n",
}


@functools.cache
def missing(gpu):
    """Why a delegate cannot be tested here; empty when it can."""
    if not (BUILD / f"plugins/{gpu}/{gpu}.so").exists():
        return f"{gpu} is not built here"
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as ini:
        ini.write(f"[delegate {gpu}]\nsoftware = on\n")
        ini.flush()
        listed = subprocess.run([BUILD / "bin/switchyard", "delegates", "--json", "--config", ini.name],
                                capture_output=True, check=True)
    state = next((p for p in json.loads(listed.stdout)["delegates"] if p["name"] == gpu), None)
    return "" if state and state["state"] == "ready" else f"{gpu} has no device here"


@pytest.fixture(scope="module", params=DELEGATES)
def gpu(request):
    if missing(request.param):
        pytest.skip(missing(request.param))
    return request.param


@pytest.fixture(scope="module")
def config(gpu, tmp_path_factory):
    folder = tmp_path_factory.mktemp(gpu)

    def write(plan):
        path = folder / f"{plan}.ini"
        path.write_text(PLANS[plan].format(gpu=gpu) + f"[delegate {gpu}]\nsoftware = on\n")
        return path
    return write


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    for name in FAMILIES:
        write_gguf(name, folder / f"{name}.gguf")
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_equal_transformers(models, gpu, config, name):
    golden = np.array(GOLDENS["rows"][name])
    found = logits_of(IDS, models / f"{name}.gguf", "--plugins", BUILD / "plugins", "--config",
                      config("alone"))[-len(golden):]
    error = np.abs(found - golden).max() / max(np.abs(golden).max(), 1)
    print(f"largest error {error:.2g} of the largest logit")
    assert error < 1e-4  # ten times closer than what is asked of sums in f32


def run(model, *flags):
    command = [BUILD / "bin/switchyard", "run", model, "--raw", "Once upon a time", "-n", "24", "--ignore-eos",
               "--temp", "0", *flags]
    result = subprocess.run(list(map(str, command)), capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    return result


def greedy(model, *flags):
    return run(model, "--quiet", *flags).stdout


def trained():
    found = sorted((SOURCE / "models/actions").glob("*.gguf"))
    return found + sorted((SHARED / "data/models/stories260k").glob("*.gguf"))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("model", trained(), ids=lambda m: m.stem)
def test_greedy_tokens_of_trained_models(gpu, config, model, plan):
    """The reference's tokens: cpu-xnnpack rounds activations where they meet blocks."""
    assert greedy(model, "--config", config(plan)) == greedy(model, "--delegate", "reference")


DECODERS = [n for n in FAMILIES if n not in ENCODERS]


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_tokens_of_random_models(gpu, config, tmp_path, name):
    model = tmp_path / f"{name}.gguf"
    write_gguf(name, model, characters=True)
    expected = greedy(model, "--delegate", "reference")
    assert len(expected) > 24  # a character each, or <unk>
    for plan in PLANS:
        assert greedy(model, "--config", config(plan)) == expected, plan


@pytest.mark.parametrize("plan", ["products", "layers"])
@pytest.mark.parametrize("name", DECODERS)
def test_mixed_plans_give_the_same_logits(models, gpu, config, name, plan):
    golden = np.array(GOLDENS["rows"][name])
    found = logits_of(IDS, models / f"{name}.gguf", "--plugins", BUILD / "plugins", "--config",
                      config(plan), chunk=7)[-1]
    assert np.abs(found - golden[-1]).max() / max(np.abs(golden).max(), 1) < 1e-4


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", ADAPTED)
def test_logits_with_an_adapter_equal_peft(models, gpu, config, tmp_path, name, plan):
    """Where layers or products alone are on the GPU, the CPU beside it has the adapter, too."""
    write_adapter(name, tmp_path / "lora.gguf")
    golden = np.array(GOLDENS_LORA["rows"][name])
    found = logits_of(IDS, models / f"{name}.gguf", "--plugins", BUILD / "plugins", "--config",
                      config(plan), "--lora", tmp_path / "lora.gguf")[-len(golden):]
    assert np.abs(found - golden).max() / max(np.abs(golden).max(), 1) < 1e-4


@pytest.mark.parametrize("name", ADAPTED)
def test_logits_with_an_adapter_in_halves_equal_the_reference(models, gpu, config, tmp_path, name):
    write_adapter(name, tmp_path / "lora.gguf", np.float16)
    flags = ["--lora", tmp_path / "lora.gguf"]
    expected = logits_of(IDS, models / f"{name}.gguf", *flags)[-1]
    for chunk in (1, 7, len(IDS)):
        found = logits_of(IDS, models / f"{name}.gguf", "--plugins", BUILD / "plugins", "--config",
                          config("alone"), *flags, chunk=chunk)[-1]
        assert np.abs(found - expected).max() / max(np.abs(expected).max(), 1) < 1e-4


def test_a_budget_that_is_too_small(gpu, tmp_path):
    """Refused with the bytes that are missing; where the policy allows it, others run the model."""
    model = SOURCE / "models/actions/actions-q8_0.gguf"
    policy = tmp_path / "policy.ini"
    for fallback in ("error", "warn"):
        policy.write_text(f"[order]\ndefault = {gpu}, cpu\n[policy]\nmode = strict\nfallback = {fallback}\n"
                          f"[delegate {gpu}]\nsoftware = on\nmemory_limit_mib = 3\n")
        result = subprocess.run(list(map(str, [BUILD / "bin/switchyard", "run", model, "--raw", "Once", "-n", "4",
                                               "--ignore-eos", "--temp", "0", "--config", policy])),
                                capture_output=True, text=True)
        assert "missing" in result.stderr
        if fallback == "error":
            assert result.returncode != 0 and f"Delegate '{gpu}' failed to load" in result.stderr
        else:
            assert result.returncode == 0 and f"engine.without delegate={gpu}" in result.stderr
            assert gpu not in result.stderr.split("prefill on")[1]


def test_weights_on_the_device_are_counted_once(gpu, config):
    """Prompt and decoding load units of their own over the same weights."""
    model = SOURCE / "models/actions/actions-q8_0.gguf"
    plan = subprocess.run(list(map(str, [BUILD / "bin/switchyard", "plan", model, "--memory", "--config", config("alone")])),
                          capture_output=True, text=True, check=True)
    rows = {name.strip(): int(n) for name, n in re.findall(r"^(.{18}) *(\d+) bytes", plan.stdout, re.M)}
    assert rows.get("device weights", 0) <= 1.02 * rows["weights, mapped"]
    parts = [rows[name] for name in ("activations", "scratch", "tables", "one session")]
    assert sum(parts) + rows.get("device weights", 0) == rows["own memory"]
    assert rows["tables"] < rows["weights, mapped"]


@pytest.mark.parametrize("device, count", [("pthread*?2", 1), ("basic*", 1), ("*", 3)])
def test_opencl_devices_by_pattern(tmp_path, monkeypatch, device, count):
    """PoCL shows as many devices as it is told to."""
    if missing("gpu-opencl"):
        pytest.skip(missing("gpu-opencl"))
    monkeypatch.setenv("POCL_DEVICES", "pthread pthread basic")
    policy = tmp_path / "policy.ini"
    policy.write_text(f"[order]\ndefault = gpu-opencl:{device}\n[policy]\nmode = strict\nfallback = allow\n"
                      "[delegate gpu-opencl]\nsoftware = on\n")
    model = SOURCE / "models/actions/actions-q8_0.gguf"
    result = subprocess.run([BUILD / "bin/switchyard", "plan", model, "--json", "--config", policy],
                            capture_output=True, check=True)
    delegates = [d for d in json.loads(result.stdout)["delegates"] if d["name"] == "gpu-opencl"]
    if len(delegates) != 3:
        pytest.skip("this OpenCL has other devices")
    named = [d["device"] for d in delegates if d["rank"] == 0]
    assert len(named) == count and all(d["nodes"] == 0 for d in delegates if d["device"] not in named)
    assert greedy(model, "--config", policy) == greedy(model, "--delegate", "reference")


FAKE_VULKAN = BUILD / "tests/gpu/fake-vulkan"


@pytest.mark.parametrize("device", ["small subgroup0", "small subgroup64", "small discrete", "small oldest"])
@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_small_devices(models, tmp_path, monkeypatch, name, device):
    """Whole models where groups have 128 invocations and 16 KiB, bindings 128 MiB (tests/gpu/fake_vulkan.h);
    a pipeline that would need more is not made."""
    if missing("gpu-vulkan") or not FAKE_VULKAN.exists():
        pytest.skip(missing("gpu-vulkan") or "there is no fake libvulkan in this build")
    policy = tmp_path / "policy.ini"
    policy.write_text(PLANS["alone"].format(gpu="gpu-vulkan") + "[delegate gpu-vulkan]\nsoftware = on\n")
    monkeypatch.setenv("FAKE_VULKAN", device)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(FAKE_VULKAN))
    golden = np.array(GOLDENS["rows"][name])
    found = logits_of(IDS, models / f"{name}.gguf", "--plugins", BUILD / "plugins", "--config",
                      policy)[-len(golden):]
    assert np.abs(found - golden).max() / max(np.abs(golden).max(), 1) < 1e-4


FAILURES = {"lost": ("lose@12", "hang_floor_ms = off\n"),
            "hung": ("hang@12", "hang_floor_ms = 2000\nhang_multiple = 0\n"),
            "garbage": ("garbage@12", "hang_floor_ms = off\nguard = outputs\n")}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_told_and_no_token_is_lost(gpu, tmp_path, failure):
    """The test build fails on request; the INI says how that is noticed. tests/gpu/failover_test.c has all else."""
    faulty = BUILD / "fault-plugins"
    if not (faulty / gpu / f"{gpu}.so").exists():
        pytest.skip("no test build")
    fault, settings = FAILURES[failure]
    ini = tmp_path / "fault.ini"
    ini.write_text(f"[order]\ndefault = gpu, cpu\n[policy]\nmode = strict\n[trust]\nplugins = {gpu}\n"
                   f"[failover]\nreturn = off\n{settings}[delegate {gpu}]\nsoftware = on\nfault = {fault}\n")
    model = trained()[-1]
    result = run(model, "--plugins", faulty, "--config", ini)
    assert result.stdout == greedy(model, "--delegate", "reference")
    words = result.stderr.decode()
    assert words.count("engine.failover") == 1 and f"failure={failure}" in words
    assert words.count(f"({failure}), others go on") == 1

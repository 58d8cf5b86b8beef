# SPDX-License-Identifier: Apache-2.0
"""Logits against the exact ones: a float64 forward pass over the dequantised weights. The bar is the
error that llama.cpp has against the same rows."""
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", pathlib.Path(__file__).parents[3] / "shared"))
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", pathlib.Path(__file__).parents[2] / "build/release"))
REFERENCE = SHARED / "data" / "ref"
CASES = json.loads((REFERENCE / "index.json").read_text()) if REFERENCE.exists() else []

pytestmark = pytest.mark.skipif(not CASES, reason="the shared reference logits are absent")


def rows(case, *flags, chunk=1):
    """Logits found and exact: after every token, or after every chunk of tokens."""
    ids = case["prompt_tokens"] + case["greedy_tokens"]
    exact = np.load(REFERENCE / case["file"].replace(".npy", "-exact.npy"))
    ids = ids[:len(exact)]
    command = [BUILD / "bin/logits_dump", REFERENCE / case["model"], "f32", str(chunk), *flags, "--"]
    output = subprocess.run([*map(str, command), *map(str, ids)], check=True, capture_output=True)
    ends = [min(i + chunk, len(ids)) - 1 for i in range(0, len(ids), chunk)]
    found = np.frombuffer(output.stdout, np.float32).reshape(len(ends), -1)
    return found.astype(np.float64), exact[ends].astype(np.float64)


def name(case):
    return case["file"].removesuffix(".npy")


@pytest.mark.parametrize("case", CASES, ids=name)
def test_reference_delegate_is_exact(case):
    """f32 activations against the true answer: only rounding is left."""
    found, exact = rows(case)
    peer = np.load(REFERENCE / case["file"]).astype(np.float64)
    rms, theirs = (np.sqrt(np.mean((x - exact) ** 2)) for x in (found, peer))
    assert rms <= theirs and np.abs(found - exact).max() < 2e-4


@pytest.mark.parametrize("case", CASES, ids=name)
def test_cpu_delegate_is_closer_than_llama_cpp(case):
    found, exact = rows(case, "--without", "reference", "--plugins", str(BUILD / "plugins"))
    peer = np.load(REFERENCE / case["file"]).astype(np.float64)
    ours, theirs = (np.sqrt(np.mean((x - exact) ** 2)) for x in (found, peer))
    print(f"rms error {ours:.3g}, llama.cpp {theirs:.3g}; largest {np.abs(found - exact).max():.3g}, "
          f"llama.cpp {np.abs(peer - exact).max():.3g}")
    assert ours <= theirs
    rounding = 3e-5  # a single logit of an f32 model may round worse than the peer's
    assert np.abs(found - exact).max() <= max(np.abs(peer - exact).max(), rounding)


@pytest.mark.parametrize("case", [c for c in CASES if "stories" in c["file"]], ids=name)
def test_stories_greedy_tokens(case):
    """A trained model: greedy tokens equal the exact ones as long as llama.cpp's do."""
    for flags in ([], ["--without", "reference", "--plugins", str(BUILD / "plugins")]):
        found, exact = rows(case, *flags)
        n = case["exact_agrees_for"]
        start = len(case["prompt_tokens"]) - 1
        assert list(found[start:start + n].argmax(1)) == list(exact[start:start + n].argmax(1))
        if "-f32" in case["file"]:
            assert list(found[start:-1].argmax(1)) == case["greedy_tokens"][:len(exact) - 1 - start]


@pytest.mark.parametrize("chunk", [2, 7, 64])
@pytest.mark.parametrize("case", [c for c in CASES if c["file"].endswith("-p1.npy")], ids=name)
def test_prefill_in_chunks_gives_the_same_logits(case, chunk):
    """The same bits whatever the chunk: kernels do not depend on how many rows a step has."""
    flags = ["--without", "reference", "--plugins", str(BUILD / "plugins")]
    one, _ = rows(case, *flags)
    many, _ = rows(case, *flags, chunk=chunk)
    ends = [min(i + chunk, len(one)) - 1 for i in range(0, len(one), chunk)]
    assert np.array_equal(one[ends], many)

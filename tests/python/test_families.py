# SPDX-License-Identifier: Apache-2.0
"""Logits of one tiny random model of each family against transformers in float64."""
import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from logits_probe import logits_of

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from families import ENCODERS, FAMILIES, IDS, write_gguf  # noqa: E402

dump = functools.partial(logits_of, IDS)
GOLDENS = json.loads((SOURCE / "tests/families/goldens.json").read_text())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    for name in FAMILIES:
        write_gguf(name, folder / f"{name}.gguf")
    return folder


@pytest.mark.parametrize("delegate", ["reference", "cpu-xnnpack"])
@pytest.mark.parametrize("name", FAMILIES)
def test_logits_equal_transformers(models, name, delegate):
    golden = np.array(GOLDENS["rows"][name])
    flags = [] if delegate == "reference" else ["--without", "reference", "--plugins", BUILD / "plugins"]
    found = dump(models / f"{name}.gguf", *flags)[-len(golden):]
    scale = np.abs(golden).max()
    assert np.abs(found - golden).max() < 2e-5 * max(scale, 1), np.abs(found - golden).max()


@pytest.mark.parametrize("delegate", ["reference", "cpu-xnnpack"])
def test_experts_in_mxfp4_equal_transformers(tmp_path, delegate):
    """The weights of gpt-oss's experts are numbers that MXFP4 holds exactly."""
    write_gguf("gpt-oss", tmp_path / "model.gguf", experts="MXFP4")
    golden = np.array(GOLDENS["rows"]["gpt-oss"])
    flags = [] if delegate == "reference" else ["--without", "reference", "--plugins", BUILD / "plugins"]
    found = dump(tmp_path / "model.gguf", *flags)[-len(golden):]
    # Activations of cpu-xnnpack have 16 bits where they meet blocks.
    tolerance = 2e-5 if delegate == "reference" else 3e-4
    assert np.abs(found - golden).max() < tolerance * np.abs(golden).max()


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in ENCODERS])
def test_one_prefill_equals_single_tokens(models, name):
    flags = ["--without", "reference", "--plugins", BUILD / "plugins"]
    single = dump(models / f"{name}.gguf", *flags)[-1]
    assert np.array_equal(single, dump(models / f"{name}.gguf", *flags, chunk=len(IDS))[0])


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in ENCODERS])
def test_guesses_change_no_token(models, name):
    """Wrong guesses leave windows, shared states and convolutions as they were."""
    def run(*flags):
        command = [BUILD / "bin/switchyard", "run", models / f"{name}.gguf", "--raw", "t1 t5 t9 t1 t5", "-n", "60",
                   "--ignore-eos", "--quiet", *flags]
        return subprocess.run(list(map(str, command)), capture_output=True, check=True).stdout

    plain = run()
    assert run("--lookup", "--draft-max", "6") == plain
    assert run("--draft", models / f"{name}.gguf") == plain  # always right, over a session of its own

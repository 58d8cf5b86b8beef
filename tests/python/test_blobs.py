# SPDX-License-Identifier: Apache-2.0
"""What the program says and keeps when a delegate compiles: the fake NPU beside the CPU."""
import os
import pathlib
import stat
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
MODELS = sorted((SOURCE / "models/actions").glob("*.gguf"))[:1]
WITH_NPU = ["--plugins", str(BUILD / "fake-plugins"), "--without", "fake-npu-host", "--delegate",
            "fake-npu,cpu"]

pytestmark = pytest.mark.skipif(not MODELS, reason="no model is here")


def switchyard(cache, *arguments, **environment):
    command = [str(BUILD / "bin/switchyard"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300,
                            env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment})
    assert result.returncode == 0, result.stderr
    return result


def outcomes(cache, *flags, **environment):
    """(outcome, sentence) of each segment that `plan` lists."""
    text = switchyard(cache, "plan", MODELS[0], *WITH_NPU, *flags, **environment).stdout
    lines = text.partition("\ncompiled segments\n")[2].splitlines()[1:]
    assert lines
    return [(line.split()[3], line.split(maxsplit=7)[7]) for line in lines]


def test_second_start_compiles_nothing_and_says_so(tmp_path):
    first, second = outcomes(tmp_path), outcomes(tmp_path)
    assert {outcome for outcome, _ in first} == {"compiled"} and len(first) == len(second)
    assert set(second) == {("exact", "Loaded as it was kept.")}
    folder = tmp_path / "switchyard/blobs"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o600}


def test_another_driver_is_explained(tmp_path):
    outcomes(tmp_path)
    found = outcomes(tmp_path, FAKE_NPU_DRIVER="2.0")
    assert set(found) == {("compiled", "It was kept, but driver was '1.0' and is '2.0'; the plugin "
                           "wants it compiled anew: made for another driver. Compiled.")}
    assert {outcome for outcome, _ in outcomes(tmp_path, FAKE_NPU_DRIVER="2.0")} == {"exact"}


def test_run_gives_the_same_text_and_logs_each_segment(tmp_path):
    run = ["run", MODELS[0], "--raw", "wake me at seven", "-n", "12", "-v", *WITH_NPU]
    first, second = switchyard(tmp_path, *run), switchyard(tmp_path, *run)
    assert first.stdout == second.stdout
    assert "blob.loaded" in first.stderr and "outcome=compiled" in first.stderr
    assert "outcome=exact" in second.stderr and "outcome=compiled" not in second.stderr


def test_nothing_is_touched_without_a_delegate_that_compiles(tmp_path):
    switchyard(tmp_path, "run", MODELS[0], "--raw", "x", "-n", "1")
    assert list(tmp_path.iterdir()) == []


def test_configuration_decides(tmp_path):
    ini = tmp_path / "cache.ini"
    cache = tmp_path / "cache"
    ini.write_text("[cache]\nenabled = off\n")
    assert {text for _, text in outcomes(cache, "--config", ini)} == \
        {"Blobs are not kept. Compiled."}
    assert not cache.exists()
    ini.write_text(f"[cache]\ndirectory = {tmp_path}/elsewhere\nlimit_mib = 1\n")
    outcomes(cache, "--config", ini)
    assert not cache.exists() and list((tmp_path / "elsewhere").iterdir())


def test_a_place_that_cannot_be_used_is_a_sentence(tmp_path):
    (tmp_path / "switchyard").write_text("a file is in the way")
    found = outcomes(tmp_path)
    assert {outcome for outcome, _ in found} == {"compiled"}
    assert all("cannot be used" in text and "It is not kept" in text for _, text in found)

# SPDX-License-Identifier: Apache-2.0
"""Three INI files give three plans over reference + cpu-xnnpack + fake-npu, each explained, all of
them producing the same tokens."""
import json
import os
import pathlib
import subprocess
import xml.etree.ElementTree

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
INIS = ["accelerator-first", "feed-forward-only", "reference-output"]
STORIES = SHARED / "data/models/stories260k/stories260K-f32.gguf"
SHIPPED = sorted((SOURCE / "models/actions").glob("*.gguf"))
MODELS = SHIPPED[:1] + ([STORIES] if STORIES.exists() else [])

pytestmark = pytest.mark.skipif(not MODELS, reason="no model is here")


def switchyard(*arguments):
    command = [str(BUILD / "bin/switchyard"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def flags(ini):
    return ["--plugins", BUILD / "fake-plugins", "--without", "fake-npu-host",
            "--config", SOURCE / f"tests/e2e/plans/{ini}.ini"]


def plan(model, ini):
    return json.loads(switchyard("plan", model, "--json", *flags(ini)))


def nodes(explained, phase="decode"):
    found = [p for p in explained["phases"] if p["phase"] == phase]
    return {n["name"]: n for n in found[0]["nodes"]}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.stem)
def test_three_plans_differ_and_tokens_agree(model):
    plans = [plan(model, ini) for ini in INIS]
    assert len({p["hash"] for p in plans}) == 3
    texts = [switchyard("run", model, "--raw", "Once upon a time", "-n", "24", "--quiet", *flags(i))
             for i in INIS]
    alone = switchyard("run", model, "--raw", "Once upon a time", "-n", "24", "--quiet",
                       "--without", "cpu-xnnpack")
    assert texts == [alone] * 3


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.stem)
def test_each_plan_does_what_its_file_says(model):
    first, second, third = ({k: n["delegate"] for k, n in nodes(plan(model, ini)).items()}
                            for ini in INIS)
    assert first["blk.0.attn"] == "fake-npu" and first["logits"] == "fake-npu"
    assert first["token_embd"] == "cpu-xnnpack"  # the NPU does not know it
    assert second["blk.0.ffn_down"] == "fake-npu" and second["blk.0.attn"] == "cpu-xnnpack"
    assert third["logits"] == "reference" and "fake-npu" not in third.values()


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda m: m.stem)
def test_reasons_name_the_line_that_decided(model):
    text = switchyard("plan", model, *flags("reference-output"))
    ini = SOURCE / "tests/e2e/plans/reference-output.ini"
    line = ini.read_text().splitlines().index("node.logits = reference") + 1
    assert f"reference-output.ini:{line}" in text
    text = switchyard("plan", model, *flags("accelerator-first"))
    assert "the operator is not among its ops" in text  # the plugin's own words


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda m: m.stem)
def test_plan_is_the_same_every_time(model):
    assert len({plan(model, INIS[0])["hash"] for _ in range(3)}) == 1


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda m: m.stem)
def test_plan_draws_an_svg(model, tmp_path):
    picture = tmp_path / "plan.svg"
    switchyard("plan", model, "--svg", picture, *flags(INIS[0]))
    root = xml.etree.ElementTree.parse(picture).getroot()
    assert root.tag.endswith("svg") and len(list(root.iter())) > 20


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda m: m.stem)
def test_unused_delegate_that_was_asked_for_is_an_error(model):
    command = [str(BUILD / "bin/switchyard"), "run", str(model), "--raw", "x", "-n", "1",
               "--backend", "gpu-nowhere"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "gpu-nowhere" in result.stderr and "hint" in result.stderr


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda m: m.stem)
def test_lost_device_is_a_sentence_and_nothing_crashes(model, tmp_path):
    ini = tmp_path / "lost.ini"
    lost = ("[order]\ndefault = fake-npu, cpu\n[policy]\nmode = strict\n[runtime]\nkv_type = f32\n"
            "[delegate fake-npu]\nlose_at = {}\n")
    ini.write_text(lost.format(20) + "[failover]\nmode = off\n")
    command = [str(BUILD / "bin/switchyard"), "run", str(model), "--raw", "Once upon a time", "-n",
               "24", "--ignore-eos", "--plugins", str(BUILD / "fake-plugins"), "--without",
               "fake-npu-host", "--config", str(ini)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "fake-npu" in result.stderr and "lost" in result.stderr
    texts = []
    for at, rows in ((0, "recompute"), (20, "recompute"), (20, "mirror")):
        ini.write_text(lost.format(at) + f"[failover]\nrows = {rows}\nbackoff_ms = 60000\n")
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        told = [line for line in result.stderr.splitlines() if "others go on" in line]
        assert len(told) == (at > 0) and all("fake-npu (npu0) failed at token" in t for t in told)
        texts.append(result.stdout)
    assert texts[0] == texts[1] == texts[2] and len(texts[0]) > 40

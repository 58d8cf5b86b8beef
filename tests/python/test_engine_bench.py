# SPDX-License-Identifier: Apache-2.0
"""bench/engine.py over tiny models, without peers: every measure runs, and its figures fit each other. No time is asserted."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
STORIES = SHARED / "data/models/stories260k/stories260K-f32.gguf"
sys.path.insert(0, str(SOURCE / "bench"))

import engine  # noqa: E402
import engine_calls  # noqa: E402
import engine_report  # noqa: E402
import make_models  # noqa: E402
import measures  # noqa: E402
import turns  # noqa: E402
import widen_model  # noqa: E402
from engine_calls import Cell  # noqa: E402

needs_tool = pytest.mark.skipif(not (BUILD / "bin/sy_engine_bench").exists(), reason="no build of the measuring tools")
needs_stories = pytest.mark.skipif(not STORIES.exists(), reason="the shared models are absent")
WIDE = make_models.Shape("llama", 6, 128, 16, 4, 32, 256, 512, 512)  # where stories260K fits into
TINY = {"clone": [Cell("tiny", "f16", depths=(64, 192))],
        "memory": [Cell("tiny", "f16", n_tokens=256), Cell("tiny", "f16", n_tokens=128, n_sessions=2),
                   Cell("tiny", "f16", n_tokens=256, key_type="Q8_0", value_type="Q4_0")],
        "windows": [Cell("tiny-gemma3", "f16", n_tokens=512)],
        "together": [Cell("tiny", "f16")], "guesses": [Cell("stories", "Q8_0", n_tokens=48)],
        "lora": [Cell("tiny", "f16")], "prefix": [Cell("tiny", "f16")], "start": [Cell("tiny", "f16")]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_models.main(["--out", str(folder), "--shapes", "tiny,tiny-gemma3", "--types", "f16"])
    return folder


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(make_models.SHAPES, "wide", WIDE)
    for name, value in (("PREFIX_TOKENS", 128), ("SESSION_COUNTS", (1, 2)), ("WIDE_SHAPE", "wide")):
        monkeypatch.setattr(engine_calls, name, value)
    monkeypatch.setattr(engine, "default_cells", lambda: TINY)


def run(models, out, *flags):
    return engine.main(["--models", str(models), "--switchyard", str(BUILD), "--data", str(SHARED / "data"), "--rounds", "1",
                        "--threads", "2", "--samples", str(out / "engine.jsonl"), "--out", str(out / "table.md"), *flags])


@needs_tool
def test_every_measure_runs_and_its_figures_fit(models, tmp_path, tiny):
    chosen = [m for m in engine.MEASURES if m != "guesses" or STORIES.exists()]
    assert run(models, tmp_path, "--measures", ",".join(chosen)) == 0
    text, stored = (tmp_path / "table.md").read_text(), json.loads((tmp_path / "table.json").read_text())
    assert "failed" not in text
    groups = engine_report.index(stored["samples"])
    assert list(groups) == chosen
    for measure, rows in groups.items():
        assert f"## {engine_report.TITLES[measure]}" in text
        assert {cell for cell, _ in rows} == {c.name for c in TINY[measure]}
    values = {row: [s["value"] for s in by_engine["switchyard"]] for rows in groups.values()
              for (_, row), by_engine in rows.items()}
    assert all(v >= 0 for samples in values.values() for v in samples)
    for depth in (64, 192):
        for us, ms in zip(values[f"clone at {depth}"], values[f"clone, then a token at {depth}"]):
            assert us / 1000 < ms
    assert values["prefill at 64"] < values["prefill at 192"]  # the second counts both parts
    reused = {s["note"] for s in stored["samples"] if s["row"] == "144 tokens, 128 stored"}
    assert reused == {"128 reused"}
    for s in stored["samples"]:
        if "foretold" in s:
            assert abs(s["foretold"] - s["value"]) <= max(4, 0.02 * s["value"])
    assert f"peak memory is foretold within 2 % or 4 MiB | {len(TINY['memory'])} of {len(TINY['memory'])}" in text
    one, other = (max(values[f"one more session, {kind}"]) for kind in ("windows", "no windows"))
    assert one < other  # five of six layers keep 64 of 512 rows
    # and a second call has nothing to do
    assert run(models, tmp_path, "--measures", ",".join(chosen)) == 0
    assert json.loads((tmp_path / "table.json").read_text())["samples"] == stored["samples"]


@needs_tool
@needs_stories
def test_guesses_are_told_with_what_was_right(models, tmp_path, tiny):
    assert run(models, tmp_path, "--measures", "guesses") == 0
    samples = json.loads((tmp_path / "table.json").read_text())["samples"]
    notes = {s["row"]: s["note"] for s in samples}
    assert list(notes) == ["plain", "look-up", "draft"] and notes["plain"] == ""
    right, _, n = notes["draft"].partition(" % of ")
    assert 50 < int(right) <= 100 and int(n.split()[0]) > 0  # the same model, in fewer bits


@needs_tool
def test_a_stopped_run_goes_on_and_failures_are_told(models, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(engine.Bench, "estimate", lambda self, job: 1e6)
    flags = ["--measures", "lora,prefix", "--stop-after", "0.001"]
    statuses = [run(models, tmp_path, *flags), run(models, tmp_path, "--measures", "lora,prefix")]
    assert statuses[0] in (0, turns.MORE_TO_DO) and statuses[1] == 0
    keys = [json.loads(line)["key"] for line in (tmp_path / "engine.jsonl").read_text().splitlines()]
    assert sorted(set(keys)) == ["1|lora|tiny f16|switchyard", "1|prefix|tiny f16|switchyard"]
    monkeypatch.setitem(TINY, "lora", [Cell("absent", "f16")])
    monkeypatch.setitem(make_models.SHAPES, "absent", make_models.SHAPES["tiny"])
    assert run(models, tmp_path, "--measures", "lora") == 0
    assert "## Calls that failed" in (tmp_path / "table.md").read_text()


@needs_tool
def test_the_tool_refuses_with_a_sentence(models):
    for arguments, words in ((["clone"], "usage"), (["clone", models / "tiny-f16.gguf", BUILD / "plugins", 2, "x", "many"], "no number"),
                             (["prefix", models / "absent.gguf", BUILD / "plugins", 2, 64, 16], "Cannot open")):
        done = subprocess.run([BUILD / "bin/sy_engine_bench", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode != 0 and words in done.stderr


# ---- the files --------------------------------------------------------------------------------------------------

@needs_stories
@pytest.mark.skipif(not (BUILD / "bin/logits_dump").exists(), reason="no build of the probe of logits")
def test_a_widened_model_says_what_the_small_one_says(tmp_path, tiny):
    widen_model.widen(STORIES, tmp_path / "wide.gguf", "wide")
    ids = [1, 403, 407, 261, 378, 432, 383, 286, 260, 397, 263, 352]

    def logits(path):
        done = subprocess.run([BUILD / "bin/logits_dump", path, "f32", "1", "--", *map(str, ids)], capture_output=True)
        assert done.returncode == 0, done.stderr
        return np.frombuffer(done.stdout, np.float32).reshape(len(ids), -1)

    small = logits(STORIES)
    rounded, _ = measures.divergence(small, logits(STORIES.with_name("stories260K-Q8_0.gguf")))
    wide, _ = measures.divergence(small, logits(tmp_path / "wide.gguf"))
    assert wide < 3 * rounded + 1e-4


@needs_stories
def test_a_model_that_does_not_fit_is_refused(tmp_path, tiny):
    with pytest.raises(SystemExit, match="does not fit"):
        widen_model.widen(STORIES, tmp_path / "x.gguf", "tiny")


# ---- the table --------------------------------------------------------------------------------------------------

def sample(engine_name, row, value, unit="ms", cell="m Q4_0", measure="clone", **more):
    return {"engine": engine_name, "row": row, "value": value, "unit": unit, "cell": cell, "measure": measure, **more}


MACHINE = {"cpu": "x", "cores": 2, "memory_gb": 8, "isa": [], "system": "6"}


def render(samples, peers=("llama.cpp",)):
    return engine_report.render(samples, list(engine.MEASURES), peers, MACHINE)


def test_bests_medians_and_ratios():
    text = render([sample("switchyard", "clone at 128", v, "us") for v in (10, 30, 20)]
                  + [sample("llama.cpp", "clone at 128", 5, "us"), sample("llama.cpp, split cache", "clone at 128", 40, "us")])
    assert "| m Q4_0 | clone at 128 (us) | 10.0 (20.0) | 5 | 0.5 | 40.0 | 4 |" in text
    assert "| Clones of a session | m Q4_0 | clone at 128 | 10.0 (20.0) | llama.cpp | 5 | 0.5 |" in text


def test_goals_are_ratios_of_bests():
    speeds = [sample("switchyard", row, v, "tokens/s", measure="together")
              for row, v in (("1 session", 10.0), ("8 sessions", 29.0))]
    assert "8 sessions together at least 3 x one | 2.90 x | no |" in render(speeds)
    clones = [sample("switchyard", "clone at 128", 10, "us"), sample("switchyard", "clone at 2048", 15, "us"),
              sample("switchyard", "prefill at 2048", 4000)]
    assert "| 1.50 x | yes |" in render(clones) and "| 1 / 266667 | yes |" in render(clones)
    peak = sample("switchyard", "peak", 400.0, "MiB", measure="memory", foretold=409.0, note="foretold 409")
    assert "0 of 1, worst 9.0 MiB | no |" in render([peak])
    assert "1 of 1, worst 7.0 MiB | yes |" in render([{**peak, "foretold": 407.0}])


def test_what_a_peer_does_not_offer_is_said():
    one = [sample("switchyard", "first token", 5, measure="lora")]
    assert "not offered" in render(one, ("litert-lm",)) and "not offered" not in render(one)


def test_answers_of_llama_cpp_are_read():
    assert engine_calls.SPEED.search("x: decoded   65 tokens in    0.500 seconds, speed:  130.25 t/s")[1] == "130.25"
    plain = "eval: prompt eval time =   10.00 ms /  16 tokens ( 0.6 ms per token, 1600.00 tokens per second)\n" \
            "eval:        eval time =  100.00 ms /  10 runs ( 10.00 ms per token, 100.50 tokens per second)"
    assert engine_calls.PLAIN_SPEED.search(plain)[1] == "100.50"


def test_headers_are_found_beside_the_binaries(tmp_path):
    (tmp_path / "bin").mkdir()
    llama = engine_calls.LlamaCpp("llama.cpp", tmp_path / "bin")
    with pytest.raises(RuntimeError, match="no llama.h"):
        llama.includes()
    (tmp_path / "CMakeCache.txt").write_text("A:B=c\nCMAKE_HOME_DIRECTORY:INTERNAL=/src/llama\n")
    assert llama.includes() == [pathlib.Path("/src/llama/include"), pathlib.Path("/src/llama/ggml/include")]

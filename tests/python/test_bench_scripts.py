# SPDX-License-Identifier: Apache-2.0
"""The scripts of bench/: files that readers accept, engines' answers read, figures and tables. No time is asserted."""
import json
import os
import pathlib
import stat
import subprocess
import sys

import gguf
import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
sys.path.insert(0, str(SOURCE / "bench"))

import engines  # noqa: E402
import facts  # noqa: E402
import llm_cpu  # noqa: E402
import make_models  # noqa: E402
import measures  # noqa: E402
import report  # noqa: E402
import together  # noqa: E402
import turns  # noqa: E402

def has_verb(name):
    program = BUILD / "bin/switchyard"
    return program.exists() and name in subprocess.run([program, "--help"], capture_output=True, text=True).stdout


needs_build = pytest.mark.skipif(not (BUILD / "bin/switchyard").exists(), reason="no build of the program")


# ---- make_models ----------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_models.main(["--out", str(folder), "--shapes", "tiny,tiny-gemma3", "--types", "f16,f32"])
    return folder


@pytest.mark.parametrize("name", ["tiny", "tiny-gemma3"])
def test_a_made_model_is_read_by_gguf(models, name):
    shape = make_models.SHAPES[name]
    reader = gguf.GGUFReader(models / f"{name}-f16.gguf")
    found = {t.name: (tuple(int(d) for d in t.shape[::-1]), t.tensor_type.name) for t in reader.tensors}
    wanted = {n: (size, "F16" if kind == "matrix" else "F32") for n, size, kind in make_models.tensors(shape)}
    assert found == wanted
    assert reader.fields["general.architecture"].contents() == shape.family
    weights = next(t for t in reader.tensors if t.name == "blk.1.ffn_up.weight").data.astype(np.float32)
    assert abs(weights.std() - 0.02) < 0.001 and abs(weights.mean()) < 0.001


def test_the_same_seed_gives_the_same_bytes(models, tmp_path):
    make_models.main(["--out", str(tmp_path), "--shapes", "tiny"])
    assert (tmp_path / "tiny-f16.gguf").read_bytes() == (models / "tiny-f16.gguf").read_bytes()
    make_models.main(["--out", str(tmp_path / "other"), "--shapes", "tiny", "--seed", "2"])
    assert (tmp_path / "other/tiny-f16.gguf").read_bytes() != (models / "tiny-f16.gguf").read_bytes()


@needs_build
@pytest.mark.parametrize("name", ["tiny", "tiny-gemma3"])
def test_switchyard_tokenises_and_runs_a_made_model(models, name):
    program, model, text = BUILD / "bin/switchyard", models / f"{name}-f16.gguf", "the time of an old town!"
    ids = subprocess.run([program, "tokenize", model, text, "--ids"], capture_output=True, text=True, check=True)
    pieces = gguf.GGUFReader(model).fields["tokenizer.ggml.tokens"]
    texts = [bytes(pieces.parts[i]).decode() for i in pieces.data]
    joined = "".join(texts[int(i)] for i in ids.stdout.split()[1:])
    assert joined.replace("\u0120", " ").replace("\u2581", " ").strip() == text
    answer = subprocess.run([program, "run", model, "--raw", "-p", text, "-n", "4", "-c", "64", "--ignore-eos"],
                            capture_output=True, text=True, check=True)
    assert "generated 4 tokens" in answer.stderr


@pytest.mark.parametrize("name", make_models.MEASURED)
def test_vocabularies_have_the_size_and_only_known_merges(name):
    shape = make_models.SHAPES[name]
    make_up = make_models.sentencepiece_vocabulary if shape.kind == "llama" else make_models.byte_level_vocabulary
    vocabulary = make_up(shape, 1)
    tokens = vocabulary["tokens"]
    assert len(tokens) == len(set(tokens)) == len(vocabulary["token_type"]) == shape.vocabulary
    known = set(tokens)
    for left, right in (m.split(" ") for m in vocabulary.get("merges", [])[::997]):
        assert left in known and right in known and left + right in known
    words = [t for t, kind in zip(tokens, vocabulary["token_type"]) if kind == 1]
    assert 4 < sum(map(len, words)) / len(words) < 10


def test_a_vocabulary_of_another_file_is_taken(models, tmp_path):
    source = models / "tiny-f16.gguf"
    make_models.main(["--out", str(tmp_path), "--shapes", "tiny", "--vocab", f"tiny={source}"])
    ours, theirs = (gguf.GGUFReader(p).fields["tokenizer.ggml.merges"].contents()
                    for p in (tmp_path / "tiny-f16.gguf", source))
    assert ours == theirs
    with pytest.raises(SystemExit, match="1024 tokens"):
        make_models.main(["--out", str(tmp_path), "--shapes", "tiny-gemma3", "--vocab", f"tiny-gemma3={source}"])


def test_stretched_frequencies_are_llama_3s():
    factors = make_models.stretched_frequencies(make_models.SHAPES["llama32-1b"])
    assert factors[0] == 1 and factors[-1] == 32 and (np.diff(factors) >= 0).all()


# ---- facts ----------------------------------------------------------------------------------------------------

def test_bytes_and_products_of_a_file(models, tmp_path):
    path = models / "tiny-f16.gguf"
    tensors = gguf.GGUFReader(path).tensors
    found = facts.cached_model_facts(path, tmp_path)
    assert found["decode_bytes"] == sum(int(t.n_bytes) for t in tensors)  # the tied table is read for the logits
    assert found["layer_macs"] == sum(int(t.n_elements) for t in tensors
                                      if t.name.startswith("blk.") and len(t.shape) == 2)
    assert found["cache_bytes_2048"] == 2048 * 2 * 2 * 2 * 2 * 64  # tokens, K and V, f16, layers, heads, head
    assert facts.cached_model_facts(path, tmp_path) == found
    windowed = facts.model_facts(models / "tiny-gemma3-f16.gguf")
    assert windowed["cache_bytes_2048"] == 4 * 128 * (2048 + 5 * 64)
    assert windowed["cache_bytes_all_2048"] == 4 * 128 * 6 * 2048


def test_probe_measures_this_machine(tmp_path):
    found = facts.Probe(tmp_path).measure(2, mib=16, passes=2)
    assert found["threads"] == 2 and found["read_gbs"] > 0.1 and found["int8_gmacs"] > 0.1
    with pytest.raises(subprocess.CalledProcessError):
        facts.Probe(tmp_path).measure(0, mib=16, passes=2)


# ---- what engines answer --------------------------------------------------------------------------------------

CELL = engines.Cell("llama32-1b", "Q4_0", 2)
LLAMA_BENCH = """warning: something on the line before [not JSON]
[
  {"n_prompt": 512, "n_gen": 0, "n_depth": 0, "flash_attn": 1, "avg_ts": 250.5, "samples_ts": [ 249.0, 252.0 ]},
  {"n_prompt": 0, "n_gen": 128, "n_depth": 0, "flash_attn": 1, "avg_ts": 50.1, "samples_ts": [ 50.1 ]},
  {"n_prompt": 0, "n_gen": 32, "n_depth": 2048, "flash_attn": 0, "avg_ts": 33.0, "samples_ts": [ 33.0 ]}
]
"""
IK_BENCH = '[{"n_prompt": 2048, "n_gen": 32, "n_threads": 2, "test": "tg32@pp2048", "avg_ts": 44.5, "stddev_ts": 0}]'
BATCHED_BENCH = """llama_context: something
{"pp": 16, "tg": 8, "pl": 1, "speed_pp": 23255.8, "t_tg": 0.0047, "speed_tg": 16.7}
{"pp": 16, "tg": 8, "pl": 4, "speed_pp": 35516.1, "t_tg": 0.0012, "speed_tg": 51.5}
"""
LITERT_LM = """Benchmarking model: s180-int4.litertlm (s180-int4.litertlm)
Number of tokens in prefill: 128
Number of tokens in decode : 64
Speculative decoding       : auto
Running iteration 1 of 1..
----- Results -----
Prefill speed:       1,415.33 tokens/s
Decode speed:         138.23 tokens/s
Init time:            1.7271 s
"""


def switchyard_bench(*series):
    named = [dict(zip(("kind", "depth", "sequences", "tokens_per_s"), one), threads=2, tokens=128) for one in series]
    return "limits of 2 threads\n" + json.dumps({"format": "switchyard-bench", "version": 1, "series": named})


def test_switchyard_bench_is_read():
    ours = engines.Switchyard("switchyard", "build")
    both = switchyard_bench(("prefill", 0, 1, [500.0, 510.0]), ("decode", 0, 1, [60.0]), ("decode", 2048, 1, [50.0]))
    for measure, values in (("prefill", [500, 510]), ("decode", [60]), ("busy", [60]), ("depth", [50])):
        assert [s["value"] for s in ours.parse(measure, both, "")] == values
    assert ours.parse("depth", both, "") == [{"measure": "depth", "value": 50, "empty": 60}]
    together = switchyard_bench(("decode", 16, 1, [50.0, 60.0]), ("decode", 16, 4, [150.0]))
    assert ours.parse("sessions", together, "") == [{"measure": "sessions", "value": 150, "one": 60}]
    with pytest.raises(ValueError, match="version 1"):
        ours.parse("decode", '{"format": "other"}', "")
    with pytest.raises(ValueError, match="reference"):
        ours.parse("decode", both.replace('"version": 1', '"version": 1, "decode_on": "reference (195 nodes)"'), "")


def test_llama_bench_is_read():
    found = engines.LlamaCpp("llama.cpp", "bin").parse("decode", LLAMA_BENCH, "")
    assert [(s["measure"], s["value"]) for s in found] == [("prefill", 249), ("prefill", 252), ("decode", 50.1),
                                                           ("depth", 33)]


def test_ik_bench_is_read():
    found = engines.IkLlama("ik", "bin").parse("depth", IK_BENCH, "")
    assert [(s["measure"], s["value"]) for s in found] == [("depth", 44.5)]


def test_batched_bench_is_read():
    assert engines.LlamaCpp("llama.cpp", "bin").parse("sessions", BATCHED_BENCH, "") == [
        {"measure": "sessions", "value": 51.5, "one": 16.7}]


def test_litert_lm_is_read():
    found = engines.LiteRtLm("litert-lm", "venv").parse("prefill", LITERT_LM, "")
    assert {s["measure"]: s["value"] for s in found} == {"prefill": 1415.33, "decode": 138.23}


@pytest.mark.parametrize("engine", [engines.LlamaCpp("llama.cpp", "bin"), engines.LiteRtLm("litert-lm", "venv"),
                                    engines.Switchyard("switchyard", "build")])
def test_an_answer_without_figures_is_an_error(engine):
    with pytest.raises(ValueError):
        engine.parse("prefill", "Segmentation fault", "")


def test_commands_say_what_is_tried():
    llama, ik = engines.LlamaCpp("llama.cpp", "bin"), engines.IkLlama("ik", "bin")
    tried = llama.settings(CELL, "decode")
    assert len(tried) == 4 and {"repack": "off", "fa": "on"} in tried
    assert len(llama.settings(engines.Cell("llama32-1b", "f16", 2), "decode")) == 2
    command = measures.words(llama.command("models", CELL, "depth", {"repack": "off", "fa": "on"}, 2))
    assert command[0] == "bin/llama-bench" and "models/llama32-1b-Q4_0.gguf" in command
    joined = " ".join(command)
    assert "--repack 0" in joined and "-fa on" in joined and "-d 2048" in joined and "-t 2" in joined
    assert "-rtr 1" in " ".join(measures.words(ik.command("m", CELL, "decode", {"rtr": "on", "fa": "on"}, 1)))
    assert "--no-warmup" in llama.start_command("m", CELL, {}, "prompt.txt", 2048, 1)


# ---- a whole run over engines that are scripts ----------------------------------------------------------------

FAKE_BENCH = """#!{python}
import json, sys
arguments = sys.argv[1:]
get = lambda flag: int(arguments[arguments.index(flag) + 1])
speed = 100.0 + 10 * get("--repack") - 50 * ("off" in arguments)
depth = get("-d") if "-d" in arguments else 0
row = dict(n_prompt=get("-p"), n_gen=get("-n"), n_depth=depth, samples_ts=[speed] * get("-r"))
open(sys.argv[0] + ".log", "a").write(" ".join(arguments) + "\\n")
print(json.dumps([row]))
"""


@pytest.fixture
def fake_peer(tmp_path):
    program = tmp_path / "bin" / "llama-bench"
    program.parent.mkdir()
    program.write_text(FAKE_BENCH.replace("{python}", sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_settings_are_tried_the_best_is_taken_and_a_run_goes_on(models, tmp_path, fake_peer, monkeypatch):
    monkeypatch.setattr(llm_cpu, "SHAPES", ("tiny",))
    monkeypatch.setattr(llm_cpu, "TYPES", ("Q4_0",))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny-Q4_0.gguf").write_bytes((models / "tiny-f16.gguf").read_bytes())
    arguments = ["--models", str(tmp_path / "models"), "--peer", f"llama.cpp={fake_peer.parent}", "--cells", "tiny:*:2",
                 "--measures", "decode,depth", "--rounds", "2", "--samples", str(tmp_path / "out" / "samples.jsonl"),
                 "--out", str(tmp_path / "table.md")]
    assert llm_cpu.main([*arguments, "--stop-after", "0.001"]) in (0, turns.MORE_TO_DO)
    assert llm_cpu.main(arguments) == 0
    log = fake_peer.with_name("llama-bench.log").read_text().splitlines()
    decode, depth = ([line for line in log if ("-d 2048" in line) == is_depth] for is_depth in (False, True))
    assert len(decode) == 3 + 2 and len(depth) == 2 + 2  # both packings, no flash attention; then two rounds
    assert all("--repack 1" in line and "-fa on" in line for line in decode[3:] + depth[2:])
    text = (tmp_path / "table.md").read_text()
    assert "| tiny Q4_0 | 2 | - | 110 | - | fa=on repack=on |" in text
    assert llm_cpu.main(arguments) == 0
    assert len(fake_peer.with_name("llama-bench.log").read_text().splitlines()) == len(log)
    stored = json.loads((tmp_path / "table.json").read_text())
    assert {s["measure"] for s in stored["samples"]} == {"decode", "depth"} and stored["machine"]["cores"]
    assert all(s["read_gbs"] > 0 for s in stored["samples"])


def test_two_threads_come_before_one_and_small_files_first(models, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(llm_cpu, "SHAPES", ("tiny-gemma3", "tiny"))
    monkeypatch.setattr(llm_cpu, "TYPES", ("f32", "f16"))
    assert llm_cpu.main(["--models", str(models), "--peer", "llama.cpp=nowhere", "--samples", str(tmp_path / "s.jsonl"),
                         "--list", "--cells", "tiny*", "--measures", "decode,memory", "--search", "no",
                         "--rounds", "1"]) == 0
    cells = [line.split("|")[2] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [c[-1] for c in cells[:8]] == list("22221111")
    sizes = [(models / (c.rpartition(":")[0].replace(":", "-") + ".gguf")).stat().st_size for c in cells[8:]]
    assert len(sizes) == 4 and sizes == sorted(sizes)


def test_a_peer_that_fails_is_told_and_does_not_stop_the_rest(models, tmp_path, fake_peer, monkeypatch):
    monkeypatch.setattr(llm_cpu, "SHAPES", ("tiny",))
    monkeypatch.setattr(llm_cpu, "TYPES", ("f16",))
    fake_peer.write_text("#!/bin/sh\necho no such model >&2\nexit 1\n")
    out = tmp_path / "table.md"
    assert llm_cpu.main(["--models", str(models), "--peer", f"llama.cpp={fake_peer.parent}", "--rounds", "1",
                         "--measures", "decode,prefill", "--samples", str(tmp_path / "s.jsonl"), "--out", str(out),
                         "--cells", "tiny:*"]) == 0
    assert "Calls that failed" in out.read_text() and "no such model" in out.read_text()


def test_wrong_flags_get_a_sentence(capsys):
    for flags, words in ((["--measures", "speed"], "no measure speed"), (["--peer", "vllm=x"], "no peer")):
        with pytest.raises(SystemExit):
            llm_cpu.main(["--models", ".", *flags])
        assert words in capsys.readouterr().err


# ---- figures and tables ---------------------------------------------------------------------------------------

def sample(engine, measure, value, cell="llama32-1b:Q4_0:2", **more):
    return {"engine": engine, "measure": measure, "cell": cell, "value": value, "setting": {}, "round": 1, **more}


FACTS = {"llama32-1b:Q4_0:2": {"file_bytes": 770e6, "decode_bytes": 763e6, "layer_macs": 973e6,
                               "cache_bytes_2048": 67e6, "cache_bytes_all_2048": 67e6}}
MACHINE = {"cpu": "x", "cores": 2, "memory_gb": 8, "isa": [], "system": "6"}


def test_statistics():
    assert report.median([3, 1, 2]) == 2 and report.median([4, 1, 2, 3]) == 2.5
    assert report.geometric_mean([1, 4]) == pytest.approx(2) and report.geometric_mean([]) is None
    assert report.best([sample("a", "decode", v) for v in (1, 3, 2)], "decode")["value"] == 3
    assert report.best([sample("a", "start", v) for v in (2, 1, 3)], "start")["value"] == 1
    settings = [dict(sample("a", "decode", v), setting={"fa": f}) for v, f in ((1, "on"), (5, "off"), (2, "on"))]
    assert report.best_setting(settings, "a", "llama32-1b:Q4_0:2", "decode") == {"fa": "off"}
    assert report.best_setting(settings, "b", "llama32-1b:Q4_0:2", "decode") is None


def test_quick_trials_decide_and_do_not_count():
    trials = [dict(sample("a", "decode", v, "m:Q4_0:1"), setting={"fa": f}, quick=True)
              for v, f in ((8, "off"), (9, "on"), (5, "auto"))]
    assert report.quick_settings(trials, "a", "m:Q4_0", "decode") == [{"fa": "on"}, {"fa": "off"}]
    assert report.quick_settings(trials, "b", "m:Q4_0", "decode") == []
    assert report.best_setting(trials, "a", "m:Q4_0:1", "decode") is None and not report.index(trials)
    quarter = engines.Cell("llama32-1b", "Q4_0", 1, part=4)
    assert quarter.name == "llama32-1b:Q4_0:1" and (quarter.n_prefill, quarter.n_decode, quarter.n_depth) == (128, 32, 1024)


def render(samples):
    return report.render(samples, FACTS, ["switchyard", "llama.cpp", "ik"], MACHINE, engines.setting_text)[0]


def test_decode_is_held_against_bandwidth_and_peers():
    beside = {"read_gbs": 50.0}
    met = [sample("switchyard", "decode", 60, others=0.5, **beside), sample("llama.cpp", "decode", 40, **beside),
           sample("ik", "decode", 50, **beside)]
    row = next(line for line in render(met).splitlines() if line.startswith("| llama32-1b Q4_0"))
    cells = [c.strip() for c in row.split("|")]
    assert "during 1 of 1 samples" in render(met)
    assert "92 %" in cells and "61 %" in cells and "1.5" in cells and "yes" in cells
    slow = [sample("switchyard", "decode", 49, **beside), *met[1:]]
    row = next(line for line in render(slow).splitlines() if line.startswith("| llama32-1b Q4_0"))
    assert "| no |" in row
    assert "| decode: geometric mean over llama.cpp >= 1.4 (1 cells) | 1.5 | yes |" in render(met)
    assert "| decode: geometric mean over llama.cpp >= 1.4 (1 cells) | 1.23 | no |" in render(slow)


def test_attention_is_held_against_the_cache():
    # 20 ms a token in an empty session, 22 at depth: 2 ms for 67 MB, which take 1.34 ms at 50 GB/s
    samples = [sample("switchyard", "depth", 1 / 0.022, read_gbs=50.0, empty=50.0)]
    assert "median <= 2 (1 cells; worst: 1.49 at llama32-1b:Q4_0:2) | 1.49 | yes |" in render(samples)
    slow = sample("switchyard", "depth", 1 / 0.026, read_gbs=50.0, empty=50.0)
    assert "| 4.48 | no |" in render([*samples, slow, slow])
    del samples[0]["empty"]
    assert "time of attention" not in render(samples)


def test_memory_start_busy_and_accuracy_tables():
    samples = [sample("switchyard", "memory", 800.0, anon=70.0, file=730.0),
               sample("llama.cpp", "memory", 1400.0, anon=670.0, file=730.0),
               sample("switchyard", "start", 50.0), sample("llama.cpp", "start", 500.0)]
    speeds = {"alone-1": 70.0, "alone-2": 110.0, "idle": 109.0, "busy": 69.0}
    for turn, speed in enumerate((1.0, 0.5, 1.2)):  # the machine's speed moves, the ratios of a turn do not
        samples += [sample("switchyard", "busy", speed * v, neighbour=n, turn=turn) for n, v in speeds.items()]
    samples += [sample("switchyard", "accuracy", 2e-6, "stories-p0", trained=True, peer=1e-6, rms=1.0, peer_rms=1.0)]
    text = render(samples)
    assert "| llama32-1b Q4_0 | 800 | 70.0 + 730 | 1400 | 670 + 730 | 0.571 | 836 | yes | yes |" in text
    assert "start: geometric mean over llama.cpp <= 0.35 (1 cells) | 0.1 | yes |" in text
    assert "| llama32-1b Q4_0 | switchyard | 70.0 | 110 | 109 | 69.0 | 0.986 | 0.991 | yes | 3 |" in text
    assert "| stories | trained | 2.00e-06 | 1.00e-06 | 2 | 1.00e+00 | 1.00e+00 | 0 of 1 |" in text


def test_divergence_is_that_of_the_definition():
    exact, found = np.array([[0.0, 0.0]]), np.array([[np.log(3.0), 0.0]])
    kl, rms = measures.divergence(exact, found)
    assert kl == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert rms == pytest.approx(np.log(3.0) / np.sqrt(2))


# ---- processes ------------------------------------------------------------------------------------------------

def test_first_token_and_peak_memory_of_a_process():
    python = [sys.executable, "-c"]
    assert measures.first_token_ms([*python, "print('x', flush=True)"])["by"] == "byte"
    assert measures.first_token_ms([*python, "pass"])["by"] == "end"
    with pytest.raises(RuntimeError):
        measures.first_token_ms([*python, "raise SystemExit(3)"])
    hungry = measures.peak_memory([*python, "x = b'x' * (200 << 20); import time; time.sleep(0.2)"])
    assert hungry["value"] > 200 and hungry["anon"] > 200


def test_a_prompt_has_the_tokens_asked_for(tmp_path):
    count = lambda text: 1 + len(text.split()) + text.count(".")  # a begin token, words, points
    path = measures.prompt_file(tmp_path, "x", 16, count)
    assert count(path.read_text()) == 16


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_neighbour_spins_until_the_block_ends():
    before = facts.busy_seconds()
    with measures.neighbour("idle"):
        import time
        time.sleep(0.3)
    assert facts.busy_seconds() > before


# ---- the real program -----------------------------------------------------------------------------------------

@pytest.mark.skipif(not has_verb("bench"), reason="no build of the program with its verb bench")
def test_switchyard_is_measured(models, tmp_path, monkeypatch):
    monkeypatch.setattr(llm_cpu, "SHAPES", ("tiny",))
    monkeypatch.setattr(llm_cpu, "TYPES", ("f16",))
    monkeypatch.setattr(llm_cpu, "MEMORY_TOKENS", 100)
    out = tmp_path / "table.md"
    status = llm_cpu.main(["--models", str(models), "--switchyard", str(BUILD), "--rounds", "1", "--cells", "tiny:*:2",
                           "--measures", "decode,prefill,start", "--samples", str(tmp_path / "s.jsonl"),
                           "--seconds-per-call", "0.01", "--out", str(out)])
    text = out.read_text()
    assert status == 0 and "failed" not in text
    for title in ("Decode 128 tokens", "Prefill 512", "first token"):
        assert title in text


@pytest.mark.skipif(not (BUILD / "bin/logits_dump").exists(), reason="no build of the probe of logits")
@pytest.mark.skipif(not (SHARED / "data/ref/index.json").exists(), reason="the shared reference logits are absent")
def test_accuracy_of_one_case():
    ours = engines.Switchyard("switchyard", BUILD)
    case = next(c for c in measures.accuracy_cases(SHARED / "data") if c["file"] == "stories260K-f32-p0.npy")
    found = measures.accuracy(ours, SHARED / "data", case)
    assert found["trained"] and 0 <= found["value"] < 1e-6 and found["peer"] >= 0


# ---- together -------------------------------------------------------------------------------------------------

STORIES = SHARED / "data/models/stories260k/stories260K-f32.gguf"


@needs_build
@pytest.mark.skipif(not STORIES.exists(), reason="the shared models are absent")
def test_shared_steps_and_guesses_are_measured_over_equal_answers(capsys):
    assert together.main([str(STORIES), "--switchyard", str(BUILD), "--sessions", "2,3", "--tokens", "8", "--runs", "1",
                          "--draft", str(STORIES.with_name("stories260K-Q8_0.gguf")), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["stories260K-f32"]
    assert list(table["sessions"]) == ["1", "2", "3"] and list(table["guesses"]) == ["plain", "lookup", "draft"]
    assert table["sessions"]["1"]["factor"] == table["guesses"]["plain"]["factor"] == 1
    assert all(row["tokens_per_s"] > 0 for rows in table.values() for row in rows.values())


# ---- types of the cache ------------------------------------------------------------------------------------------

SHIPPED = SOURCE / "models/actions/actions-q8_0.gguf"


@pytest.mark.skipif(not (BUILD / "bin/logits_dump").exists(), reason="no build of the probe of logits")
def test_cache_types_are_told_apart(tmp_path):
    text = tmp_path / "text"
    text.write_text("<|request|>wake me at quarter to seven<|call|>")
    done = subprocess.run([sys.executable, SOURCE / "bench/cache_types.py", SHIPPED, text, "--lines", "--build", BUILD],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[4:]]
    cost = {(row[0], row[1]): float(row[3]) for row in rows}
    assert len(cost) == 10
    assert 0 <= cost["f16", "f16"] < cost["Q8_0", "Q8_0"] < cost["Q4_0", "Q4_0"]

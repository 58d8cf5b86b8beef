# SPDX-License-Identifier: Apache-2.0
"""`switchyard imatrix`: sums against transformers in float64, files that go on and add up, and quantised files that
come nearer to the model on a text that was not measured."""
import json
import os
import pathlib
import subprocess
import sys

import gguf
import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
STORIES = SHARED / "data/models/stories260k/stories260K-f32.gguf"
sys.path += [str(SOURCE / "tests/families"), str(SOURCE / "bench")]
import importance  # noqa: E402
from families import TEXT, character_tokenizer, write_folder, write_gguf  # noqa: E402

GOLDENS = json.loads((SOURCE / "tests/families/goldens_imatrix.json").read_text())["tensors"]


def run(*arguments):
    return subprocess.run([BUILD / "bin/switchyard", *map(str, arguments)], capture_output=True, text=True)


def done(*arguments):
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    return result


def model_of(name, folder):
    """A model, in a folder where folders of its family are read, and a text of single characters."""
    (folder / "text.txt").write_text(TEXT)
    path = folder / name
    if name in ("llama", "qwen3"):
        write_folder(name, path)
        (path / "tokenizer.json").write_text(character_tokenizer())
    else:
        write_gguf(name, path, characters=True)
    return path, folder / "text.txt"


def tensors_of(path):
    return {t.name: np.array(t.data, np.float64) for t in gguf.GGUFReader(path).tensors}


def keys_of(path):
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def means_of(path):
    tensors = tensors_of(path)
    return {name: sums / tensors[name.replace("in_sum2", "counts")] for name, sums in tensors.items()
            if name.endswith("in_sum2")}


@pytest.mark.parametrize("without", ["reference", "cpu-xnnpack", "nothing"])
@pytest.mark.parametrize("name", GOLDENS)
def test_sums_equal_transformers(name, without, tmp_path):
    model, text = model_of(name, tmp_path)
    flags = ["--ctk", "f32", "--ctv", "f32"] + ([] if without == "nothing" else ["--without", without])
    result = run("imatrix", model, "--text", text, "--out", tmp_path / "out.gguf", "-b", "48", *flags)
    if (name, without) == ("qwen3moe", "reference"):
        assert result.returncode == 1 and "Transpose" in result.stderr
        pytest.skip("the reference alone turns rows by expert")
    assert result.returncode == 0, result.stderr
    found = tensors_of(tmp_path / "out.gguf")
    for tensor, golden in GOLDENS[name].items():
        sums, counts = found[f"{tensor}.in_sum2"], found[f"{tensor}.counts"]
        assert counts.reshape(-1).tolist() == golden["counts"], tensor
        wanted = np.array(golden["sums"])
        assert sums.reshape(wanted.shape) == pytest.approx(wanted, rel=2e-4, abs=1e-9), tensor


def test_file_is_as_llama_imatrix_writes_it(tmp_path):
    model, text = model_of("qwen3moe", tmp_path)
    out = tmp_path / "out.gguf"
    result = done("imatrix", model, "-f", text, "-o", out, "--chunk-size", "50")
    assert "3 of 3 chunks" in result.stderr and "over 3 chunks of 50 tokens" in result.stdout
    keys = keys_of(out)
    assert keys["general.type"] == "imatrix" and keys["imatrix.datasets"] == ["text.txt"]
    assert keys["imatrix.chunk_count"] == 3 and keys["imatrix.chunk_size"] == 50
    shapes = {t.name: list(t.shape) for t in gguf.GGUFReader(out).tensors}
    assert shapes["blk.0.ffn_up_exps.weight.in_sum2"] == [64, 7]
    assert shapes["blk.0.ffn_up_exps.weight.counts"] == [1, 7]
    assert shapes["blk.0.attn_v.weight.in_sum2"] == [64]


def test_a_run_goes_on_and_files_add_up(tmp_path):
    model, text = model_of("llama", tmp_path)
    flags = ["--chunk-size", "32", "-q"]
    done("imatrix", model, "-f", text, "-o", tmp_path / "whole.gguf", *flags)
    part = tmp_path / "part.gguf"
    done("imatrix", model, "-f", text, "-o", part, "--chunks", "2", *flags)
    assert keys_of(part)["imatrix.chunk_count"] == 2
    done("imatrix", model, "-f", text, "-o", part, "--continue", "--save-every", "1", *flags)
    whole, again = tensors_of(tmp_path / "whole.gguf"), tensors_of(part)
    assert keys_of(part) == keys_of(tmp_path / "whole.gguf")
    for name, numbers in whole.items():
        assert again[name] == pytest.approx(numbers, rel=1e-6), name
    done("imatrix", "--in", part, "--in", tmp_path / "whole.gguf", "-o", tmp_path / "sum.gguf")
    for name, numbers in tensors_of(tmp_path / "sum.gguf").items():
        assert numbers == pytest.approx(2 * whole[name], rel=1e-6), name
    (tmp_path / "other.txt").write_text(TEXT)
    result = run("imatrix", model, "-f", tmp_path / "other.txt", "-o", part, "--continue")
    assert result.returncode == 1 and "not made from this text" in result.stderr
    done("imatrix", model, "-f", tmp_path / "other.txt", "--in", part, "-o", part, *flags)
    assert keys_of(part)["imatrix.datasets"] == ["text.txt", "other.txt"]
    assert keys_of(part)["imatrix.chunk_count"] == 8


def test_refusals(tmp_path):
    model, text = model_of("llama", tmp_path)
    assert run("imatrix", model, "-f", text).returncode == 2
    assert run("imatrix", "-f", text, "-o", tmp_path / "x.gguf").returncode == 2
    result = run("imatrix", model, "-f", text, "-o", tmp_path / "x.gguf", "--chunk-size", "4000")
    assert result.returncode == 1 and "4000" in result.stderr
    result = run("imatrix", "--in", text, "-o", tmp_path / "x.gguf")
    assert result.returncode == 1 and "cannot be read" in result.stderr
    done("imatrix", model, "-f", text, "-o", tmp_path / "x.gguf", "-q")
    other, text = model_of("qwen3", tmp_path)
    result = run("imatrix", other, "-f", text, "--in", tmp_path / "x.gguf", "-o", tmp_path / "y.gguf")
    assert result.returncode == 1 and "of another model" in result.stderr
    assert not (tmp_path / "y.gguf").exists()
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".gguf", ".txt", "")]


@pytest.fixture(scope="module")
def texts():
    if not STORIES.exists():
        pytest.skip("the trained model is not here")
    return [importance.stories(BUILD, STORIES, "Once upon a time", 300, seeds)
            for seeds in (range(1, 17), range(1000, 1003))]


def test_quantised_files_come_nearer(texts, tmp_path):
    """On texts that were not measured, whatever the type."""
    kinds = ["Q4_0", "Q4_1", "IQ4_NL"]
    for kind, plain, weighed, error, less, _ in importance.compare(BUILD, STORIES, kinds, texts, tmp_path):
        assert weighed < plain and less < error, kind


def test_llama_cpp_loads_what_was_weighed(texts, tmp_path):
    llama_cpp = pytest.importorskip("llama_cpp")
    (tmp_path / "text.txt").write_text("\n".join(texts[0]))
    matrix = importance.measured(BUILD, STORIES, tmp_path / "text.txt", tmp_path / "imatrix.gguf")
    path = importance.quantized(BUILD, STORIES, tmp_path / "q.gguf", "Q4_0", "--imatrix", matrix)
    model = llama_cpp.Llama(str(path), n_ctx=128, verbose=False)
    answer = model.create_completion("Once upon a time", max_tokens=24, temperature=0.0)
    theirs = answer["choices"][0]["text"]
    ours = done("run", path, "--prompt", "Once upon a time", "--raw", "-q", "--temp", "0", "-n", "24").stdout
    assert theirs[:20].strip() and ours.strip().startswith(theirs.strip()[:20])


def test_encoders_are_measured_too(tmp_path):
    model, text = model_of("modernbert", tmp_path)
    done("imatrix", model, "-f", text, "-o", tmp_path / "out.gguf", "--chunk-size", "50", "-q")
    found = tensors_of(tmp_path / "out.gguf")
    assert all(
        n.item() == len(TEXT) for name, n in found.items() if name.endswith("counts"))
    assert {"blk.1.attn_qkv.weight.in_sum2", "blk.1.ffn_down.weight.in_sum2"} <= set(found)

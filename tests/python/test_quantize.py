# SPDX-License-Identifier: Apache-2.0
"""Quantised rows against the Python package gguf, and `switchyard quantize` from folder and file to
files that say what they said before; llama.cpp loads them where it is installed."""
import functools
import os
import pathlib
import subprocess
import sys

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from logits_probe import logits_of

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from families import FAMILIES, IDS, weights, write_folder, write_gguf, write_tokenizer  # noqa: E402

dump = functools.partial(logits_of, IDS)
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0"]


def quantised(name, rows, importance=None):
    command = [BUILD / "bin/quantize_probe", name, str(rows.shape[1])] + list(importance or [])
    result = subprocess.run(command, input=rows.tobytes(), capture_output=True)
    assert result.returncode == 0, result.stderr
    return np.frombuffer(result.stdout, np.uint8).reshape(len(rows), -1)


def error_of(kind, encoded, rows):
    back = quants.dequantize(encoded, kind).reshape(rows.shape)
    return float(np.sqrt(np.mean((back - rows) ** 2, dtype=np.float64)))


@pytest.mark.parametrize("name", TYPES)
def test_rows_are_what_the_format_means(name):
    """gguf decodes them, with an error no larger than that of its own encoder where it has one."""
    kind = GGMLQuantizationType[name]
    rows = (np.random.default_rng(1).standard_t(4, (64, 512)) * 0.03).astype(np.float32)
    error = error_of(kind, quantised(name, rows), rows)
    assert error < 0.6 * np.sqrt(np.mean(rows ** 2))
    try:
        theirs = quants.quantize(rows, kind)
    except NotImplementedError:
        return
    assert error <= error_of(kind, theirs, rows) * 1.0001


def run(*arguments):
    return subprocess.run([BUILD / "bin/switchyard", *map(str, arguments)], capture_output=True,
                          text=True)


def quantize(source, target, kind, *flags):
    result = run("quantize", source, target, "--type", kind, *flags)
    assert result.returncode == 0, result.stderr
    return gguf.GGUFReader(target)


def keys_of(reader):
    return {name: field.contents() for name, field in reader.fields.items()
            if not name.startswith("GGUF.") and name not in
            ("general.file_type", "general.quantization_version")}


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3", "phi3-longrope", "bert"])
@pytest.mark.parametrize("kind", ["f32", "Q8_0"])
def test_file_keeps_what_the_model_says(name, kind, tmp_path):
    write_gguf(name, tmp_path / "in.gguf")
    reader = quantize(tmp_path / "in.gguf", tmp_path / "out.gguf", kind)
    before = gguf.GGUFReader(tmp_path / "in.gguf")
    assert keys_of(reader) == keys_of(before)
    assert [t.name for t in reader.tensors] == [t.name for t in before.tensors]
    logits = dump(tmp_path / "out.gguf"), dump(tmp_path / "in.gguf")
    bound = 0.0 if kind == "f32" else 0.12 * np.abs(logits[1]).max()
    assert np.abs(logits[0] - logits[1]).max() <= bound


@pytest.mark.parametrize("name", FAMILIES)
def test_folder_becomes_the_file_that_converters_write(name, tmp_path):
    """The same tensors bit for bit, Llama's rows in GGUF's order."""
    write_folder(name, tmp_path / "folder")
    reader = quantize(tmp_path / "folder", tmp_path / "out.gguf", "f32")
    write_gguf(name, tmp_path / "converted.gguf")
    theirs = {t.name: t for t in gguf.GGUFReader(tmp_path / "converted.gguf").tensors}
    assert {t.name for t in reader.tensors} == set(theirs)
    for tensor in reader.tensors:
        assert list(tensor.shape) == list(theirs[tensor.name].shape), tensor.name
        exact = "rope_" not in tensor.name
        assert np.allclose(tensor.data, theirs[tensor.name].data, rtol=0 if exact else 1e-6,
                           atol=0), tensor.name
    assert "switchyard.rope.half_split" not in reader.fields
    # another order of rows is another order of sums
    assert np.allclose(dump(tmp_path / "out.gguf"), dump(tmp_path / "folder"), atol=2e-5)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
@pytest.mark.parametrize("name", ["mixtral", "qwen2moe", "gpt-oss", "gemma3n", "lfm2"])
def test_stacks_are_quantised_as_those_of_a_file(name, kind, tmp_path):
    """Experts that lie apart, go across or stand in MXFP4, and the rows of AltUp."""
    experts = {"mixtral": "apart", "qwen2moe": "apart"}.get(name)
    write_folder(name, tmp_path / "folder", experts=experts)
    write_gguf(name, tmp_path / "in.gguf")
    ours = quantize(tmp_path / "folder", tmp_path / "ours.gguf", kind)
    theirs = {t.name: t for t in quantize(tmp_path / "in.gguf", tmp_path / "theirs.gguf", kind).tensors}
    assert {t.name for t in ours.tensors} == set(theirs)
    for tensor in ours.tensors:
        assert np.array_equal(tensor.data, theirs[tensor.name].data), tensor.name
    dump(tmp_path / "ours.gguf")
    loaded, written = dump(tmp_path / "folder", "--quantization", kind), dump(tmp_path / "ours.gguf")
    assert np.abs(loaded - written).max() < 1e-3 * np.abs(written).max()
    if name in ("gpt-oss", "lfm2"):  # of the others a file has narrow rows in f16, or heads in another order
        assert np.array_equal(loaded, written)


def test_experts_in_mxfp4_stay_so(tmp_path):
    write_folder("gpt-oss", tmp_path / "folder", experts="MXFP4")
    types = types_of(quantize(tmp_path / "folder", tmp_path / "out.gguf", "Q8_0"))
    assert types["blk.0.ffn_up_exps.weight"] == types["blk.3.ffn_down_exps.weight"] == "MXFP4"
    assert types["blk.0.attn_q.weight"] == "Q8_0"
    assert np.array_equal(dump(tmp_path / "folder", "--quantization", "Q8_0"), dump(tmp_path / "out.gguf"))


def types_of(reader):
    return {t.name: t.tensor_type.name for t in reader.tensors}


def wide_folder(folder, monkeypatch, n_layers=8):
    """A llama with rows of 256, so that super-blocks fit, and a word for each byte."""
    import families
    monkeypatch.setattr(families, "WIDTH", 256)
    monkeypatch.setattr(families, "FF", 512)
    monkeypatch.setattr(families, "BASE", dict(families.BASE, hidden_size=256,
                                               intermediate_size=512, num_attention_heads=4))
    monkeypatch.setattr(families, "HEAD", 64)
    family = families.FAMILIES["smollm"]
    monkeypatch.setitem(families.FAMILIES, "smollm",
                        (family[0], family[1], dict(family[2], tie_word_embeddings=False),
                         n_layers))
    families.write_folder("smollm", folder)
    return folder


def test_mixtures_follow_the_field(tmp_path, monkeypatch):
    folder = wide_folder(tmp_path / "folder", monkeypatch)
    types = types_of(quantize(folder, tmp_path / "m.gguf", "Q4_K_M"))
    better = {0, 3, 6, 7}  # the first and last eighth, and every third between
    for i in range(8):
        wanted = "Q6_K" if i in better else "Q4_K"
        assert types[f"blk.{i}.attn_v.weight"] == types[f"blk.{i}.ffn_down.weight"] == wanted
        assert types[f"blk.{i}.attn_q.weight"] == types[f"blk.{i}.ffn_up.weight"] == "Q4_K"
        assert types[f"blk.{i}.attn_norm.weight"] == "F32"
    assert types["output.weight"] == "Q6_K" and types["token_embd.weight"] == "Q4_K"
    types = types_of(quantize(folder, tmp_path / "p.gguf", "Q4_K_M", "--pure"))
    assert {t for n, t in types.items() if "norm" not in n} == {"Q4_K"}
    types = types_of(quantize(folder, tmp_path / "s.gguf", "Q5_K_S"))
    assert {t for n, t in types.items() if "blk" in n and "norm" not in n} == {"Q5_K"}


def test_narrow_rows_take_smaller_blocks(tmp_path):
    write_folder("qwen3", tmp_path / "folder")
    types = types_of(quantize(tmp_path / "folder", tmp_path / "out.gguf", "Q4_K_M"))
    assert types["blk.1.ffn_up.weight"] == "Q5_0" and types["output.weight"] == "Q8_0"


@pytest.mark.parametrize("kind", ["Q4_K_M", "IQ4_XS", "Q3_K_M", "Q8_0"])
def test_bits_do_not_depend_on_workers(kind, tmp_path, monkeypatch):
    folder = wide_folder(tmp_path / "folder", monkeypatch, 3)
    quantize(folder, tmp_path / "one.gguf", kind, "--workers", "1")
    quantize(folder, tmp_path / "three.gguf", kind, "--workers", "3")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "three.gguf").read_bytes()


def write_imatrix(path, names, n_columns, seed=0):
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_string("general.type", "imatrix")
    for name in names:
        sums = (rng.lognormal(0, 2, n_columns) * 64).astype(np.float32)
        writer.add_tensor(f"{name}.in_sum2", sums.reshape(1, -1))
        writer.add_tensor(f"{name}.counts", np.array([[64.0]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_importance_lowers_the_weighted_error(tmp_path, monkeypatch):
    folder = wide_folder(tmp_path / "folder", monkeypatch, 2)
    name = "blk.0.ffn_up.weight"
    write_imatrix(tmp_path / "imatrix.gguf", [name], 256)
    mean = gguf.GGUFReader(tmp_path / "imatrix.gguf").tensors[0].data.reshape(-1) / 64
    import families
    rows = families.weights("smollm")["model.layers.0.mlp.up_proj.weight"]
    errors = []
    for flags in ([], ["--imatrix", tmp_path / "imatrix.gguf"]):
        reader = quantize(folder, tmp_path / "out.gguf", "Q4_K_S", *flags)
        tensor = next(t for t in reader.tensors if t.name == name)
        back = quants.dequantize(tensor.data, tensor.tensor_type).reshape(rows.shape)
        errors.append(float(np.mean((back - rows) ** 2 * mean)))
    assert errors[1] < 0.8 * errors[0], errors


def test_refusals(tmp_path):
    write_folder("smollm", tmp_path / "folder")
    result = run("quantize", tmp_path / "folder", tmp_path / "out.gguf", "--type", "Q9_K")
    assert result.returncode == 2 and "Q4_K_M" in result.stderr
    quantize(tmp_path / "folder", tmp_path / "q.gguf", "Q8_0")
    result = run("quantize", tmp_path / "q.gguf", tmp_path / "again.gguf", "--type", "Q4_0")
    assert result.returncode == 1 and "quantised already" in result.stderr
    assert not (tmp_path / "again.gguf").exists()
    write_imatrix(tmp_path / "other.gguf", ["blk.0.ffn_up.weight"], 96)
    result = run("quantize", tmp_path / "folder", tmp_path / "out.gguf", "--type", "Q8_0",
                 "--imatrix", tmp_path / "other.gguf")
    assert result.returncode == 1 and "of another model" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "other.gguf", "q.gguf"]


def test_weights_that_are_no_numbers_are_named(tmp_path, monkeypatch):
    import families
    arrays = dict(weights("smollm"))
    arrays["model.layers.1.mlp.up_proj.weight"][5, 7] = np.nan
    monkeypatch.setattr(families, "weights", lambda name: arrays)
    families.write_folder("smollm", tmp_path / "folder")
    result = run("quantize", tmp_path / "folder", tmp_path / "out.gguf", "--type", "Q8_0")
    assert result.returncode == 1
    assert "Row 5 of the tensor 'blk.1.ffn_up.weight': Column 7 is no number" in result.stderr


@pytest.mark.parametrize("source", ["folder", "file"])
def test_quantising_while_loading_equals_the_file(source, tmp_path):
    """Logits of a model quantised in memory against those of the file that quantize writes."""
    if source == "folder":
        write_folder("qwen2", tmp_path / "in")
    else:
        write_gguf("qwen2", tmp_path / "in")
    quantize(tmp_path / "in", tmp_path / "out.gguf", "Q8_0")
    loaded = dump(tmp_path / "in", "--quantization", "Q8_0")
    assert np.array_equal(loaded, dump(tmp_path / "out.gguf"))


# Not gemma3n, whose per-layer width llama.cpp takes for 256, and not the small gemma4, whose layers
# share states otherwise than it counts them.
@pytest.mark.parametrize("name", ["mixtral", "smollm3", "qwen2moe", "qwen3moe", "gpt-oss", "gemma3",
                                  "gemma4-dense", "lfm2", "phi4-mini"])
def test_llama_cpp_runs_what_folders_become(name, tmp_path):
    llama_cpp = pytest.importorskip("llama_cpp")
    experts = {"gpt-oss": "MXFP4", "mixtral": "apart", "qwen2moe": "apart", "qwen3moe": "apart"}
    write_folder(name, tmp_path / "folder", experts=experts.get(name))
    write_tokenizer(tmp_path / "folder")
    quantize(tmp_path / "folder", tmp_path / "out.gguf", "f16")
    model = llama_cpp.Llama(str(tmp_path / "out.gguf"), n_ctx=64, logits_all=True, verbose=False)
    model.eval(IDS)
    theirs = np.array(model.scores[:len(IDS)])
    ours = dump(tmp_path / "out.gguf")
    if name == "gpt-oss":  # it rounds the ends of YaRN's ramp to pairs: all alike where nothing turns
        theirs, ours = theirs[:1], ours[:1]
    difference = np.sqrt(np.mean((theirs - ours) ** 2) / np.mean(ours ** 2))
    # where blocks meet activations it rounds these to 8 bits
    assert difference < (0.1 if name == "gpt-oss" else 0.02), difference


def test_llama_cpp_generates_the_same_tokens(tmp_path, monkeypatch):
    llama_cpp = pytest.importorskip("llama_cpp")
    folder = wide_folder(tmp_path / "folder", monkeypatch, 4)
    write_tokenizer(folder)
    for kind in ("f16", "Q8_0", "Q4_K_M", "Q5_K_S", "Q6_K", "Q4_0", "IQ4_XS", "Q3_K_M", "Q2_K"):
        path = tmp_path / f"{kind}.gguf"
        quantize(folder, path, kind)
        model = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, verbose=False)
        model.eval(IDS)
        theirs = np.array(model.scores[:len(IDS)])
        ours = dump(path)
        # llama.cpp rounds activations to 8 bits where weights are quantised
        difference = np.sqrt(np.mean((theirs - ours) ** 2) / np.mean(ours ** 2))
        assert difference < (0.01 if kind == "f16" else 0.2), (kind, difference)
        top = np.sort(ours, axis=1)
        clear = top[:, -1] - top[:, -2] > 4 * np.sqrt(np.mean((theirs - ours) ** 2))
        assert clear.sum() >= 3, kind
        assert (theirs.argmax(1) == ours.argmax(1))[clear].all(), kind

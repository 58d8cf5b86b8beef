# SPDX-License-Identifier: Apache-2.0
"""Models as Hugging Face folders: logits of each family against transformers, the ways in which a
folder may be written, and folders that must be refused."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from families import FAMILIES, IDS, folder_config, stored, weights, write_folder  # noqa: E402

# Families that folders are read for; of the others, GGUF files are.
FOLDERS = ["llama", "smollm", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3",
           "phi3-longrope", "bert"]
assert set(FOLDERS) <= set(FAMILIES)
GOLDENS = json.loads((SOURCE / "tests/families/goldens.json").read_text())
PLUGINS = ["--without", "reference", "--plugins", str(BUILD / "plugins")]


def dump(path, *flags):
    command = [BUILD / "bin/logits_dump", path, "f32", "1", *flags, "--", *IDS]
    result = subprocess.run(list(map(str, command)), capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    return np.frombuffer(result.stdout, np.float32).astype(np.float64).reshape(len(IDS), -1)


def check_golden(name, found, tolerance=2e-5):
    golden = np.array(GOLDENS["rows"][name])
    difference = np.abs(found[-len(golden):] - golden).max()
    assert difference < tolerance * max(np.abs(golden).max(), 1), difference


@pytest.mark.parametrize("flags", [[], PLUGINS], ids=["reference", "cpu-xnnpack"])
@pytest.mark.parametrize("name", FOLDERS)
def test_logits_equal_transformers(name, flags, tmp_path):
    write_folder(name, tmp_path / name)
    check_golden(name, dump(tmp_path / name, *flags))


@pytest.mark.parametrize("name", [n for n in FOLDERS if n != "bert"])
def test_older_configurations_are_read(name, tmp_path):
    write_folder(name, tmp_path / name, as_older=True)
    check_golden(name, dump(tmp_path / name))


def test_shards_are_one_model(tmp_path):
    write_folder("qwen3", tmp_path, n_shards=3)
    check_golden("qwen3", dump(tmp_path))


def test_tensors_may_lie_askew(tmp_path):
    write_folder("llama", tmp_path, padding=3)
    check_golden("llama", dump(tmp_path))


@pytest.mark.parametrize("flags", [[], PLUGINS], ids=["reference", "cpu-xnnpack"])
@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_halves_equal_their_numbers(dtype, flags, tmp_path, monkeypatch):
    """A folder in bf16 or f16 against the same rounded numbers in f32."""
    import families
    write_folder("gemma2", tmp_path / "half", dtype=dtype)

    def rounded(name):
        arrays = {}
        for key, array in weights(name).items():
            bits = np.frombuffer(stored(array, dtype), "<u2" if dtype == "BF16" else "<f2")
            if dtype == "BF16":
                bits = (bits.astype(np.uint32) << 16).view(np.float32)
            arrays[key] = bits.astype(np.float32).reshape(array.shape)
        return arrays

    monkeypatch.setattr(families, "weights", rounded)
    families.write_folder("gemma2", tmp_path / "whole")
    half, whole = dump(tmp_path / "half", *flags), dump(tmp_path / "whole", *flags)
    # the delegate may round activations to the weights' type
    tolerance = 1e-5 if not flags else 2e-2
    assert np.abs(half - whole).max() < tolerance * max(1, np.abs(whole).max())


def describe(path):
    result = subprocess.run([BUILD / "bin/switchyard", "describe", path], capture_output=True,
                            text=True)
    return result.stdout + result.stderr


BAD = {
    "unknown type": (dict(model_type="mamba9"), "model_type 'mamba9' is not supported"),
    "no layers": (dict(num_hidden_layers=None), "has no 'num_hidden_layers'"),
    "negative": (dict(hidden_size=-4), "'hidden_size' of config.json is no number"),
    "text": (dict(num_attention_heads="4"), "'num_attention_heads' of config.json is no number"),
    "activation": (dict(hidden_act="relu"), "activation 'relu'"),
    "quantised": (dict(quantization_config=dict(bits=4)), "quantised already"),
    "dynamic rope": (dict(rope_parameters=dict(rope_type="dynamic", factor=2.0)),
                     "rope scaling 'dynamic'"),
    "more layers": (dict(num_hidden_layers=2000), "2000 layers"),
    "fewer layers": (dict(num_hidden_layers=2), "has no place in architecture 'llama' of 2"),
    "wider": (dict(intermediate_size=128), "ffn"),
}


@pytest.mark.parametrize("what", BAD)
def test_refusals_name_the_reason(what, tmp_path):
    change, words = BAD[what]
    write_folder("smollm", tmp_path)
    config = {k: v for k, v in dict(folder_config("smollm"), **change).items() if v is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert words in describe(tmp_path)


def test_missing_parts_are_named(tmp_path):
    assert "holds no model" in describe(tmp_path)
    write_folder("llama", tmp_path)
    (tmp_path / "config.json").unlink()
    assert "no config.json" in describe(tmp_path)
    write_folder("llama", tmp_path, n_shards=2)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002" in describe(tmp_path)


def test_a_tensor_without_a_place_is_refused(tmp_path):
    import families
    arrays = dict(weights("qwen2"), **{"model.layers.0.self_attn.sinks": np.zeros(4, np.float32)})
    write_folder("qwen2", tmp_path)
    families.write_safetensors(tmp_path / "model.safetensors", arrays, "F32")
    assert "'model.layers.0.self_attn.sinks' has no place" in describe(tmp_path)

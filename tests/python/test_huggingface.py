# SPDX-License-Identifier: Apache-2.0
"""Models as Hugging Face folders: logits of each family against transformers, the ways in which a
folder may be written, and folders that must be refused."""
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
from families import (FAMILIES, IDS, folder_config, stored, weights, write_folder,  # noqa: E402
                      write_gguf)

dump = functools.partial(logits_of, IDS)
GOLDENS = json.loads((SOURCE / "tests/families/goldens.json").read_text())
PLUGINS = ["--without", "reference", "--plugins", str(BUILD / "plugins")]


def check_golden(name, found, tolerance=2e-5):
    golden = np.array(GOLDENS["rows"][name])
    difference = np.abs(found[-len(golden):] - golden).max()
    assert difference < tolerance * max(np.abs(golden).max(), 1), difference


@pytest.mark.parametrize("flags", [[], PLUGINS], ids=["reference", "cpu-xnnpack"])
@pytest.mark.parametrize("name", FAMILIES)
def test_logits_equal_transformers(name, flags, tmp_path):
    write_folder(name, tmp_path / name)
    check_golden(name, dump(tmp_path / name, *flags))


@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "bert" and "gemma4" not in n])
def test_older_configurations_are_read(name, tmp_path):
    write_folder(name, tmp_path / name, as_older=True)
    check_golden(name, dump(tmp_path / name))


@pytest.mark.parametrize("name", ["mixtral", "qwen2moe", "qwen3moe"])
def test_experts_may_lie_apart(name, tmp_path):
    write_folder(name, tmp_path / "apart", experts="apart", n_shards=2)
    write_folder(name, tmp_path / "packed")
    check_golden(name, dump(tmp_path / "apart"))
    assert np.array_equal(dump(tmp_path / "apart"), dump(tmp_path / "packed"))


@pytest.mark.parametrize("flags", [[], PLUGINS], ids=["reference", "cpu-xnnpack"])
def test_experts_in_mxfp4_equal_transformers(flags, tmp_path):
    """The weights of gpt-oss's experts are numbers that MXFP4 holds exactly."""
    write_folder("gpt-oss", tmp_path / "folder", experts="MXFP4")
    # activations of cpu-xnnpack have 16 bits where they meet blocks
    check_golden("gpt-oss", dump(tmp_path / "folder", *flags), 3e-4 if flags else 2e-5)
    write_gguf("gpt-oss", tmp_path / "file.gguf", experts="MXFP4")
    assert np.array_equal(dump(tmp_path / "folder", *flags), dump(tmp_path / "file.gguf", *flags))


def test_one_file_holds_a_model_that_sees(tmp_path):
    """The text model within gemma3n, gemma4: other names, and towers that are left out."""
    import families
    for name, outer in (("gemma3", "gemma3"), ("gemma3n", "gemma3n"), ("gemma4", "gemma4")):
        arrays = {key.replace("model.", "model.language_model.", 1): array
                  for key, array in weights(name).items()}
        arrays["model.vision_tower.patch.weight"] = np.zeros((4, 4), np.float32)
        arrays["model.embed_audio.projection.weight"] = np.zeros((4, 4), np.float32)
        folder = tmp_path / outer
        folder.mkdir()
        families.write_safetensors(folder / "model.safetensors", arrays, "F32")
        config = dict(model_type=outer, text_config=folder_config(name), vision_config={})
        (folder / "config.json").write_text(json.dumps(config))
        check_golden(name, dump(folder))


def test_ids_of_pictures_have_no_rows(tmp_path):
    """Gemma 3n has embeddings past its per-layer table, for what is no text."""
    import families
    arrays = weights("gemma3n")
    table = arrays["model.embed_tokens.weight"]
    more = np.ones((8, table.shape[1]), np.float32)
    arrays["model.embed_tokens.weight"] = np.concatenate([table, more])
    config = dict(folder_config("gemma3n"), vocab_size=len(table) + 8)
    (tmp_path / "config.json").write_text(json.dumps(config))
    families.write_safetensors(tmp_path / "model.safetensors", arrays, "F32")
    check_golden("gemma3n", dump(tmp_path))


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


# What only some families can say: the family, the change, the words.
BAD_OF = {
    "layer type": ("llama", dict(layer_types=["chunked_attention"] * 3),
                   "Layer 0 is of type 'chunked_attention'"),
    "convolution": ("qwen3", dict(layer_types=["conv"] * 3), "Layer 0 is of type 'conv'"),
    "both ways": ("qwen3", dict(use_bidirectional_attention=True), "attention of this model is bidirectional"),
    "gemma 4 both ways": ("gemma4", dict(use_bidirectional_attention="all"), "bidirectional"),
    "gemma 4 experts": ("gemma4", dict(enable_moe_block=True), "'enable_moe_block' of config.json is true"),
    "overrides": ("llama", dict(per_layer_config={"1": dict(head_dim=8)}), "per_layer_config sets 'head_dim' of layer 1"),
    "other overrides": ("gemma4", dict(per_layer_config={"1": dict(sliding_window=8)}),
                        "per_layer_config sets 'sliding_window' of layer 1"),
    "heads of three sizes": ("gemma4", dict(per_layer_config={"02": dict(head_dim=32), "5": dict(head_dim=64)}),
                             "heads of 32 and of 64"),
    "swiglu": ("gpt-oss", dict(swiglu_limit=9.0), "limit 9; 1.702 and 7"),
    "truncated yarn": ("gpt-oss", dict(rope_parameters=dict(rope_type="yarn", factor=8.0)), "(truncate,"),
    "rotations": ("smollm3", dict(no_rope_layers=[1, 1, 0, 1, 1]), "no_rope_layers names others"),
    "local rope": ("gemma3", dict(rope_parameters=dict(
        full_attention=dict(rope_type="default"),
        sliding_attention=dict(rope_type="linear", factor=2.0))), "rope of windowed layers is scaled"),
    "convolution bias": ("lfm2", dict(conv_bias=True), "'conv_bias' of config.json is true"),
    "correction": ("gemma3n", dict(altup_correct_scale=False), "'altup_correct_scale' of config.json is false"),
    "sparsity": ("gemma3n", dict(activation_sparsity_pattern=[0.5]), "is no list of 6 numbers"),
    "widths": ("gemma3n", dict(intermediate_size=[96] * 5), "has 5 entries for 6 layers"),
    "experts": ("mixtral", dict(num_local_experts=4), "experts.4.w1.weight' has no place"),
    "missing experts": ("mixtral", dict(num_local_experts=6), "Matrix 5 of 6 of the tensor 'blk.0.ffn_gate_exps.weight'"),
    "many experts": ("mixtral", dict(num_local_experts=70000), "70000 experts"),
    "other quantisation": ("gpt-oss", dict(quantization_config=dict(quant_method="awq")), "quantised already"),
}


@pytest.mark.parametrize("what", BAD_OF)
def test_refusals_of_families_name_the_reason(what, tmp_path):
    name, change, words = BAD_OF[what]
    write_folder(name, tmp_path, experts="apart" if name == "mixtral" else None)
    (tmp_path / "config.json").write_text(json.dumps(dict(folder_config(name), **change)))
    assert words in describe(tmp_path)


def test_shapes_of_experts_are_checked(tmp_path):
    import families
    for name, key, shape in (("mixtral", "mlp.experts.gate_up_proj", (5, 3, 64)),
                             ("gpt-oss", "mlp.experts.gate_up_proj_bias", (5, 3))):
        arrays = dict(weights(name), **{f"model.layers.1.{key}": np.zeros(shape, np.float32)})
        write_folder(name, tmp_path / name)
        families.write_safetensors(tmp_path / name / "model.safetensors", arrays, "F32")
        assert f"'model.layers.1.{key}' has not the shape of packed experts" in describe(tmp_path / name)
    arrays = families.experts_in_mxfp4(weights("gpt-oss"))
    key = "model.layers.0.mlp.experts.down_proj_scales"
    arrays[key] = arrays[key][:, :, :1]
    families.write_safetensors(tmp_path / "gpt-oss" / "model.safetensors", arrays, "F32")
    assert "'model.layers.0.mlp.experts.down_proj_blocks' has not the shape" in describe(tmp_path / "gpt-oss")


def rewrite(path, **changes):
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **changes)))


def test_modules_that_are_not_run_are_named(tmp_path):
    import families
    name = "qwen3-embedding"
    write_folder(name, tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    for kind, words in (("LayerNorm", "module 'LayerNorm' of modules.json is not run"),
                        ("Dense", "'2_Extra' (Dense) has no place behind the pooling")):
        more = dict(idx=3, name="3", path="2_Extra", type=f"sentence_transformers.models.{kind}")
        (tmp_path / "modules.json").write_text(json.dumps(modules + [more]))
        assert words in describe(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    rewrite(tmp_path / "1_Pooling/config.json", pooling_mode_lasttoken=False, pooling_mode_max_tokens=True)
    assert "pooling of '1_Pooling' is max; mean, cls or lasttoken" in describe(tmp_path)
    rewrite(tmp_path / "1_Pooling/config.json", pooling_mode_mean_tokens=True)
    assert "several at once" in describe(tmp_path)
    gemma = tmp_path / "gemma"
    write_folder("embeddinggemma", gemma)
    rewrite(gemma / "2_Dense/config.json", activation_function="torch.nn.modules.activation.Tanh")
    assert "'2_Dense' is more than a matrix" in describe(gemma)
    rewrite(gemma / "2_Dense/config.json", activation_function="torch.nn.modules.linear.Identity")
    families.write_safetensors(gemma / "2_Dense/model.safetensors", {
        "linear.weight": np.zeros((80, 64), np.float32), "linear.bias": np.zeros(80, np.float32)}, "F32")
    assert "'2_Dense' is more than a matrix" in describe(gemma)


def test_a_classifier_of_several_numbers_is_refused(tmp_path):
    import families
    write_folder("bert", tmp_path)
    arrays = dict(weights("bert"), **{"classifier.weight": np.zeros((3, 64), np.float32)})
    families.write_safetensors(tmp_path / "model.safetensors", arrays, "F32")
    assert "The classifier gives 3 numbers" in describe(tmp_path)


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


@pytest.mark.parametrize("extra,words", [
    ("model.layers.0.self_attn.odd.weight", "'model.layers.0.self_attn.odd.weight' has no place"),
    ("model.odd.weight", "'model.odd.weight' has no place"),
    ("model.layers.0.self_attn.sinks", "'blk.0.attn_sinks.weight' has no place")])  # another family's
def test_a_tensor_without_a_place_is_refused(extra, words, tmp_path):
    import families
    arrays = dict(weights("qwen2"), **{extra: np.zeros(4, np.float32)})
    write_folder("qwen2", tmp_path)
    families.write_safetensors(tmp_path / "model.safetensors", arrays, "F32")
    assert words in describe(tmp_path)

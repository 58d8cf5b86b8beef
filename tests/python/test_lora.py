# SPDX-License-Identifier: Apache-2.0
"""Logits of tiny random models with LoRA adapters against peft in float64 and merged weights."""
import functools
import json
import os
import pathlib
import sys

import numpy as np
import pytest

from logits_probe import logits_of

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "tests/families"))
from adapters import (ADAPTED, ALPHA, RANK, VARIATION, VARIED, pairs, write_adapter,  # noqa: E402
                      write_merged, write_peft)
from families import IDS, all_shapes, write_folder, write_gguf  # noqa: E402

dump = functools.partial(logits_of, IDS)
GOLDENS = json.loads((SOURCE / "tests/families/goldens_lora.json").read_text())
DELEGATES = {"reference": [], "cpu-xnnpack": ["--without", "reference", "--plugins",
                                              BUILD / "plugins"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    for name in ADAPTED:
        write_gguf(name, folder / f"{name}.gguf")
        write_merged(name, folder / f"{name}-merged.gguf")
        write_adapter(name, folder / f"{name}-lora.gguf")
        write_adapter(name, folder / f"{name}-lora-f16.gguf", np.float16)
        write_folder(name, folder / name)
        write_peft(name, folder / f"{name}-peft")
    return folder


def difference(a, b):
    return np.abs(a - b).max() / max(np.abs(b).max(), 1)


@pytest.mark.parametrize("delegate", DELEGATES)
@pytest.mark.parametrize("name", ADAPTED)
def test_logits_equal_peft_and_merged_weights(files, name, delegate):
    golden = np.array(GOLDENS["rows"][name])
    lora = ["--lora", files / f"{name}-lora.gguf", *DELEGATES[delegate]]
    found = dump(files / f"{name}.gguf", *lora)
    base = dump(files / f"{name}.gguf", *DELEGATES[delegate])
    merged = dump(files / f"{name}-merged.gguf", *DELEGATES[delegate])
    assert difference(found[-len(golden):], golden) < 2e-5
    assert difference(found, merged) < 2e-5
    assert difference(base[-len(golden):], golden) > 0.05  # the adapter does something


@pytest.mark.parametrize("delegate", DELEGATES)
@pytest.mark.parametrize("kind", ["gguf on folder", "peft on gguf", "peft on folder"])
@pytest.mark.parametrize("name", ADAPTED)
def test_files_and_folders_mix(files, name, kind, delegate):
    adapter, base = kind.split(" on ")
    lora = files / (f"{name}-peft" if adapter == "peft" else f"{name}-lora.gguf")
    model = files / (name if base == "folder" else f"{name}.gguf")
    golden = np.array(GOLDENS["rows"][name])
    found = dump(model, "--lora", lora, *DELEGATES[delegate])
    assert difference(found[-len(golden):], golden) < 2e-5


@pytest.mark.parametrize("base", ["folder", "gguf"])
@pytest.mark.parametrize("name", VARIED)
def test_ranks_and_scales_by_module_equal_peft(files, tmp_path, name, base):
    write_peft(name, tmp_path / "varied", **VARIATION)
    model = files / (name if base == "folder" else f"{name}.gguf")
    golden = np.array(GOLDENS["varied"][name])
    found = dump(model, "--lora", tmp_path / "varied")
    assert difference(found[-len(golden):], golden) < 2e-5
    assert difference(np.array(GOLDENS["rows"][name]), golden) > 0.05


@pytest.mark.parametrize("delegate", DELEGATES)
@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_peft_in_halves_is_near(files, tmp_path, dtype, delegate):
    write_peft("llama", tmp_path / "half", dtype)
    flags = DELEGATES[delegate]
    exact = dump(files / "llama.gguf", "--lora", files / "llama-peft", *flags)
    half = dump(files / "llama.gguf", "--lora", tmp_path / "half", *flags)
    assert 0 < difference(half, exact) < (5e-3 if dtype == "F16" else 4e-2)


@pytest.mark.parametrize("delegate", DELEGATES)
@pytest.mark.parametrize("blocks", ["Q8_0", "Q5_0"])
@pytest.mark.parametrize("name", ["llama", "phi3"])
def test_blocks_equal_what_they_hold(files, tmp_path, name, blocks, delegate):
    write_adapter(name, tmp_path / "blocks.gguf", blocks=blocks)
    write_adapter(name, tmp_path / "held.gguf", blocks=blocks, unpacked=True)
    for model in (f"{name}.gguf", name):
        found, held = (dump(files / model, "--lora", tmp_path / f"{file}.gguf",
                            *DELEGATES[delegate]) for file in ("blocks", "held"))
        assert np.array_equal(found, held)


@pytest.mark.parametrize("name", ADAPTED)
def test_one_prefill_equals_single_tokens(files, name):
    lora = ["--lora", files / f"{name}-lora.gguf", *DELEGATES["cpu-xnnpack"]]
    single = dump(files / f"{name}.gguf", *lora)[-1]
    assert np.array_equal(single, dump(files / f"{name}.gguf", *lora, chunk=len(IDS))[0])


@pytest.mark.parametrize("delegate", DELEGATES)
def test_adapter_in_f16_is_near(files, delegate):
    flags = DELEGATES[delegate]
    exact = dump(files / "qwen2.gguf", "--lora", files / "qwen2-lora.gguf", *flags)
    half = dump(files / "qwen2.gguf", "--lora", files / "qwen2-lora-f16.gguf", *flags)
    assert 0 < difference(half, exact) < 5e-3


def rewrite(source, path, change):
    """A copy of a GGUF file whose matrices pass through change(name, array) -> (data, raw type)."""
    from gguf import GGUFReader, GGUFWriter
    reader = GGUFReader(source)
    writer = GGUFWriter(str(path), "qwen2")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value, kind = field.contents(), field.types
        if len(kind) > 1:
            writer.add_array(field.name, value)
        else:
            writer.add_key_value(field.name, value, kind[0])
    for tensor in reader.tensors:
        data, kind = np.array(tensor.data), None
        if tensor.name.endswith("weight") and data.ndim == 2:
            data, kind = change(tensor.name, data)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("delegate", DELEGATES)
def test_quantised_base_equals_the_merge_of_what_it_holds(files, delegate):
    """A Q8_0 base with the adapter against f32 weights: what Q8_0 rounded them to, plus B A."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize
    q8 = GGMLQuantizationType.Q8_0
    shapes = all_shapes("qwen2")
    deltas = {shapes[theirs][0][0]: np.float32(ALPHA / RANK) * (b @ a)
              for theirs, (a, b) in pairs("qwen2").items()}
    base, merged = files / "qwen2-q8_0.gguf", files / f"qwen2-q8_0-merged-{delegate}.gguf"
    rewrite(files / "qwen2.gguf", base, lambda _, w: (quantize(w, q8), q8))
    rewrite(files / "qwen2.gguf", merged, lambda name, w: (
        dequantize(quantize(w, q8), q8) + deltas.get(name, np.float32(0)), None))
    flags, lora = DELEGATES[delegate], ["--lora", files / "qwen2-lora.gguf"]
    expected, found = dump(merged, *flags), dump(base, *lora, *flags)
    assert difference(found, expected) < 1e-3
    last = found[-1]
    assert delegate == "reference" or np.array_equal(last, dump(base, *lora, *flags, chunk=len(IDS))[0])
    assert difference(dump(base, *flags), expected) > 0.05

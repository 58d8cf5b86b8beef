# SPDX-License-Identifier: Apache-2.0
"""Rows of every type through the reference decoder against gguf-py, bit for bit; Q8_1, Q8_K, Q1_0,
Q2_0 and the nibble types, which gguf-py does not decode, against their definition in numpy."""
import subprocess
import sys

import gguf
import numpy as np
import pytest

from op_probe import BLOCKS, ROOT, decode, encode, from_bf16

GGUF_TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
              "IQ4_NL", "IQ4_XS", "MXFP4", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S",
              "IQ1_S", "IQ1_M", "TQ1_0", "TQ2_0", "NVFP4"]
# Where the f16 scales of a block lie.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q8_1": [0, 2],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "Q8_K": [], "IQ2_XXS": [0], "IQ2_XS": [0],
          "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [], "TQ1_0": [52],
          "TQ2_0": [64], "NVFP4": [], "Q1_0": [0], "Q2_0": [0]}
SPECIAL_F16 = [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff,
               0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01, 0xffff]


def same_bits(got, want):
    got, want = np.asarray(got, np.float32).ravel(), np.asarray(want, np.float32).ravel()
    nan = np.isnan(got) & np.isnan(want)
    return bool(np.all(nan | (got.view(np.uint32) == want.view(np.uint32))))


def sample_blocks(type_name, rng):
    """Random blocks, blocks of all zeros and all ones, and every special scale."""
    n_bytes = BLOCKS[type_name][1]
    blocks = rng.integers(0, 256, (400, n_bytes), dtype=np.uint8)
    blocks[0], blocks[1], blocks[2], blocks[3] = 0, 255, 0x55, 0xaa
    for i, bits in enumerate(SPECIAL_F16 * 4):
        for j, place in enumerate(SCALES[type_name]):
            other = SPECIAL_F16[(i * 7 + j * 3) % 16] if j else bits
            blocks[16 + i, place:place + 2] = np.frombuffer(np.uint16(other).tobytes(), np.uint8)
    if type_name == "MXFP4":
        blocks[16:272, 0] = np.arange(256)
    if type_name == "NVFP4":
        blocks[16:272, :4] = (np.arange(256)[:, None] + np.arange(4) * 64) % 256
    if type_name == "IQ1_M":  # a special scale in the top four bits of four words
        words = blocks[16:80, 48:].copy().view(np.uint16)
        for k in range(4):
            quarter = np.array(SPECIAL_F16 * 4, np.uint16) >> np.uint16(4 * k) & np.uint16(15)
            words[:, k] = words[:, k] & np.uint16(0x0fff) | quarter << np.uint16(12)
        blocks[16:80, 48:] = words.view(np.uint8)
    return blocks


@pytest.mark.parametrize("type_name", GGUF_TYPES)
def test_block_types_decode_as_gguf_py(type_name):
    blocks = sample_blocks(type_name, np.random.default_rng(1))
    with np.errstate(all="ignore"):
        want = gguf.quants.dequantize(blocks.reshape(1, -1),
                                      getattr(gguf.GGMLQuantizationType, type_name))
    assert same_bits(decode(type_name, blocks.tobytes(), want.size), want)


@pytest.mark.parametrize("type_name,n_head,scale_type", [("Q8_1", 4, np.float16),
                                                         ("Q8_K", 4, np.float32)])
def test_activation_block_types_decode_by_definition(type_name, n_head, scale_type):
    blocks = sample_blocks(type_name, np.random.default_rng(2))
    n_elements = BLOCKS[type_name][0]
    size = np.dtype(scale_type).itemsize
    d = blocks[:, :size].copy().view(scale_type).astype(np.float32)
    with np.errstate(all="ignore"):
        want = d * blocks[:, n_head:n_head + n_elements].view(np.int8).astype(np.float32)
    assert same_bits(decode(type_name, blocks.tobytes(), want.size), want)


@pytest.mark.parametrize("type_name,bits", [("Q1_0", 1), ("Q2_0", 2)])
def test_plain_bit_types_decode_by_definition(type_name, bits):
    blocks = sample_blocks(type_name, np.random.default_rng(6))
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    fields = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").reshape(len(blocks), -1, bits)
    q = (fields << np.arange(bits, dtype=np.uint8)).sum(axis=2).astype(np.float32)
    with np.errstate(all="ignore"):
        want = d * (2 * q - 1 if bits == 1 else q - 1)
    assert same_bits(decode(type_name, blocks.tobytes(), want.size), want)


def every_entry(type_name):
    """Blocks that use every entry of a code book with every sign pattern that may go with it."""
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (2048, BLOCKS[type_name][1]), dtype=np.uint8)
    blocks[:, :2] = np.array([0.01], np.float16).view(np.uint8)
    if type_name == "IQ1_M":
        blocks[:, 49::2] &= 0x0f
        blocks[:, 55] |= 0x20  # d = 2^-7
    return blocks


@pytest.mark.parametrize("type_name", ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S",
                                       "IQ1_M"])
def test_every_entry_of_the_code_books(type_name):
    blocks = every_entry(type_name)
    want = gguf.quants.dequantize(blocks, getattr(gguf.GGMLQuantizationType, type_name))
    kind = getattr(gguf.quants, type_name)
    width = kind.grid_shape[1]
    scales = np.abs(want).reshape(-1, width)
    if not type_name.startswith("IQ1"):  # what was drawn covers the book
        assert len(np.unique(np.round(scales / scales.max(axis=1, keepdims=True), 4), axis=0)) > \
            kind.grid_shape[0] // 2
    assert same_bits(decode(type_name, blocks.tobytes(), want.size), want)


def test_the_kept_code_books_are_those_of_the_format():
    script = ROOT / "core/reference/make_grids.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_f16_and_bf16_decodes():
    bits = np.arange(65536, dtype=np.uint16)
    assert same_bits(decode("f16", bits.tobytes(), 65536), bits.view(np.float16).astype(np.float32))
    assert same_bits(decode("bf16", bits.tobytes(), 65536), from_bf16(bits))


@pytest.mark.parametrize("type_name,dtype", [("i8", np.int8), ("i16", np.int16), ("i32", np.int32),
                                             ("i64", np.int64), ("u8", np.uint8),
                                             ("u16", np.uint16), ("f64", np.float64)])
def test_plain_types_decode(type_name, dtype):
    values = np.frombuffer(np.random.default_rng(3).bytes(8192), dtype)
    with np.errstate(all="ignore"):
        assert same_bits(decode(type_name, values.tobytes(), values.size), values)


def test_nibbles_and_bool_decode():
    data = bytes(range(256))
    low, high = np.arange(256) & 15, np.arange(256) >> 4
    unsigned = np.stack([low, high], 1).ravel().astype(np.float32)
    assert same_bits(decode("u4", data, 512), unsigned)
    assert same_bits(decode("i4", data, 512), np.where(unsigned > 7, unsigned - 16, unsigned))
    assert same_bits(decode("bool", data, 256), np.arange(256) != 0)


def hard_floats(rng):
    """Ordinary values, ties between neighbours of f16 and bf16, subnormals, extremes."""
    halves = np.arange(0, 0x7c00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    brains = from_bf16(rng.integers(0, 0x7f80, 4000, dtype=np.uint16))
    bits = rng.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
    near = np.concatenate([np.nextafter(middles, np.float32(0)), middles,
                           np.nextafter(middles, np.float32(1e9))])
    extremes = np.array([0, -0.0, 65504, 65519.99, 65520, 65536, 1e-45, 2**-25, 3.4e38, np.inf],
                        np.float32)
    all_values = np.concatenate([near, brains, bits, extremes,
                                 (brains.view(np.uint32) | 0x8000).view(np.float32)])
    return np.concatenate([all_values, -all_values])


def test_narrowing_rounds_to_nearest_even():
    values = hard_floats(np.random.default_rng(4))
    with np.errstate(all="ignore"):
        halves = values.astype(np.float16)
        brains = gguf.quants.quantize(values.reshape(1, -1), gguf.GGMLQuantizationType.BF16)
    got = np.frombuffer(encode("f16", values), np.float16)
    number = ~np.isnan(values)
    assert np.all(np.isnan(got) == np.isnan(halves))
    assert np.array_equal(got.view(np.uint16)[number], halves.view(np.uint16)[number])
    got = np.frombuffer(encode("bf16", values), np.uint16)
    assert np.all(np.isnan(from_bf16(got)) == np.isnan(values))
    assert np.array_equal(got[number], brains.view(np.uint16).ravel()[number])


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_0"])
def test_state_types_encode_as_gguf_py(type_name):
    rng = np.random.default_rng(5)
    values = rng.normal(size=(200, 32)).astype(np.float32) * np.exp(rng.normal(size=(200, 1)) * 3)
    values = values.astype(np.float32)
    values[0], values[1, ::2], values[2] = 0, 0, 1e-3
    values[3] = np.arange(32) - 16
    want = gguf.quants.quantize(values, getattr(gguf.GGMLQuantizationType, type_name))
    assert encode(type_name, values.ravel()) == want.tobytes()


def test_encoding_strange_values_stays_within_the_block():
    for type_name in ("Q8_0", "Q4_0"):
        for value in (np.nan, np.inf, -np.inf, 3.4e38, 1e-45):
            values = np.linspace(-1, 1, 96).astype(np.float32)
            values[40] = value
            plain = decode(type_name, encode(type_name, np.linspace(-1, 1, 96)), 96)
            got = decode(type_name, encode(type_name, values), 96)
            assert np.array_equal(got[:32], plain[:32]) and np.array_equal(got[64:], plain[64:])
            if np.isnan(value):
                assert np.all(np.isfinite(got))

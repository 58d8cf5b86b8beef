# SPDX-License-Identifier: Apache-2.0
"""Rows of every type through the reference decoder against gguf-py, bit for bit; Q8_1, Q8_K and the
nibble types, which gguf-py does not decode, against their definition in numpy."""
import gguf
import numpy as np
import pytest

from op_probe import BLOCKS, decode, encode, from_bf16

GGUF_TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
              "IQ4_NL", "IQ4_XS", "MXFP4"]
# Where the f16 scales of a block lie.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q8_1": [0, 2],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "Q8_K": []}
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

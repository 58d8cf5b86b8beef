# SPDX-License-Identifier: Apache-2.0
"""The operators of domain switchyard on the reference delegate against float64 formulas in numpy, in
every type, and what the ONNX node tests leave open (types, symbols, errors)."""
import math

import gguf
import numpy as np
import pytest

from op_probe import (BLOCKS, TOKENS, TYPES, Failure, Output, Probe, State, Tensor, Weight, decode,
                      encode, rounded)

FLOATS = ["f32", "f16", "bf16"]
EPSILON = {"f32": 2e-6, "f16": 1.2e-3, "bf16": 9e-3}
OUT_OF_RANGE, UNIMPLEMENTED, INVALID = 11, 12, 3


@pytest.fixture(scope="module")
def probe():
    probe = Probe(n_workers=2)
    yield probe
    probe.close()


def close_to(got, want, type_name, scale=1.0):
    want = np.asarray(want, np.float64)
    tolerance = EPSILON[type_name]
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=tolerance,
                               atol=tolerance * scale)


def ours(probe, op, inputs, outputs, **keywords):
    return probe.run("switchyard", op, 1, inputs, outputs, **keywords)


def refused(probe, reason, op, inputs, outputs, domain="switchyard", version=1, **keywords):
    """The delegate says no, with this reason and some words."""
    with pytest.raises(Failure) as failure:
        probe.run(domain, op, version, inputs, outputs, **keywords)
    assert failure.value.status == UNIMPLEMENTED
    assert f"(reason {reason}): " in str(failure.value) and str(failure.value)[-3:] != "): "


# --- weights of every type ----------------------------------------------------------------------

def random_weight(type_name, n, k, rng):
    """Bytes of [n, k] and their values by an outside decoder."""
    if type_name in FLOATS:
        values = rng.normal(size=(n, k)) * 0.1
        return Weight(type_name, values), rounded(type_name, values)
    elements, n_bytes = BLOCKS[type_name]
    blocks = rng.integers(0, 256, (n * k // elements, n_bytes), dtype=np.uint8)
    scales = {"Q2_K": [80, 82], "Q3_K": [108], "Q6_K": [208], "MXFP4": [], "Q8_K": [],
              "IQ1_M": [], "TQ1_0": [52], "TQ2_0": [64], "NVFP4": []}
    places = scales.get(type_name, [0, 2] if type_name in ("Q4_1", "Q5_1", "Q8_1", "Q4_K", "Q5_K")
                        else [0])
    for place in places:
        d = (rng.uniform(0.001, 0.01, len(blocks))).astype(np.float16)
        blocks[:, place:place + 2] = d.view(np.uint8).reshape(-1, 2)
    if type_name == "MXFP4":
        blocks[:, 0] = rng.integers(118, 124, len(blocks))
    if type_name == "NVFP4":
        blocks[:, :4] = rng.integers(8, 24, (len(blocks), 4))
    if type_name == "IQ1_M":
        blocks[:, 49:55:2] &= 0x0f
        blocks[:, 55] = blocks[:, 55] & 0x0f | 0x20  # d = 2^-7
    if type_name == "Q8_K":
        blocks[:, :4] = rng.uniform(0.001, 0.01, len(blocks)).astype(np.float32).view(
            np.uint8).reshape(-1, 4)
    data = blocks.tobytes()
    if type_name in ("Q8_1", "Q8_K", "Q1_0", "Q2_0"):  # gguf-py lacks them, X
        values = decode(type_name, data, n * k)
    else:
        values = gguf.quants.dequantize(blocks.reshape(n, -1),
                                        getattr(gguf.GGMLQuantizationType, type_name))
    return Weight(type_name, shape=(n, k), data=data), values.reshape(n, k).astype(np.float64)


WEIGHTS = FLOATS + [t for t in BLOCKS if t not in ("i4", "u4")]


@pytest.mark.parametrize("type_name", WEIGHTS)
def test_linear_reads_every_weight_type(probe, type_name):
    rng = np.random.default_rng(TYPES[type_name])
    n, k = 37, 512
    weight, values = random_weight(type_name, n, k, rng)
    for x_type in FLOATS:
        x = rng.normal(size=(5, k))
        bias = rng.normal(size=n)
        want = rounded(x_type, x) @ values.T
        (y,) = ours(probe, "Linear", [Tensor(x_type, x), weight], [Output("f32", (5, n))])
        close_to(y, want, "f32", scale=10)
        (y,) = ours(probe, "Linear", [Tensor(x_type, x), weight, Weight("f32", bias)],
                    [Output(x_type, (5, n))])
        close_to(y, want + rounded("f32", bias), x_type, scale=10)


def test_linear_shapes(probe):
    rng = np.random.default_rng(7)
    for shape, n in [((3,), 4), ((1, 3), 1), ((2, 3, 5), 19), ((0, 5), 4), ((2, 1, 2, 7), 33)]:
        x, w = rng.normal(size=shape), rng.normal(size=(n, shape[-1]))
        (y,) = ours(probe, "Linear", [Tensor("f32", x), Tensor("f32", w)],
                    [Output("f32", shape[:-1] + (n,))])
        close_to(y, rounded("f32", x) @ rounded("f32", w).T, "f32")
    refused(probe, 3, "Linear", [Tensor("f32", np.zeros((2, 3))), Weight("f32", np.zeros((4, 5)))],
            [Output("f32", (2, 4))])
    refused(probe, 2, "Linear", [Tensor("i32", np.zeros((2, 3))), Weight("f32", np.zeros((4, 3)))],
            [Output("f32", (2, 4))])


@pytest.mark.parametrize("type_name", WEIGHTS)
def test_embedding_reads_every_table_type(probe, type_name):
    table, values = random_weight(type_name, 20, 512, np.random.default_rng(TYPES[type_name] + 50))
    ids = np.array([0, 19, 7, 7, 3])
    for scale in (1.0, 22.627416997969522):
        (y,) = ours(probe, "Embedding", [Tensor("i32", ids), table], [Output("f32", (5, 512))],
                    scale=scale)
        assert np.array_equal(y, (values[ids] * scale).astype(np.float32))


@pytest.mark.parametrize("bad", [-1, 20, 2**31 - 1, -2**31])
def test_embedding_refuses_ids_out_of_range(probe, bad):
    with pytest.raises(Failure) as failure:
        ours(probe, "Embedding", [Tensor("i32", [3, bad]), Weight("f32", np.zeros((20, 8)))],
             [Output("f32", (2, 8))])
    assert failure.value.status == OUT_OF_RANGE and "Embedding" in str(failure.value)
    assert f"id {bad} at row 1" in str(failure.value)


# --- rotary -------------------------------------------------------------------------------------

def rotary(x, positions, frequency, n_heads, interleaved, magnitude):
    n_tokens, width = x.shape
    heads = x.reshape(n_tokens, n_heads, width // n_heads).copy()
    half = len(frequency)
    angle = positions[:, None].astype(np.float64) * frequency[None, :].astype(np.float64)
    cos, sin = np.cos(angle)[:, None] * magnitude, np.sin(angle)[:, None] * magnitude
    if interleaved:
        a, b = heads[..., 0:2 * half:2].copy(), heads[..., 1:2 * half:2].copy()
        heads[..., 0:2 * half:2], heads[..., 1:2 * half:2] = a * cos - b * sin, b * cos + a * sin
    else:
        a, b = heads[..., :half].copy(), heads[..., half:2 * half].copy()
        heads[..., :half], heads[..., half:2 * half] = a * cos - b * sin, b * cos + a * sin
    return heads.reshape(n_tokens, width)


@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("rotary_size", [16, 8, 0])
def test_rotary_embedding(probe, type_name, interleaved, rotary_size):
    rng = np.random.default_rng(11)
    x = rng.normal(size=(6, 3 * 16))
    positions = np.array([0, 1, 5, 100, 8191, 131071])
    frequency = (10000.0 ** (-np.arange(rotary_size // 2) / max(1, rotary_size // 2)))
    frequency = frequency.astype(np.float32)
    for magnitude in (1.0, 1.19):
        (y,) = ours(probe, "RotaryEmbedding",
                    [Tensor(type_name, x), Tensor("i32", positions), Weight("f32", frequency)],
                    [Output(type_name, x.shape)], num_heads=3, interleaved=interleaved,
                    magnitude=magnitude)
        want = rotary(rounded(type_name, x), positions, frequency, 3, interleaved, magnitude)
        close_to(y, want, type_name)


def test_rotary_embedding_refuses_more_pairs_than_a_head_has(probe):
    inputs = [Tensor("f32", np.zeros((1, 8))), Tensor("i32", [0]), Weight("f32", np.zeros(3))]
    refused(probe, 3, "RotaryEmbedding", inputs, [Output("f32", (1, 8))], num_heads=2)
    refused(probe, 4, "RotaryEmbedding", inputs, [Output("f32", (1, 8))])


# --- attention ----------------------------------------------------------------------------------

def softmax_row(scores, values, sink):
    top = max(scores.max(), -np.inf if sink is None else sink)
    weights = np.exp(scores - top)
    total = weights.sum() + (0.0 if sink is None else np.exp(sink - top))
    return weights @ values / total


def attention(q, keys, values, places, n_heads, n_groups, causal=True, window=0, softcap=0.0,
              scale=None, sinks=None):
    """q [n, H, D] at positions `places`; keys, values [m, G, D]; row j is position j."""
    head = q.shape[2]
    scale = 1.0 / math.sqrt(head) if scale is None else scale
    out = np.zeros((len(q), n_heads, values.shape[2]))
    j = np.arange(len(keys))
    for i, p in enumerate(places):
        seen = np.ones(len(keys), bool)
        if causal:
            seen &= j <= p
        if window > 0:
            seen &= j > p - window
            seen &= j < p + window
        for h in range(n_heads):
            g = h // (n_heads // n_groups)
            scores = keys[seen, g] @ q[i, h] * scale
            if softcap > 0:
                scores = softcap * np.tanh(scores / softcap)
            out[i, h] = softmax_row(scores, values[seen, g], None if sinks is None else sinks[h])
    return out


VARIANTS = [dict(), dict(window=3), dict(softcap=1.5), dict(scale=0.3), dict(sinks=True),
            dict(window=2, softcap=2.0, sinks=True, scale=1.0)]


def keywords_of(variant, n_heads, rng):
    variant = dict(variant)
    sinks = rng.normal(size=n_heads) if variant.pop("sinks", False) else None
    return variant, sinks


def sizes(n_heads, n_groups, head, value_head):
    return n_heads * head, n_groups * head, n_groups * value_head, n_heads * value_head


@pytest.mark.parametrize("variant", VARIANTS, ids=[str(v) for v in VARIANTS])
@pytest.mark.parametrize("causal", [1, 0])
@pytest.mark.parametrize("shape", [(4, 2, 8, 8), (3, 3, 5, 7), (6, 1, 16, 4)])
def test_attention_without_states(probe, variant, causal, shape):
    n_heads, n_groups, head, value_head = shape
    rng = np.random.default_rng(13)
    variant, sinks = keywords_of(variant, n_heads, rng)
    lengths = [11, 1, 4]
    q_width, k_width, v_width, y_width = sizes(*shape)
    n = sum(lengths)
    for type_name in FLOATS:
        q, k, v = (rng.normal(size=(n, w)) * 1.5 for w in (q_width, k_width, v_width))
        inputs = [Tensor(type_name, q), Tensor(type_name, k), Tensor(type_name, v), None, None]
        inputs += [] if sinks is None else [Weight("f32", sinks)]
        sequences = [(sum(lengths[:i]), length, 5 * i, 0) for i, length in enumerate(lengths)]
        (y,) = ours(probe, "Attention", inputs, [Output(type_name, (n, y_width))],
                    sequences=sequences, num_heads=n_heads, num_kv_heads=n_groups, causal=causal,
                    **variant)
        q, k, v = (rounded(type_name, a) for a in (q, k, v))
        for first, length, _, _ in sequences:
            rows = slice(first, first + length)
            want = attention(q[rows].reshape(length, n_heads, head),
                             k[rows].reshape(length, n_groups, head),
                             v[rows].reshape(length, n_groups, value_head), range(length),
                             n_heads, n_groups, bool(causal),
                             sinks=None if sinks is None else rounded("f32", sinks), **variant)
            close_to(y[rows], want.reshape(length, -1), type_name)


def stored(type_name, rows):
    """What f32 rows are once they went through a state."""
    data = [encode(type_name, row) for row in np.asarray(rows, np.float32)]
    values = [decode(type_name, row, rows.shape[1]) for row in data]
    return b"".join(data), np.array(values, np.float64).reshape(rows.shape)


@pytest.mark.parametrize("variant", VARIANTS, ids=[str(v) for v in VARIANTS])
@pytest.mark.parametrize("state_type", ["f32", "f16", "bf16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("shape", [(4, 2, 32, 32), (6, 2, 16, 48)])
def test_attention_with_states(probe, variant, state_type, shape):
    """Two sequences with different pasts: rows are appended, then attended."""
    n_heads, n_groups, head, value_head = shape
    rng = np.random.default_rng(17)
    variant, sinks = keywords_of(variant, n_heads, rng)
    q_width, k_width, v_width, y_width = sizes(*shape)
    sequences, n, max_rows = [(0, 3, 9, 0), (3, 10, 0, 0)], 13, 20
    q, k, v = (rng.normal(size=(n, w)).astype(np.float32) for w in (q_width, k_width, v_width))
    states = [[probe.new_state(state_type, w, max_rows) for _ in sequences]
              for w in (k_width, v_width)]
    pasts = []
    for i, (_, _, n_past, _) in enumerate(sequences):
        past = [stored(state_type, rng.normal(size=(n_past, w))) for w in (k_width, v_width)]
        for (data, _), state in zip(past, states):
            probe.load_state(state[i], 0, n_past, data)
        pasts.append([values for _, values in past])
    inputs = [Tensor("f32", q), Tensor("f32", k), Tensor("f32", v),
              State(state_type, max_rows, k_width, states[0]),
              State(state_type, max_rows, v_width, states[1])]
    inputs += [] if sinks is None else [Weight("f32", sinks)]
    keywords = dict(sequences=sequences, num_heads=n_heads, num_kv_heads=n_groups, **variant)
    (y,) = ours(probe, "Attention", inputs, [Output("f32", (n, y_width))], **keywords)
    for i, (first, length, n_past, _) in enumerate(sequences):
        new = slice(first, first + length)
        rows = []
        for values, state, past, heads in zip((k, v), states, pasts[i], (head, value_head)):
            data, seen = stored(state_type, values[new])
            assert probe.save_state(state[i], n_past, length, len(data)) == data
            rows.append(np.concatenate([past, seen]).reshape(-1, n_groups, heads))
        want = attention(q[new].reshape(length, n_heads, head).astype(np.float64), *rows,
                         range(n_past, n_past + length), n_heads, n_groups,
                         sinks=None if sinks is None else rounded("f32", sinks), **variant)
        close_to(y[new], want.reshape(length, -1), "f32")
    # A layer that shares the cache: no k and v, nothing is written, the same answer.
    inputs[1] = inputs[2] = None
    (again,) = ours(probe, "Attention", inputs, [Output("f32", (n, y_width))], **keywords)
    assert np.array_equal(y, again)
    for state in states[0] + states[1]:
        probe.free_state(state)


def test_attention_refuses(probe):
    q, k = Tensor("f32", np.zeros((2, 8))), Tensor("f32", np.zeros((2, 4)))
    y = [Output("f32", (2, 8))]
    state = State("f32", 4, 4, [])
    for reason, inputs, keywords in [
            (4, [q, k, k], dict(num_heads=3, num_kv_heads=2)),
            (4, [q, k, k], dict()),
            (4, [q, k, k], dict(num_heads=2)),
            (4, [q, k, k], dict(num_heads=2, num_kv_heads=1, window=-1)),
            (4, [q, k, k], dict(num_heads=2, num_kv_heads=1, mystery=1)),
            (4, [q, k, k, state, state], dict(num_heads=2, num_kv_heads=1, causal=0)),
            (9, [q], dict(num_heads=2, num_kv_heads=1)),
            (9, [q, k], dict(num_heads=2, num_kv_heads=1)),
            (2, [q, None, None, State("Q6_K", 4, 256, []), state],
             dict(num_heads=2, num_kv_heads=1)),
            (3, [q, k, k, state, State("f32", 4, 8, [])], dict(num_heads=2, num_kv_heads=1)),
            (3, [q, k, Tensor("f32", np.zeros((3, 4)))], dict(num_heads=2, num_kv_heads=1))]:
        refused(probe, reason, "Attention", inputs, y, **keywords)


@pytest.mark.parametrize("sequences", [[], [(0, 1, 0, 0)], [(0, 3, 0, 0)], [(1, 2, 0, 0)],
                                       [(0, 1, 0, 0), (0, 1, 0, 0)],
                                       [(0, 2**31, 0, 0), (0, 2**31 + 2, 0, 0)]])
def test_attention_refuses_sequences_that_are_no_partition(probe, sequences):
    rows = [Tensor("f32", np.zeros((2, 4)))] * 3
    with pytest.raises(Failure) as failure:
        ours(probe, "Attention", rows, [Output("f32", (2, 4))], sequences=sequences, num_heads=1,
             num_kv_heads=1)
    assert failure.value.status == INVALID


def test_attention_takes_sequences_in_any_order(probe):
    rng = np.random.default_rng(19)
    rows = [Tensor("f32", rng.normal(size=(5, 4))) for _ in range(3)]
    y, heads = [Output("f32", (5, 4))], dict(num_heads=1, num_kv_heads=1)
    (a,) = ours(probe, "Attention", rows, y, sequences=[(0, 2, 0, 0), (2, 3, 0, 0)], **heads)
    (b,) = ours(probe, "Attention", rows, y, sequences=[(2, 3, 0, 0), (0, 2, 0, 0)], **heads)
    assert np.array_equal(a, b)


def test_attention_refuses_a_full_state(probe):
    states = [probe.new_state("f32", 4, 6) for _ in range(2)]
    inputs = [Tensor("f32", np.zeros((2, 4)))] * 3 + [State("f32", 6, 4, states[:1]),
                                                      State("f32", 6, 4, states[1:])]
    with pytest.raises(Failure) as failure:
        ours(probe, "Attention", inputs, [Output("f32", (2, 4))], sequences=[(0, 2, 5, 0)],
             num_heads=1, num_kv_heads=1)
    assert failure.value.status == OUT_OF_RANGE
    for state in states:
        probe.free_state(state)


# --- activations and norms ----------------------------------------------------------------------

ERF = np.vectorize(math.erf, otypes=[float])
ACTIVATIONS = {"silu": lambda x: x / (1 + np.exp(-x)),
               "gelu": lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2))),
               "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(
                   math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
               "relu": lambda x: np.maximum(x, 0), "sigmoid": lambda x: 1 / (1 + np.exp(-x))}


@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_gated_activation(probe, type_name, name):
    rng = np.random.default_rng(23)
    for shape in [(7,), (3, 300), (2, 3, 4), (40, 1000), (0, 4), ()]:
        gate, up = rng.normal(size=shape) * 4, rng.normal(size=shape)
        (y,) = ours(probe, "GatedActivation", [Tensor(type_name, gate), Tensor(type_name, up)],
                    [Output(type_name, shape)], activation=name)
        want = ACTIVATIONS[name](rounded(type_name, gate)) * rounded(type_name, up)
        close_to(y, want, type_name)


def test_gated_activation_refuses(probe):
    x, y = Tensor("f32", np.zeros((2, 4))), [Output("f32", (2, 4))]
    refused(probe, 4, "GatedActivation", [x, x], y, activation="swiglu")
    refused(probe, 4, "GatedActivation", [x, x], y)
    refused(probe, 3, "GatedActivation", [x, Tensor("f32", np.zeros((1, 4)))], y,
            activation="silu")


@pytest.mark.parametrize("type_name", FLOATS)
def test_clamped_swiglu(probe, type_name):
    rng = np.random.default_rng(3)
    gate, up = (rounded(type_name, rng.normal(size=(5, 40)) * 6) for _ in range(2))
    (y,) = ours(probe, "ClampedSwiGLU", [Tensor(type_name, gate), Tensor(type_name, up)],
                [Output(type_name, gate.shape)], alpha=1.702, limit=7.0)
    g, u = np.minimum(gate, 7), np.clip(up, -7, 7)
    assert (np.abs(gate) > 7).any() and (np.abs(up) > 7).any()
    close_to(y, g / (1 + np.exp(-1.702 * g)) * (1 + u), type_name, 50)


@pytest.mark.parametrize("state_type", ["f32", "f16", "Q8_0"])
def test_causal_convolution(probe, state_type):
    """The rows of each sequence go through its state; in front of a sequence there are zeros."""
    rng = np.random.default_rng(8)
    width, length, sequences = 32, 3, [(4, 5, 2, 0), (0, 4, 0, 0)]
    x = rng.normal(size=(9, width)).astype(np.float32)
    w = rng.normal(size=(width, length)).astype(np.float32)
    states = [probe.new_state(state_type, width, 8) for _ in sequences]
    past, old = stored(state_type, rng.normal(size=(2, width)))
    probe.load_state(states[0], 0, 2, past)
    (y,) = ours(probe, "CausalConvolution", [Tensor("f32", x), Tensor("f32", w),
                                             State(state_type, 8, width, states)],
                [Output("f32", (9, width))], sequences=sequences)
    for (first, n, n_past, _), state in zip(sequences, states):
        data, seen = stored(state_type, x[first:first + n])
        assert probe.save_state(state, n_past, n, len(data)) == data
        rows = np.concatenate([np.zeros((length - 1, width)), old[:n_past], seen])[n_past:]
        want = sum(rows[j:j + n] * w[:, j].astype(np.float64) for j in range(length))
        close_to(y[first:first + n], want, "f32", 4)
        probe.free_state(state)


# --- mixtures of experts --------------------------------------------------------------------------

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("normalize", [0, 1])
@pytest.mark.parametrize("gating", ["softmax", "softmax_chosen", "sigmoid"])
def test_expert_router(probe, gating, normalize, has_bias):
    rng = np.random.default_rng(11)
    scores, bias = rng.normal(size=(9, 13)).astype(np.float32), rng.normal(size=13)
    scores[4, 3] = scores[4, 7] = 9  # equals: the first is taken first
    gates = {"softmax": softmax, "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
             "softmax_chosen": lambda x: x}[gating](scores.astype(np.float64))
    keys = gates + (bias.astype(np.float32) if has_bias else 0)
    want = np.argsort(-keys, axis=-1, kind="stable")[:, :4]
    chosen = np.take_along_axis(gates, want, -1)
    chosen = softmax(chosen) if gating == "softmax_chosen" else chosen
    if normalize:
        chosen = chosen / chosen.sum(-1, keepdims=True)
    inputs = [Tensor("f32", scores)] + ([Tensor("f32", bias)] if has_bias else [])
    experts, weights = ours(probe, "ExpertRouter", inputs,
                            [Output("i32", (9, 4)), Output("f32", (9, 4))], gating=gating,
                            num_used=4, normalize=normalize, scale=2.5)
    assert np.array_equal(experts, want)
    close_to(weights, chosen * 2.5, "f32")


@pytest.mark.parametrize("per_choice", [False, True])
@pytest.mark.parametrize("type_name", ["f32", "bf16", "Q4_K", "MXFP4"])
def test_expert_linear(probe, type_name, per_choice):
    rng = np.random.default_rng(5)
    n_experts, n, k = 4, 6, 256
    weight, values = random_weight(type_name, n_experts * n, k, rng)
    weight.shape = (n_experts, n, k)
    x = rng.normal(size=(7, 3, k) if per_choice else (7, k)).astype(np.float32)
    experts, bias = rng.integers(0, n_experts, (7, 3)), rng.normal(size=(n_experts, n))
    (y,) = ours(probe, "ExpertLinear", [Tensor("f32", x), weight, Tensor("i32", experts),
                                        Tensor("f32", bias)], [Output("f32", (7, 3, n))])
    rows = x if per_choice else np.repeat(x[:, None], 3, 1)
    want = np.einsum("tuk,tunk->tun", rows.astype(np.float64),
                     values.reshape(n_experts, n, k)[experts])
    close_to(y, want + bias.astype(np.float32)[experts], "f32", np.abs(want).max())


@pytest.mark.parametrize("bad", [-1, 4])
def test_expert_linear_refuses_experts_out_of_range(probe, bad):
    with pytest.raises(Failure) as failure:
        ours(probe, "ExpertLinear", [Tensor("f32", np.ones((1, 8))),
                                     Weight("f32", np.ones((4, 2, 8))), Tensor("i32", [[0, bad]])],
             [Output("f32", (1, 2, 2))])
    assert failure.value.status == OUT_OF_RANGE and str(bad) in str(failure.value)


@pytest.mark.parametrize("type_name", FLOATS)
def test_expert_sum(probe, type_name):
    rng = np.random.default_rng(6)
    x, weights = rounded(type_name, rng.normal(size=(5, 3, 17))), rng.normal(size=(5, 3))
    (y,) = ours(probe, "ExpertSum", [Tensor(type_name, x), Tensor("f32", weights)],
                [Output(type_name, (5, 17))])
    close_to(y, np.einsum("tun,tu->tn", x, weights.astype(np.float32)), type_name, 3)


@pytest.mark.parametrize("type_name", FLOATS)
def test_softcap(probe, type_name):
    x = np.linspace(-200, 200, 777)
    (y,) = ours(probe, "Softcap", [Tensor(type_name, x)], [Output(type_name, x.shape)], cap=30.0)
    close_to(y, 30 * np.tanh(rounded(type_name, x) / 30), type_name)
    for keywords in (dict(), dict(cap=0.0), dict(cap=-1.0), dict(cap=3)):
        refused(probe, 4, "Softcap", [Tensor(type_name, x)], [Output(type_name, x.shape)],
                **keywords)


def rms(x, scale, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * scale


@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("shape", [(640,), (5, 7), (3, 2, 1000), (100, 64)])
def test_rms_normalization_types(probe, type_name, shape):
    rng = np.random.default_rng(29)
    x, scale = rng.normal(size=shape) * 3, rng.normal(size=shape[-1])
    (y,) = probe.run("", "RMSNormalization", 23, [Tensor(type_name, x), Weight("f32", scale)],
                     [Output(type_name, shape)], epsilon=1e-6, axis=-1)
    close_to(y, rms(rounded(type_name, x), rounded("f32", scale), 1e-6), type_name)
    r = rng.normal(size=shape)
    total, y = ours(probe, "AddRMSNormalization",
                    [Tensor(type_name, x), Tensor(type_name, r), Weight("f32", scale)],
                    [Output(type_name, shape), Output(type_name, shape)], epsilon=1e-5)
    want = rounded(type_name, rounded(type_name, x) + rounded(type_name, r))
    close_to(total, want, type_name)
    close_to(y, rms(want, rounded("f32", scale), 1e-5), type_name)


# --- ONNX operators in the types and places that their node tests do not visit ------------------

@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("op,version,formula", [
    ("Add", 14, np.add), ("Sub", 14, np.subtract), ("Mul", 14, np.multiply),
    ("Div", 14, np.divide), ("Pow", 15, np.power)])
def test_binary_types_and_broadcasting(probe, type_name, op, version, formula):
    rng = np.random.default_rng(31)
    for a_shape, b_shape in [((3, 1, 5), (4, 1)), ((), (2, 2)), ((1,), (700,)), ((9, 600), (600,)),
                             ((2, 0), (1,)), ((1, 3, 1, 2), (5, 1, 4, 2))]:
        a, b = rng.uniform(0.5, 2, a_shape), rng.uniform(0.5, 2, b_shape)
        want = formula(rounded(type_name, a), rounded(type_name, b))
        (y,) = probe.run("", op, version, [Tensor(type_name, a), Tensor(type_name, b)],
                         [Output(type_name, want.shape)])
        close_to(y, want, type_name)


@pytest.mark.parametrize("type_name,dtype", [("i32", np.int32), ("i64", np.int64)])
def test_integer_arithmetic_wraps_and_divides_towards_zero(probe, type_name, dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    a = np.array([7, -7, high, low, low, 5], dtype)
    b = np.array([2, 2, 1, 1, -1, -3], dtype)
    with np.errstate(over="ignore"):
        wants = {"Add": a + b, "Sub": a - b, "Mul": a * b,
                 "Div": np.array([3, -3, high, low, low, -1], dtype)}
    for op, want in wants.items():
        (y,) = probe.run("", op, 14, [Tensor(type_name, a), Tensor(type_name, b)],
                         [Output(type_name, a.shape)])
        assert np.array_equal(y, want), op
    with pytest.raises(Failure) as failure:
        probe.run("", "Div", 14, [Tensor(type_name, a), Tensor(type_name, b * 0)],
                  [Output(type_name, a.shape)])
    assert failure.value.status == OUT_OF_RANGE


@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("a_shape,b_shape", [((9, 33), (33, 300)), ((2, 1, 3, 4), (5, 4, 2)),
                                             ((4,), (4,)), ((4,), (3, 4, 2)), ((3, 2, 4), (4,)),
                                             ((2, 0), (0, 3))])
def test_matmul_types(probe, type_name, a_shape, b_shape):
    rng = np.random.default_rng(37)
    a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
    want = np.matmul(rounded(type_name, a), rounded(type_name, b))
    (y,) = probe.run("", "MatMul", 13, [Tensor(type_name, a), Tensor(type_name, b)],
                     [Output(type_name, want.shape)])
    close_to(y, want, type_name, scale=5)


@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_types(probe, type_name, axis):
    x = np.random.default_rng(41).normal(size=(4, 600, 3)) * 10
    (y,) = probe.run("", "Softmax", 13, [Tensor(type_name, x)], [Output(type_name, x.shape)],
                     axis=axis)
    e = np.exp(rounded(type_name, x) - rounded(type_name, x).max(axis, keepdims=True))
    close_to(y, e / e.sum(axis, keepdims=True), type_name)


@pytest.mark.parametrize("type_name", ["f16", "bf16", "i8", "u8", "bool", "i32", "i64", "f32"])
def test_moves_keep_every_type(probe, type_name):
    x = np.random.default_rng(43).integers(0, 2, (3, 4, 5)).astype(np.float32)
    same = lambda got, want: np.array_equal(np.asarray(got, np.float32), want)
    t = Tensor(type_name, x)
    (y,) = probe.run("", "Transpose", 13, [t], [Output(type_name, (5, 3, 4))], perm=[2, 0, 1])
    assert same(y, x.transpose(2, 0, 1))
    (y,) = probe.run("", "Concat", 13, [t, t], [Output(type_name, (3, 8, 5))], axis=1)
    assert same(y, np.concatenate([x, x], 1))
    (y,) = probe.run("", "Gather", 13, [t, Tensor("i32", [[3, -1], [0, -4]])],
                     [Output(type_name, (3, 2, 2, 5))], axis=1)
    assert same(y, x[:, [[3, 3], [0, 0]]])
    (y,) = probe.run("", "Expand", 13, [t, Weight("i64", [2, 1, 4, 1])],
                     [Output(type_name, (2, 3, 4, 5))])
    assert same(y, np.broadcast_to(x, (2, 3, 4, 5)))
    mask = np.random.default_rng(44).integers(0, 2, (4, 1)) > 0
    (y,) = probe.run("", "Where", 16, [Tensor("bool", mask), t, Tensor(type_name, np.zeros(5))],
                     [Output(type_name, (3, 4, 5))])
    assert same(y, np.where(mask, x, 0))


def slice_places(n, start, end, step):
    """As the ONNX text clamps them; numpy differs when a start lies before the first element."""
    start, end = start + n * (start < 0), end + n * (end < 0)
    if step > 0:
        return range(max(0, min(n, start)), max(0, min(n, end)), step) if n else range(0)
    return range(max(0, min(n - 1, start)), max(-1, min(n - 1, end)), step) if n else range(0)


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("step", [1, 2, -1, -3, 2**40, -2**40, -2**63 + 1])
def test_slice_at_the_ends(probe, n, step):
    x = np.arange(3 * n).reshape(3, n)
    ends = [0, 1, 3, -1, -3, 9, -9, 2**63 - 1, -2**63]
    for start in ends:
        for end in ends:
            want = x[:, list(slice_places(n, start, end, step))]
            (y,) = probe.run("", "Slice", 13,
                             [Tensor("i32", x), Weight("i64", [start]), Weight("i64", [end]),
                              Weight("i64", [-1]), Weight("i64", [step])],
                             [Output("i32", want.shape)])
            assert np.array_equal(y, want), (start, end)


@pytest.mark.parametrize("bad", [4, -5, 2**40])
def test_gather_refuses_indices_out_of_range(probe, bad):
    with pytest.raises(Failure) as failure:
        probe.run("", "Gather", 13, [Tensor("f32", np.zeros((4, 2))), Tensor("i64", [0, bad])],
                  [Output("f32", (2, 2))])
    assert failure.value.status == OUT_OF_RANGE and "Gather" in str(failure.value)


def test_cast_saturates_and_rounds_once(probe):
    floats = np.array([0.5, -0.5, 1.99, 300, -300, 1e20, -1e20, np.inf, -np.inf, np.nan])
    for to, low, high in [("i8", -128, 127), ("u8", 0, 255), ("i32", -2**31, 2**31 - 1),
                          ("i64", -2**63, 2**63 - 1)]:
        (y,) = probe.run("", "Cast", 13, [Tensor("f64", floats)], [Output(to, floats.shape)])
        want = [0 if np.isnan(v) else int(max(low, min(high, int(v) if np.isfinite(v) else
                                                       (high if v > 0 else low)))) for v in floats]
        assert y.tolist() == want, to
    integers = np.array([0, 255, 256, -1, 2**31, 2**40 + 3, -2**63])
    (y,) = probe.run("", "Cast", 13, [Tensor("i64", integers)], [Output("u8", integers.shape)])
    assert np.array_equal(y, integers.astype(np.uint8))
    (y,) = probe.run("", "Cast", 13, [Tensor("i64", integers)], [Output("bool", integers.shape)])
    assert np.array_equal(y, integers != 0)
    # Just above a tie of f32: rounding to f64 first would lose the last bit and fall back to even.
    ties = np.array([2**60 + 2**36 + 1, 2**60 + 2**36, -(2**60 + 2**36 + 1), 2**62 - 1])
    (y,) = probe.run("", "Cast", 13, [Tensor("i64", ties)], [Output("f32", ties.shape)])
    assert y.tolist() == [2.0**60 + 2.0**37, 2.0**60, -(2.0**60 + 2.0**37), 2.0**62]
    narrow = np.array([1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-11, 65519.999, 65520])
    (y,) = probe.run("", "Cast", 13, [Tensor("f64", narrow)], [Output("f16", narrow.shape)])
    assert y.tolist() == [1 + 2.0**-10, 1.0, 65504.0, np.inf]
    refused(probe, 4, "Cast", [Tensor("f32", narrow)], [Output("f16", narrow.shape)], domain="",
            version=13, to=1)


def test_swish_and_relu_at_the_ends(probe):
    x = np.array([-np.inf, -1000, -0.0, 0.0, 1000, np.inf, np.nan])
    (y,) = probe.run("", "Swish", 24, [Tensor("f32", x)], [Output("f32", x.shape)])
    assert np.array_equal(y, [0, 0, 0, 0, 1000, np.inf, np.nan], equal_nan=True)
    (y,) = probe.run("", "Relu", 14, [Tensor("f32", x)], [Output("f32", x.shape)])
    assert np.array_equal(y, [0, 0, 0, 0, 1000, np.inf, np.nan], equal_nan=True)


def test_reductions_of_types_and_of_nothing(probe):
    rng = np.random.default_rng(47)
    x = rng.normal(size=(5, 300, 4))
    for type_name in FLOATS:
        exact = rounded(type_name, x)
        for op, version, formula in [("ReduceMean", 18, np.mean), ("ReduceSum", 13, np.sum),
                                     ("ReduceMax", 20, np.max)]:
            for axes in [(1,), (0, 2), (-1,), (0, 1, 2)]:
                want = formula(exact, axis=axes)
                (y,) = probe.run("", op, version, [Tensor(type_name, x), Weight("i64", axes)],
                                 [Output(type_name, want.shape)], keepdims=0)
                close_to(y, want, type_name, scale=20)
    integers = rng.integers(-100, 100, (3, 7)).astype(np.int32)
    (y,) = probe.run("", "ReduceSum", 13, [Tensor("i32", integers), Weight("i64", [0])],
                     [Output("i32", (1, 7))])
    assert np.array_equal(y, integers.sum(0, keepdims=True))
    (y,) = probe.run("", "ReduceMax", 20, [Tensor("f32", np.zeros((2, 0))), Weight("i64", [1])],
                     [Output("f32", (2, 1))])
    assert np.all(y == -np.inf)


def test_verdicts_have_reasons(probe):
    x, y = Tensor("f32", np.zeros((2, 3))), [Output("f32", (2, 3))]
    refused(probe, 1, "Frobnicate", [x], y)
    refused(probe, 1, "Relu", [x], y)  # not in this domain
    refused(probe, 1, "Relu", [x], y, domain="", version=6)
    refused(probe, 9, "Relu", [x, x], y, domain="", version=14)
    refused(probe, 3, "Relu", [x], [Output("f32", (3, 2))], domain="", version=14)
    refused(probe, 2, "Relu", [Tensor("i32", np.zeros(3))], [Output("i32", (3,))], domain="",
            version=14)
    refused(probe, 9, "Reshape", [x, Tensor("i64", [3, 2])], [Output("f32", (3, 2))], domain="",
            version=14)  # the shape is not constant
    refused(probe, 3, "Linear", [x, Weight("f32", shape=(4, 3), data=b"short")],
            [Output("f32", (2, 4))])


# --- symbols ------------------------------------------------------------------------------------

def test_sizes_of_the_step_are_bound_by_symbols(probe):
    """A graph made for up to 64 tokens runs with 3, and refuses 65."""
    rng = np.random.default_rng(53)
    weight = rng.normal(size=(8, 16))
    for n, fails in [(3, False), (64, False), (0, False), (65, True)]:
        x = Tensor("f32", rng.normal(size=(n, 16)), symbols={0: TOKENS})
        x.bounds = {0: 64}
        y = BoundedOutput("f32", (n, 8), 64)
        if fails:
            with pytest.raises(Failure):
                ours(probe, "Linear", [x, Weight("f32", weight)], [y], symbols={TOKENS: n})
            continue
        (got,) = ours(probe, "Linear", [x, Weight("f32", weight)], [y], symbols={TOKENS: n})
        values = np.frombuffer(x.data, np.float32).reshape(n, 16).astype(np.float64)
        close_to(got, values @ rounded("f32", weight).T, "f32", scale=5)


def bounded(n, tail, type_name="f32"):
    """An input [n_tokens, *tail] with room for 64 tokens, and its values."""
    values = np.random.default_rng(59).normal(size=(n,) + tail)
    x = Tensor(type_name, values, symbols={0: TOKENS})
    x.bounds = {0: 64}
    return x, rounded(type_name, values)


@pytest.mark.parametrize("n", [0, 1, 2, 64])
def test_views_of_any_number_of_rows(probe, n):
    """What -1, 0 and 1 mean must not change when the step has no row or one."""
    x, values = bounded(n, (4, 6))
    for shape, tail in [([0, -1, 3], (8, 3)), ([-1, 4, 6], (4, 6)), ([0, 24], (24,)),
                        ([0, 0, -1, 2], (4, 3, 2)), ([0, -1], (24,))]:
        (y,) = probe.run("", "Reshape", 14, [x, Weight("i64", shape)],
                         [BoundedOutput("f32", (n,) + tail, 64)], symbols={TOKENS: n})
        assert np.array_equal(y, values.reshape((n,) + tail))
    x, values = bounded(n, (1, 5))
    for inputs in ([x], [x, Weight("i64", [1])]):
        (y,) = probe.run("", "Squeeze", 13, inputs, [BoundedOutput("f32", (n, 5), 64)],
                         symbols={TOKENS: n})
        assert np.array_equal(y, values[:, 0])


@pytest.mark.parametrize("n", [0, 1, 2, 64])
def test_broadcasting_of_any_number_of_rows(probe, n):
    x, values = bounded(n, (5,))
    for other in (np.arange(5.0), np.arange(5.0).reshape(1, 5), np.array(3.0)):
        (y,) = probe.run("", "Mul", 14, [x, Weight("f32", other)],
                         [BoundedOutput("f32", (n, 5), 64)], symbols={TOKENS: n})
        close_to(y, values * other, "f32")
    (y,) = probe.run("", "Add", 14, [x, x], [BoundedOutput("f32", (n, 5), 64)],
                     symbols={TOKENS: n})
    close_to(y, values * 2, "f32")
    for op in ("Softmax", "ReduceSum"):
        keywords = dict(axis=-1) if op == "Softmax" else {}
        inputs = [x] if op == "Softmax" else [x, Weight("i64", [1])]
        want = values.sum(1, keepdims=True)
        if op == "Softmax":
            want = np.exp(values) / np.exp(values).sum(1, keepdims=True)
        (y,) = probe.run("", op, 13, inputs, [BoundedOutput("f32", want.shape, 64)],
                         symbols={TOKENS: n}, **keywords)
        close_to(y, want, "f32")


class BoundedOutput(Output):
    """An output whose first dimension is n_tokens up to a bound."""

    def __init__(self, type_name, shape, bound):
        super().__init__(type_name, (bound,) + shape[1:], {0: TOKENS})
        self.real = shape

    def read(self, data):
        n = int(np.prod(self.real)) * 4
        return np.frombuffer(data[:n], np.float32).reshape(self.real)

# SPDX-License-Identifier: Apache-2.0
"""ArgMax and TopK on the reference delegate: what the ONNX node tests leave open - every type,
NaN, equal elements, numbers that f64 cannot hold, symbols, refusals."""
import numpy as np
import pytest

from op_probe import TOKENS, Failure, Output, Probe, Tensor, Weight, rounded

TYPES = ["f32", "f16", "bf16", "i32", "i64"]
ARGMAX, TOPK = 13, 24


@pytest.fixture(scope="module")
def probe():
    probe = Probe(n_workers=2)
    yield probe
    probe.close()


def some(type_name, shape, seed=3):
    """Values with many equal ones, as the type stores them."""
    rng = np.random.default_rng(seed)
    if type_name in ("i32", "i64"):
        return rng.integers(-4, 5, shape)
    return rounded(type_name, rng.integers(-4, 5, shape) / 3)


def order(values, axis, largest=True):
    """Indices along the axis, best first; NaN is the largest, equals in the order they stand in."""
    keys = np.where(np.isnan(values), np.inf, values) if values.dtype.kind == "f" else values
    nan = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    sign = -1 if largest else 1
    return np.lexsort((sign * keys, sign * nan.astype(int)), axis=axis)


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_arg_max_of_types(probe, type_name, axis):
    x = some(type_name, (3, 700, 5))
    for keepdims in (0, 1):
        want = np.argmax(x, axis, keepdims=bool(keepdims))
        (y,) = probe.run("", "ArgMax", ARGMAX, [Tensor(type_name, x)], [Output("i64", want.shape)],
                         axis=axis, keepdims=keepdims)
        assert np.array_equal(y, want)
    flipped = np.flip(x, axis)
    want = x.shape[axis] - 1 - np.argmax(flipped, axis, keepdims=True)
    (y,) = probe.run("", "ArgMax", ARGMAX, [Tensor(type_name, x)], [Output("i64", want.shape)],
                     axis=axis, select_last_index=1)
    assert np.array_equal(y, want)


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("axis,k", [(0, 1), (0, 3), (1, 1), (1, 40), (1, 700), (-1, 5)])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_of_types(probe, type_name, axis, k, largest):
    x = some(type_name, (3, 700, 5))
    indices = np.take(order(x, axis, largest), range(k), axis)
    for in_order in (0, 1):
        values, found = probe.run("", "TopK", TOPK, [Tensor(type_name, x), Weight("i64", [k])],
                                  [Output(type_name, indices.shape), Output("i64", indices.shape)],
                                  axis=axis, largest=largest, sorted=in_order)
        assert np.array_equal(found, indices)
        assert np.array_equal(np.asarray(values, np.float64), np.take_along_axis(x, indices, axis))


def test_nan_is_the_largest_and_both_zeros_are_equal(probe):
    x = np.array([[0.0, -0.0, np.nan, np.inf, -np.inf, np.nan, 1.0],
                  [-0.0, 0.0, -0.0, -1.0, -np.inf, -2.0, -3.0]])
    (y,) = probe.run("", "ArgMax", ARGMAX, [Tensor("f32", x)], [Output("i64", (2, 1))], axis=1)
    assert y.tolist() == [[2], [0]]
    (y,) = probe.run("", "ArgMax", ARGMAX, [Tensor("f32", x)], [Output("i64", (2, 1))], axis=1,
                     select_last_index=1)
    assert y.tolist() == [[5], [2]]
    for largest, want in [(1, [[2, 5, 3, 6, 0, 1, 4], [0, 1, 2, 3, 5, 6, 4]]),
                          (0, [[4, 0, 1, 6, 3, 2, 5], [4, 6, 5, 3, 0, 1, 2]])]:
        values, found = probe.run("", "TopK", TOPK, [Tensor("f32", x), Weight("i64", [7])],
                                  [Output("f32", (2, 7)), Output("i64", (2, 7))], largest=largest)
        assert found.tolist() == want
        moved = np.take_along_axis(x, found, 1).astype(np.float32)
        assert values.tobytes() == moved.tobytes()  # signs of zeros stay


def test_integers_that_no_double_holds(probe):
    x = np.array([2**60, 2**60 + 1, -2**63, 2**63 - 1, 2**63 - 2])
    (y,) = probe.run("", "ArgMax", ARGMAX, [Tensor("i64", x[:3])], [Output("i64", (1,))])
    assert y.tolist() == [1]
    for largest, want in [(1, [3, 4, 1, 0, 2]), (0, [2, 0, 1, 4, 3])]:
        _, found = probe.run("", "TopK", TOPK, [Tensor("i64", x), Weight("i64", [5])],
                             [Output("i64", (5,)), Output("i64", (5,))], largest=largest)
        assert found.tolist() == want


@pytest.mark.parametrize("n", [0, 1, 3, 64])
def test_rows_of_the_step(probe, n):
    """As the head of a decoder has it: one token for each row of logits."""
    x = np.random.default_rng(5).normal(size=(n, 1000)).astype(np.float32)
    rows = Tensor("f32", x, symbols={0: TOKENS})
    rows.bounds = {0: 64}
    out = Output("i64", (64,), {0: TOKENS})
    (y,) = probe.run("", "ArgMax", ARGMAX, [rows], [out], symbols={TOKENS: n}, axis=-1, keepdims=0)
    assert np.array_equal(y[:n], x.argmax(1))


@pytest.mark.parametrize("op,inputs,outputs,attributes,reason", [
    ("ArgMax", [Tensor("bool", np.zeros((2, 3)))], [("i64", (2, 1))], dict(axis=1), 2),
    ("ArgMax", [Tensor("f32", np.zeros((2, 3)))], [("i32", (2, 1))], dict(axis=1), 2),
    ("ArgMax", [Tensor("f32", np.zeros((2, 3)))], [("i64", (2, 1))], dict(axis=2), 4),
    ("ArgMax", [Tensor("f32", np.zeros((2, 0)))], [("i64", (2, 1))], dict(axis=1), 3),
    ("ArgMax", [Tensor("f32", np.zeros((2, 3)), symbols={0: TOKENS})], [("i64", (1, 3))], {}, 3),
    ("TopK", [Tensor("f32", np.zeros((2, 3))), Tensor("i64", [2])],
     [("f32", (2, 2)), ("i64", (2, 2))], {}, 9),
    ("TopK", [Tensor("f32", np.zeros((2, 3))), Weight("i64", [4])],
     [("f32", (2, 4)), ("i64", (2, 4))], {}, 3),
    ("TopK", [Tensor("f32", np.zeros((2, 3))), Weight("i64", [0])],
     [("f32", (2, 0)), ("i64", (2, 0))], {}, 3),
    ("TopK", [Tensor("f32", np.zeros((2, 3))), Weight("i64", [2])],
     [("f32", (2, 2)), ("i32", (2, 2))], {}, 2)])
def test_refusals_have_reasons(probe, op, inputs, outputs, attributes, reason):
    with pytest.raises(Failure) as failure:
        probe.run("", op, {"ArgMax": ARGMAX, "TopK": TOPK}[op], inputs,
                  [Output(*o) for o in outputs], **attributes)
    assert f"(reason {reason}): " in str(failure.value)

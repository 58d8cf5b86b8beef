# SPDX-License-Identifier: Apache-2.0
"""The GPU delegates beside the reference where the cases of the conformance check are too small for
all ways of a kernel: several groups for a row, several tiles, tails of both, integers."""
import numpy as np
import pytest

from op_probe import BUILD, Failure, Output, Probe, Tensor, Weight

DELEGATES = ("gpu-vulkan", "gpu-opencl")


@pytest.fixture(scope="module")
def reference():
    probe = Probe(n_workers=2)
    yield probe
    probe.close()


@pytest.fixture(scope="module", params=[(name, "software=on") for name in DELEGATES],
                ids=DELEGATES)
def delegate(request):
    name, options = request.param
    try:
        probe = Probe(BUILD / f"plugins/{name}/{name}.so", 2, options)
    except RuntimeError as error:  # no plugin, or no device
        pytest.skip(str(error))
    yield probe
    probe.close()


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)


def compare(delegate, reference, op, version, inputs, outputs, tolerance=1e-5, **attributes):
    """Within a tolerance of the largest magnitude; integers are equal."""
    got = delegate.run("", op, version, inputs, outputs, **attributes)
    want = reference.run("", op, version, inputs, outputs, **attributes)
    for g, w in zip(got, want):
        if np.issubdtype(w.dtype, np.integer):
            np.testing.assert_array_equal(g, w)
        else:
            largest = np.max(np.abs(w[np.isfinite(w)].astype(np.float64)), initial=1.0)
            np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=0,
                                       atol=tolerance * largest)


@pytest.mark.parametrize("type_name", ["f32", "f16", "bf16", "i32"])
@pytest.mark.parametrize("n", [4096, 4097, 262144])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_over_shares(delegate, reference, type_name, n, largest):
    values = np.round(numbers(3, n) * 100)  # many are equal
    if type_name != "i32":
        values[0, 7] = values[0, n - 1] = np.nan
        values[1] = np.where(values[1] == 0, -0.0, values[1])
    x, k = Tensor(type_name, values), Weight("i64", np.array([64]))
    outputs = [Output(type_name, (3, 64)), Output("i64", (3, 64))]
    compare(delegate, reference, "TopK", 24, [x, k], outputs, axis=1, largest=largest)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("shape, axis", [((2, 262144), 1), ((5000, 3), 0), ((1, 1), 1)])
def test_arg_max_over_shares(delegate, reference, shape, axis, last):
    x = Tensor("f32", np.round(numbers(*shape)))
    reduced = tuple(1 if d == axis else n for d, n in enumerate(shape))
    compare(delegate, reference, "ArgMax", 13, [x], [Output("i64", reduced)], axis=axis,
            select_last_index=last)


@pytest.mark.parametrize("op, version", [("ReduceSum", 13), ("ReduceMax", 20)])
@pytest.mark.parametrize("axes", [[0], [1], [0, 2], [0, 1, 2]])
@pytest.mark.parametrize("type_name", ["i32", "f32", "f16"])
def test_reduce(delegate, reference, op, version, axes, type_name):
    shape = (5, 130, 7)
    values = numbers(*shape) * (2.0 ** 30 if type_name == "i32" else 1.0)  # i32 wraps around
    kept = tuple(1 if d in axes else n for d, n in enumerate(shape))
    compare(delegate, reference, op, version,
            [Tensor(type_name, values), Weight("i64", np.array(axes))],
            [Output(type_name, kept)], 1e-3 if type_name == "f16" else 1e-5)


@pytest.mark.parametrize("a, b, y", [((65, 129), (129, 67), (65, 67)),
                                     ((3, 1, 33, 40), (2, 40, 65), (3, 2, 33, 65)),
                                     ((100,), (4, 100, 3), (4, 3)), ((70, 9), (9,), (70,))])
@pytest.mark.parametrize("type_name", ["f32", "bf16"])
def test_matmul_over_tiles(delegate, reference, a, b, y, type_name):
    compare(delegate, reference, "MatMul", 13,
            [Tensor(type_name, numbers(*a)), Tensor("f32", numbers(*b, seed=2))],
            [Output(type_name, y)], 1e-2 if type_name == "bf16" else 1e-5)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("c", [(), (67,), (65, 1), (65, 67)])
def test_gemm_over_tiles(delegate, reference, trans_a, trans_b, c):
    a = numbers(*((50, 65) if trans_a else (65, 50)))
    b = numbers(*((67, 50) if trans_b else (50, 67)), seed=2)
    compare(delegate, reference, "Gemm", 13,
            [Tensor("f32", a), Tensor("f32", b), Tensor("f32", numbers(*c, seed=3))],
            [Output("f32", (65, 67))], transA=trans_a, transB=trans_b, alpha=0.5, beta=-2.0)


@pytest.mark.parametrize("groups, c, m", [(1, 17, 35), (3, 12, 39), (16, 16, 32), (16, 16, 16)])
@pytest.mark.parametrize("strides, dilations, pads", [([1, 1], [1, 1], [1, 1, 1, 1]),
                                                      ([2, 3], [2, 1], [0, 2, 3, 1])])
@pytest.mark.parametrize("type_name", ["f32", "f16"])
def test_conv_over_tiles(delegate, reference, groups, c, m, strides, dilations, pads, type_name):
    h, w = (((n + pads[i] + pads[i + 2] - 2 * dilations[i] - 1) // strides[i]) + 1
            for i, n in enumerate((19, 23)))
    compare(delegate, reference, "Conv", 22,
            [Tensor(type_name, numbers(2, c, 19, 23)),
             Weight("f32", numbers(m, c // groups, 3, 3, seed=2)), Weight("f32", numbers(m, seed=3))],
            [Output(type_name, (2, m, h, w))], 1e-3 if type_name == "f16" else 1e-5, group=groups,
            strides=strides, dilations=dilations, pads=pads)


SMALL = [(name, "software=on\nbinding_limit_mib=1") for name in DELEGATES]


@pytest.mark.parametrize("delegate", SMALL, ids=DELEGATES, indirect=True)
def test_constants_past_a_binding_are_refused(delegate):
    with pytest.raises(Failure, match="judge refused.*binding"):
        delegate.run("", "MatMul", 13, [Tensor("f32", numbers(2, 600)),
                                        Weight("f32", numbers(600, 600))],
                     [Output("f32", (2, 600))])

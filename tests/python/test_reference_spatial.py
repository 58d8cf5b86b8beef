# SPDX-License-Identifier: Apache-2.0
"""ConvTranspose, Resize, Pad, DepthToSpace and SpaceToDepth on the reference delegate against
formulas in numpy and ONNX's evaluator: every type, one and two dimensions, sizes that do not
divide, rows that follow the step, refusals."""
import itertools

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from op_probe import TOKENS, Failure, Output, Probe, Tensor, Weight, rounded

VERSIONS = {"ConvTranspose": 22, "Resize": 19, "Pad": 24, "DepthToSpace": 13, "SpaceToDepth": 13}
FLOATS = ["f32", "f16", "bf16"]
EPSILON = {"f32": 2e-6, "f16": 1.2e-3, "bf16": 9e-3}


@pytest.fixture(scope="module")
def probe():
    probe = Probe(n_workers=2)
    yield probe
    probe.close()


def run(probe, op, inputs, type_name, shape, **attributes):
    (y,) = probe.run("", op, VERSIONS[op], inputs, [Output(type_name, shape)], **attributes)
    return y


def close_to(got, want, type_name, scale=1.0):
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=EPSILON[type_name],
                               atol=EPSILON[type_name] * scale)


def refused(probe, reason, op, inputs, outputs, **attributes):
    with pytest.raises(Failure) as failure:
        probe.run("", op, VERSIONS[op], inputs, outputs, **attributes)
    assert f"(reason {reason}): " in str(failure.value), str(failure.value)


# --- ConvTranspose ------------------------------------------------------------------------------

def spread(x, w, bias, group, strides, dilations, extra):
    """Every input element adds its kernel to the output; nothing is cut off yet."""
    n_spatial = x.ndim - 2
    sizes = [s * (n - 1) + d * (k - 1) + 1 + e for s, n, d, k, e in
             zip(strides, x.shape[2:], dilations, w.shape[2:], extra)]
    out = w.shape[1] * group
    y = np.zeros((x.shape[0], out, *sizes))
    per_in, per_out = x.shape[1] // group, w.shape[1]
    for g in range(group):
        part = x[:, g * per_in:(g + 1) * per_in]
        kernels = w[g * per_in:(g + 1) * per_in]
        for place in itertools.product(*[range(k) for k in w.shape[2:]]):
            added = np.tensordot(part, kernels[(slice(None), slice(None)) + place], ([1], [0]))
            where = tuple(slice(p * d, p * d + s * (n - 1) + 1, s) for p, d, s, n in
                          zip(place, dilations, strides, x.shape[2:]))
            y[(slice(None), slice(g * per_out, (g + 1) * per_out)) + where] += np.moveaxis(added, -1, 1)
    return y + bias.reshape(1, -1, *[1] * n_spatial)


# x, w, group, strides, dilations, pads, output_padding
SPREADS = [((2, 3, 5, 4), (3, 2, 3, 3), 1, (1, 1), (1, 1), (0, 0, 0, 0), (0, 0)),
           ((1, 4, 5, 7), (4, 3, 3, 2), 2, (2, 3), (1, 1), (1, 0, 0, 1), (1, 2)),
           ((1, 6, 4, 4), (6, 1, 3, 3), 6, (2, 2), (1, 1), (1, 1, 1, 1), (1, 1)),
           ((1, 2, 3, 300), (2, 2, 1, 5), 1, (1, 2), (2, 3), (0, 4, 0, 4), (1, 0)),
           ((2, 3, 9), (3, 4, 4), 1, (3,), (2,), (2, 3), (2,)),
           ((1, 1, 1, 1), (1, 5, 2, 2), 1, (2, 2), (1, 1), (0, 0, 0, 0), (0, 0))]


@pytest.mark.parametrize("type_name", FLOATS)
@pytest.mark.parametrize("x_shape,w_shape,group,strides,dilations,pads,extra", SPREADS)
def test_conv_transpose(probe, type_name, x_shape, w_shape, group, strides, dilations, pads, extra):
    rng = np.random.default_rng(11)
    x, w = rng.normal(size=x_shape), rng.normal(size=w_shape)
    bias = rng.normal(size=w_shape[1] * group)
    n = len(strides)
    whole = spread(rounded(type_name, x), rounded(type_name, w), rounded(type_name, bias), group,
                   strides, dilations, extra)
    cut = tuple(slice(pads[i], whole.shape[2 + i] - pads[n + i]) for i in range(n))
    want = whole[(slice(None), slice(None)) + cut]
    inputs = [Tensor(type_name, x), Weight(type_name, w), Weight(type_name, bias)]
    attributes = dict(group=group, strides=strides, dilations=dilations, output_padding=extra)
    y = run(probe, "ConvTranspose", inputs, type_name, want.shape, pads=pads,
            kernel_shape=w_shape[2:], **attributes)
    close_to(y, want, type_name, scale=10)
    # The same size asked for: the larger half of an odd number is cut off in front.
    total = [pads[i] + pads[n + i] for i in range(n)]
    cut = tuple(slice(t - t // 2, whole.shape[2 + i] - t // 2) for i, t in enumerate(total))
    y = run(probe, "ConvTranspose", inputs, type_name, want.shape, output_shape=want.shape[2:],
            **attributes)
    close_to(y, whole[(slice(None), slice(None)) + cut], type_name, scale=10)


def test_conv_transpose_past_its_kernels(probe):
    """What output_shape asks for beyond the kernels is the bias, behind."""
    x, w = np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))
    y = run(probe, "ConvTranspose", [Tensor("f32", x), Weight("f32", w), Weight("f32", [0.5])],
            "f32", (1, 1, 4, 6), output_shape=[4, 6])
    want = np.full((1, 1, 4, 6), 0.5)
    want[0, 0, :3, :3] += [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert np.array_equal(y, want)


def test_conv_transpose_refusals(probe):
    x, w = Tensor("f32", np.zeros((1, 4, 5, 5))), Weight("f32", np.zeros((4, 2, 3, 3)))
    y = [Output("f32", (1, 2, 7, 7))]
    for reason, attributes in [(4, dict(auto_pad="SAME_UPPER")), (4, dict(output_padding=[1, 0])),
                               (3, dict(group=3)), (4, dict(kernel_shape=[3, 2])),
                               (3, dict(pads=[4, 4, 4, 4])), (4, dict(strides=[0, 1])),
                               (4, dict(output_shape=[0, 5]))]:
        refused(probe, reason, "ConvTranspose", [x, w], y, **attributes)
    refused(probe, 3, "ConvTranspose", [x, Weight("f32", np.zeros((2, 4, 3, 3)))], y)
    refused(probe, 3, "ConvTranspose", [x, w, Weight("f32", np.zeros(4))], y)
    refused(probe, 2, "ConvTranspose", [Tensor("i32", np.zeros((1, 4, 5, 5))), w], y)


# --- Resize -------------------------------------------------------------------------------------

def onnx_resize(x, scales, sizes, **attributes):
    """What ONNX's own evaluator makes of the node."""
    info, f32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    weights = {"scales": (scales, np.float32), "sizes": (sizes, np.int64)}
    given = {k: onnx.numpy_helper.from_array(np.array(v, t), k)
             for k, (v, t) in weights.items() if v is not None}
    names = ["x", "", "scales" if "scales" in given else "", "sizes" if "sizes" in given else ""]
    node = onnx.helper.make_node("Resize", names[:4 if names[3] else 3], ["y"], **attributes)
    graph = onnx.helper.make_graph([node], "g", [info("x", f32, x.shape)], [info("y", f32, None)],
                                   list(given.values()))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


PLACES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode,rounding", [("nearest", r) for r in ROUNDINGS] +
                         [("linear", None), ("cubic", None)])
def test_resize_as_onnx_evaluates_it(probe, place, mode, rounding):
    rng = np.random.default_rng(17)
    attributes = dict(mode=mode, coordinate_transformation_mode=place)
    if rounding:
        attributes["nearest_mode"] = rounding
    for shape, scales in [((1, 2, 4, 3), (1, 1, 2, 3)), ((2, 1, 8, 6), (1, 1, 0.5, 0.5)),
                          ((1, 1, 4, 6), (1, 1, 1.5, 0.75)), ((1, 3, 5), (1, 1, 4)),
                          ((1, 1, 2, 8), (1, 1, 1, 2.25))]:
        x = rng.normal(size=shape).astype(np.float32)
        want = onnx_resize(x, scales, None, **attributes)
        y = run(probe, "Resize", [Tensor("f32", x), None, Weight("f32", scales)], "f32", want.shape,
                **attributes)
        close_to(y, want, "f32", scale=3)
        sizes = want.shape
        want = onnx_resize(x, None, sizes, **attributes)
        y = run(probe, "Resize", [Tensor("f32", x), None, None, Weight("i64", sizes)], "f32",
                want.shape, **attributes)
        close_to(y, want, "f32", scale=3)


@pytest.mark.parametrize("type_name", FLOATS + ["i8", "u8"])
def test_resize_types(probe, type_name):
    x = np.random.default_rng(19).integers(0, 100, (2, 3, 5, 4)).astype(np.float32)
    t, scales = Tensor(type_name, x), Weight("f32", [1, 1, 2, 2])
    y = run(probe, "Resize", [t, None, scales], type_name, (2, 3, 10, 8), mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    assert np.array_equal(np.asarray(y, np.float32), x.repeat(2, 2).repeat(2, 3))
    if type_name not in FLOATS:
        refused(probe, 2, "Resize", [t, None, scales], [Output(type_name, (2, 3, 10, 8))],
                mode="linear")
        return
    y = run(probe, "Resize", [t, None, scales], type_name, (2, 3, 10, 8), mode="linear")
    rows = np.minimum(np.maximum(np.arange(10) / 2 - 0.25, 0), 4)
    columns = np.minimum(np.maximum(np.arange(8) / 2 - 0.25, 0), 3)
    def blend(a, places, axis):
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, a.shape[axis] - 1)
        shape = [-1 if i == axis else 1 for i in range(4)]
        t = (places - low).reshape(shape)
        return np.take(a, low, axis) * (1 - t) + np.take(a, high, axis) * t
    close_to(y, blend(blend(x.astype(np.float64), rows, 2), columns, 3), type_name, scale=1)


def test_resize_places_are_f32(probe):
    """3 / 0.6 is 5 in f32; in f64, of the f32 nearest to 0.6, it is less."""
    x = np.arange(10, dtype=np.float32).reshape(1, 1, 10)
    y = run(probe, "Resize", [Tensor("f32", x), None, Weight("f32", [1, 1, 0.6])], "f32", (1, 1, 6),
            coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    assert y.ravel().tolist() == [0, 1, 3, 5, 6, 8]


@pytest.mark.parametrize("n", [0, 2, 8])
def test_resize_of_any_number_of_pictures(probe, n):
    x = np.random.default_rng(23).normal(size=(n, 2, 3)).astype(np.float32)
    t = Tensor("f32", x, symbols={0: TOKENS})
    t.bounds = {0: 8}
    (y,) = probe.run("", "Resize", 19, [t, None, None, Weight("i64", [6])],
                     [Output("f32", (8, 2, 6), {0: TOKENS})], symbols={TOKENS: n}, axes=[-1])
    assert np.array_equal(y[:n], x.repeat(2, 2))


def test_resize_refusals(probe):
    x, y = Tensor("f32", np.zeros((1, 1, 4, 4))), [Output("f32", (1, 1, 8, 8))]
    up, sizes = Weight("f32", [1, 1, 2, 2]), Weight("i64", [1, 1, 8, 8])
    for reason, attributes in [(4, dict(mode="area")), (4, dict(antialias=1)),
                               (4, dict(exclude_outside=1)), (4, dict(axes=[2, 2])),
                               (4, dict(coordinate_transformation_mode="tf_crop_and_resize")),
                               (4, dict(keep_aspect_ratio_policy="not_larger")),
                               (9, dict(axes=[2, 3])), (4, dict(unheard=1))]:
        refused(probe, reason, "Resize", [x, None, up], y, **attributes)
    refused(probe, 9, "Resize", [x, None, up, sizes], y)
    refused(probe, 9, "Resize", [x], y)
    refused(probe, 9, "Resize", [x, None, Tensor("f32", [1, 1, 2, 2])], y)
    refused(probe, 3, "Resize", [x, None, Weight("f32", [1, 2, 2, 2])], y)
    refused(probe, 3, "Resize", [x, None, Weight("f32", [1, 1, 0.1, 2])], y)
    refused(probe, 3, "Resize", [x, None, Weight("f32", [1, 1, np.nan, 2])], y)
    refused(probe, 3, "Resize", [x, None, None, Weight("i64", [1, 1, 2**40, 8])], y)


# --- Pad, DepthToSpace, SpaceToDepth -------------------------------------------------------------

@pytest.mark.parametrize("type_name", FLOATS + ["i8", "u8", "i32", "i64", "bool"])
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(probe, type_name, mode):
    rng = np.random.default_rng(29)
    for shape, before, after in [((3, 4, 5), (1, 0, 2), (0, 3, 4)), ((5,), (4,), (2,)),
                                 ((2, 3, 300), (0, 2, 270), (1, 0, 3)), ((), (), ())]:
        x = rng.integers(0, 2, shape).astype(np.float32)
        want = np.pad(x, list(zip(before, after)), mode=mode,
                      **(dict(constant_values=1) if mode == "constant" else {})) if shape else x
        fill = [Weight(type_name, np.array(1.0))] if mode == "constant" else []
        y = run(probe, "Pad", [Tensor(type_name, x), Weight("i64", before + after)] + fill,
                type_name, want.shape, mode=mode)
        assert np.array_equal(np.asarray(y, np.float32), want)
    x = rng.integers(0, 2, (3, 4, 5)).astype(np.float32)
    y = run(probe, "Pad", [Tensor(type_name, x), Weight("i64", [2, 1, 1, 0]), None,
                           Weight("i32", [-1, 0])], type_name, (4, 4, 8), mode=mode)
    assert np.array_equal(np.asarray(y, np.float32), np.pad(x, [(1, 0), (0, 0), (2, 1)], mode=mode))


@pytest.mark.parametrize("n", [0, 1, 8])
def test_pad_of_any_number_of_rows(probe, n):
    x = np.random.default_rng(31).normal(size=(n, 5)).astype(np.float32)
    t = Tensor("f32", x, symbols={0: TOKENS})
    t.bounds = {0: 8}
    out = [Output("f32", (8, 9), {0: TOKENS})]
    (y,) = probe.run("", "Pad", 24, [t, Weight("i64", [0, 1, 0, 3])], out, symbols={TOKENS: n})
    assert np.array_equal(y[:n], np.pad(x, [(0, 0), (1, 3)]))
    refused(probe, 3, "Pad", [t, Weight("i64", [1, 1, 0, 3])], out)


def test_pad_refusals(probe):
    x, y = Tensor("f32", np.zeros((3, 4))), [Output("f32", (4, 6))]
    pads = Weight("i64", [0, 1, 1, 1])
    refused(probe, 4, "Pad", [x, pads], y, mode="wrap")
    refused(probe, 9, "Pad", [x, Tensor("i64", [0, 1, 1, 1])], y)
    refused(probe, 9, "Pad", [x, pads, Tensor("f32", np.array(1.0))], y)
    refused(probe, 2, "Pad", [x, pads, Weight("i32", np.array(1))], y)
    refused(probe, 3, "Pad", [x, Weight("i64", [0, 1, 1])], y)
    refused(probe, 3, "Pad", [x, Weight("i64", [0, -1, 1, 3])], y)
    refused(probe, 3, "Pad", [x, Weight("i64", [0, 4, 1, 1])], y, mode="reflect")
    refused(probe, 9, "Pad", [x, pads, None, Weight("i64", [1, 1])], y)


def channels_to_places(x, size, mode):
    n, c, h, w = x.shape
    if mode == "DCR":
        return x.reshape(n, size, size, c // size**2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(
            n, c // size**2, h * size, w * size)
    return x.reshape(n, c // size**2, size, size, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(
        n, c // size**2, h * size, w * size)


@pytest.mark.parametrize("type_name", FLOATS + ["i8", "u8", "i32", "i64", "bool"])
def test_depth_and_space(probe, type_name):
    rng = np.random.default_rng(37)
    for size, shape in [(2, (2, 12, 3, 5)), (3, (1, 18, 2, 1)), (1, (1, 2, 3, 4))]:
        x = rng.integers(0, 2, shape).astype(np.float32)
        for mode in ("DCR", "CRD"):
            want = channels_to_places(x, size, mode)
            y = run(probe, "DepthToSpace", [Tensor(type_name, x)], type_name, want.shape, mode=mode,
                    blocksize=size)
            assert np.array_equal(np.asarray(y, np.float32), want)
        packed = channels_to_places(x, size, "DCR")
        y = run(probe, "SpaceToDepth", [Tensor(type_name, packed)], type_name, x.shape,
                blocksize=size)
        assert np.array_equal(np.asarray(y, np.float32), x)


def test_depth_and_space_refusals(probe):
    x, y = Tensor("f32", np.zeros((1, 8, 4, 6))), [Output("f32", (1, 2, 8, 12))]
    refused(probe, 3, "DepthToSpace", [x], y, blocksize=3)
    refused(probe, 4, "DepthToSpace", [x], y)
    refused(probe, 4, "DepthToSpace", [x], y, blocksize=2, mode="RCD")
    refused(probe, 3, "SpaceToDepth", [x], y, blocksize=4)
    refused(probe, 3, "SpaceToDepth", [Tensor("f32", np.zeros((8, 4, 6)))], y, blocksize=2)
    refused(probe, 4, "SpaceToDepth", [x], y, blocksize=-2)

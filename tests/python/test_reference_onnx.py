# SPDX-License-Identifier: Apache-2.0
"""The ONNX operators of docs/operators.md on the reference delegate against the official ONNX node
tests: every single-node case of these operators in the types that the dialect has."""
import io
import pathlib
import tarfile

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from op_probe import SHARED, Failure, Output, Probe, Tensor, Weight, from_bf16

ARCHIVE = SHARED / "onnx-node-tests.tar.xz"
# Operator: opset of docs/operators.md. A case of another opset runs when the meaning is the same.
OPERATORS = {"Add": 14, "Sub": 14, "Mul": 14, "Div": 14, "Pow": 15, "Neg": 13, "Abs": 13,
             "Sqrt": 13, "Exp": 13, "Log": 13, "Erf": 13, "Tanh": 13, "Sigmoid": 13,
             "Reciprocal": 13, "Relu": 14, "Gelu": 20, "Swish": 24, "Softmax": 13, "MatMul": 13,
             "Gemm": 13, "RMSNormalization": 23, "LayerNormalization": 17, "ReduceMean": 18,
             "ReduceSum": 13, "ReduceMax": 20, "Gather": 13, "Reshape": 14, "Transpose": 13,
             "Concat": 13, "Slice": 13, "Split": 18, "Squeeze": 13, "Unsqueeze": 13, "Cast": 13,
             "Identity": 13, "Where": 16, "Expand": 13, "Conv": 22, "MaxPool": 22,
             "AveragePool": 22, "GlobalMaxPool": 22, "GlobalAveragePool": 22, "Clip": 13,
             "LeakyRelu": 16, "Elu": 22, "HardSigmoid": 22, "HardSwish": 22, "PRelu": 16,
             "BatchNormalization": 15, "QuantizeLinear": 21, "DequantizeLinear": 21,
             "ArgMax": 13, "TopK": 24, "ConvTranspose": 22, "Resize": 19, "Pad": 24,
             "DepthToSpace": 13, "SpaceToDepth": 13}
# Inputs that the dialect wants as constants.
CONSTANTS = {"Reshape": [1], "Squeeze": [1], "Unsqueeze": [1], "Expand": [1], "Split": [1],
             "Clip": [1, 2], "Slice": [1, 2, 3, 4], "ReduceMean": [1], "ReduceSum": [1], "ReduceMax": [1],
             "TopK": [1], "Resize": [1, 2, 3], "Pad": [1, 2, 3]}
ONNX_TYPES = {1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 6: "i32", 7: "i64", 9: "bool",
              10: "f16", 11: "f64", 16: "bf16"}


class Case:
    def __init__(self, name):
        self.name, self.model, self.files = name, None, {}


def read_cases():
    cases = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            parts = pathlib.PurePosixPath(member.name).parts
            if not member.isfile() or "node" not in parts:
                continue
            name = parts[parts.index("node") + 1]
            case = cases.setdefault(name, Case(name))
            data = archive.extractfile(member).read()
            if parts[-1] == "model.onnx":
                case.model = onnx.load(io.BytesIO(data))
            elif parts[-1].endswith(".pb"):
                case.files[parts[-2] + "/" + parts[-1]] = data
    return [case for case in cases.values() if is_wanted(case)]


def is_wanted(case):
    nodes = case.model.graph.node
    values = list(case.model.graph.input) + list(case.model.graph.output)
    return (len(nodes) == 1 and nodes[0].domain == "" and nodes[0].op_type in OPERATORS and
            all(v.type.HasField("tensor_type") and v.type.tensor_type.elem_type in ONNX_TYPES
                for v in values))


CASES = read_cases() if ARCHIVE.is_file() else []
# Why cases that the dialect does not promise may be refused: the reason the verdict must contain.
TYPE, SHAPE, ATTRIBUTE, OTHER = "reason 2", "reason 3", "reason 4", "reason 9"
REFUSED = {
    "test_add_int16": TYPE, "test_add_int8": TYPE, "test_add_uint16": TYPE, "test_add_uint8": TYPE,
    "test_sub_int16": TYPE, "test_sub_int8": TYPE, "test_sub_uint16": TYPE, "test_sub_uint8": TYPE,
    "test_mul_int16": TYPE, "test_mul_int8": TYPE, "test_mul_uint16": TYPE, "test_mul_uint8": TYPE,
    "test_div_int16": TYPE, "test_div_int8": TYPE, "test_div_uint16": TYPE, "test_div_uint8": TYPE,
    "test_pow_types_float32_int32": TYPE, "test_pow_types_float32_int64": TYPE,
    "test_pow_types_int32_float32": TYPE, "test_pow_types_int32_int32": TYPE,
    "test_pow_types_int64_float32": TYPE, "test_pow_types_int64_int64": TYPE,
    "test_averagepool_2d_ceil": ATTRIBUTE,
    "test_averagepool_2d_ceil_last_window_starts_on_pad": ATTRIBUTE,
    "test_averagepool_2d_dilations": ATTRIBUTE,
    "test_averagepool_2d_precomputed_same_upper": ATTRIBUTE,
    "test_averagepool_2d_same_lower": ATTRIBUTE,
    "test_averagepool_2d_same_upper": ATTRIBUTE,
    "test_averagepool_3d_default": SHAPE,
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False": SHAPE,
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True": ATTRIBUTE,
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False": SHAPE,
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": ATTRIBUTE,
    "test_averagepool_3d_dilations_small": ATTRIBUTE,
    "test_batchnorm_epsilon_training_mode": OTHER,
    "test_batchnorm_example_training_mode": OTHER,
    "test_clip_default_int8_inbounds": TYPE,
    "test_clip_default_int8_max": TYPE,
    "test_clip_default_int8_min": TYPE,
    "test_conv_with_autopad_same": ATTRIBUTE,
    "test_convtranspose_3d": SHAPE,
    "test_convtranspose_autopad_same": ATTRIBUTE,
    "test_dequantizelinear_blocked": ATTRIBUTE,
    "test_dequantizelinear_int16": TYPE,
    "test_dequantizelinear_uint16": TYPE,
    "test_maxpool_2d_ceil": ATTRIBUTE,
    "test_maxpool_2d_ceil_output_size_reduce_by_one": ATTRIBUTE,
    "test_maxpool_2d_precomputed_same_upper": ATTRIBUTE,
    "test_maxpool_2d_same_lower": ATTRIBUTE,
    "test_maxpool_2d_same_upper": ATTRIBUTE,
    "test_maxpool_3d_default": SHAPE,
    "test_maxpool_3d_dilations": SHAPE,
    "test_maxpool_3d_dilations_use_ref_impl": SHAPE,
    "test_maxpool_3d_dilations_use_ref_impl_large": ATTRIBUTE,
    "test_maxpool_with_argmax_2d_precomputed_pads": OTHER,
    "test_maxpool_with_argmax_2d_precomputed_strides": OTHER,
    "test_quantizelinear_blocked_asymmetric": ATTRIBUTE,
    "test_quantizelinear_blocked_symmetric": TYPE,
    "test_quantizelinear_int16": TYPE,
    "test_quantizelinear_uint16": TYPE,
    "test_resize_downsample_scales_cubic_A_n0p5_exclude_outside": ATTRIBUTE,
    "test_resize_downsample_scales_cubic_antialias": ATTRIBUTE,
    "test_resize_downsample_scales_linear_antialias": ATTRIBUTE,
    "test_resize_downsample_scales_linear_half_pixel_symmetric": ATTRIBUTE,
    "test_resize_downsample_sizes_cubic_antialias": ATTRIBUTE,
    "test_resize_downsample_sizes_linear_antialias": ATTRIBUTE,
    "test_resize_downsample_sizes_nearest_not_larger": ATTRIBUTE,
    "test_resize_downsample_sizes_nearest_not_smaller": ATTRIBUTE,
    "test_resize_tf_crop_and_resize": ATTRIBUTE,
    "test_resize_tf_crop_and_resize_axes_2_3": ATTRIBUTE,
    "test_resize_tf_crop_and_resize_axes_3_2": ATTRIBUTE,
    "test_resize_tf_crop_and_resize_extrapolation_value": ATTRIBUTE,
    "test_resize_upsample_scales_cubic_A_n0p5_exclude_outside": ATTRIBUTE,
    "test_resize_upsample_scales_linear_half_pixel_symmetric": ATTRIBUTE,
    "test_resize_upsample_sizes_nearest_not_larger": ATTRIBUTE,
    "test_resize_upsample_sizes_nearest_not_smaller": ATTRIBUTE,
    "test_wrap_pad": ATTRIBUTE,
}


@pytest.fixture(scope="module")
def probe():
    probe = Probe(n_workers=2)
    yield probe
    probe.close()


def tensor_of(data):
    proto = onnx.TensorProto.FromString(data)
    type_name = ONNX_TYPES[proto.data_type]
    array = numpy_helper.to_array(proto)
    raw = array.view(np.uint16) if type_name == "bf16" else array
    return type_name, raw, tuple(proto.dims)


def attributes_of(node):
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def inputs_of(case, node, folder):
    """Tensors in the order of the node's inputs; the files follow the graph's inputs."""
    files = {v.name: case.files[f"{folder}/input_{i}.pb"]
             for i, v in enumerate(case.model.graph.input)}
    inputs = []
    for i, name in enumerate(node.input):
        if not name:
            inputs.append(None)
            continue
        type_name, raw, shape = tensor_of(files[name])
        make = Weight if i in CONSTANTS.get(node.op_type, []) else Tensor
        inputs.append(make(type_name, shape=shape, data=np.ascontiguousarray(raw).tobytes()))
    while inputs and inputs[-1] is None:
        inputs.pop()
    return inputs


def compare(got, want, type_name):
    if type_name in ("f32", "f64", "f16", "bf16"):
        want = from_bf16(want) if type_name == "bf16" else want
        eps = {"f32": 1e-5, "f64": 1e-5, "f16": 1.5e-3, "bf16": 1e-2}[type_name]
        np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64),
                                   rtol=eps, atol=1e-6 if type_name in ("f32", "f64") else 1e-3)
    else:
        np.testing.assert_array_equal(got, want)


def run_case(probe, case, folder):
    node = case.model.graph.node[0]
    graph_outputs = [v.name for v in case.model.graph.output]
    names = [n for n in node.output if n]
    if node.op_type == "LayerNormalization":
        names = names[:1]
    wants = [tensor_of(case.files[f"{folder}/output_{graph_outputs.index(n)}.pb"]) for n in names]
    outputs = [Output(type_name, shape) for type_name, _, shape in wants]
    got = probe.run("", node.op_type, OPERATORS[node.op_type], inputs_of(case, node, folder),
                    outputs, **attributes_of(node))
    for array, (type_name, want, shape) in zip(got, wants):
        assert array.shape == shape
        compare(array, want, type_name)


@pytest.mark.skipif(not CASES, reason=f"no ONNX node tests at {ARCHIVE}")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_node(probe, case):
    for folder in sorted({name.split("/")[0] for name in case.files}):
        try:
            run_case(probe, case, folder)
        except Failure as failure:
            assert case.name in REFUSED and REFUSED[case.name] in str(failure), str(failure)
        else:
            assert case.name not in REFUSED, "runs now: take it from the list"


@pytest.mark.skipif(not CASES, reason=f"no ONNX node tests at {ARCHIVE}")
def test_every_operator_has_a_case():
    assert {case.model.graph.node[0].op_type for case in CASES} == set(OPERATORS)
    assert set(REFUSED) <= {case.name for case in CASES}

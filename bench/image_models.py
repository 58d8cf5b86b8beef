# SPDX-License-Identifier: Apache-2.0
"""Image networks as ONNX graphs with random weights, in the shapes of well-known ones, and their
f16 and int8 forms. Speed does not depend on the values."""
import pathlib
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
# Operators of the delegates' vocabulary (docs/operators.md) that image networks use, with the
# version it has them in.
VERSIONS = {"Conv": 22, "Relu": 14, "Add": 14, "Mul": 14, "Clip": 13, "BatchNormalization": 15,
            "MaxPool": 22, "AveragePool": 22, "GlobalAveragePool": 22, "Gemm": 13, "Reshape": 14,
            "Softmax": 13, "HardSigmoid": 22, "HardSwish": 22, "Sigmoid": 13, "LeakyRelu": 16,
            "QuantizeLinear": 21, "DequantizeLinear": 21, "Concat": 13, "MatMul": 13, "Sub": 14,
            "Div": 14, "PRelu": 16, "Elu": 22, "Transpose": 13, "Squeeze": 13, "Unsqueeze": 13}


class Maker:
    """Adds layer by layer; `x` names the value so far and `shape` is its [1, C, H, W]."""

    def __init__(self, name, size, norms):
        self.random = np.random.default_rng(1)
        self.name, self.norms = name, norms
        self.nodes, self.weights = [], []
        self.x, self.channels, self.count = "input", 3, 0
        self.inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT,
                                                     (1, 3, size, size))]

    def weight(self, array):
        self.count += 1
        self.weights.append(numpy_helper.from_array(np.asarray(array), f"w{self.count}"))
        return f"w{self.count}"

    def node(self, op, inputs, **attributes):
        self.count += 1
        self.nodes.append(helper.make_node(op, inputs, [f"v{self.count}"], **attributes))
        self.x = f"v{self.count}"
        return self.x

    def floats(self, *shape, scale=1.0):
        return self.weight((self.random.normal(0, scale, shape)).astype(np.float32))

    def conv(self, out, kernel, stride=1, group=1, act="Relu"):
        inside = self.channels // group
        w = self.floats(out, inside, kernel, kernel, scale=(2.0 / (inside * kernel ** 2)) ** 0.5)
        inputs = [self.x, w] if self.norms else [self.x, w, self.floats(out, scale=0.1)]
        pad = kernel // 2
        self.node("Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=group,
                  pads=[pad] * 4)
        self.channels = out
        if self.norms:
            self.norm()
        self.activate(act)
        return self.x

    def norm(self):
        n = self.channels
        one = self.weight(self.random.uniform(0.9, 1.1, n).astype(np.float32))
        variance = self.weight(self.random.uniform(0.8, 1.2, n).astype(np.float32))
        self.node("BatchNormalization", [self.x, one, self.floats(n, scale=0.1),
                                         self.floats(n, scale=0.1), variance])

    def activate(self, act):
        if act == "Relu6":
            self.node("Clip", [self.x, self.weight(np.float32(0)), self.weight(np.float32(6))])
        elif act:
            self.node(act, [self.x])

    def squeeze(self, inner, gate):
        """Scales channels by what their means tell."""
        x, n = self.x, self.channels
        norms, self.norms = self.norms, False
        self.node("GlobalAveragePool", [x])
        self.conv(inner, 1)
        self.conv(n, 1, act=gate)
        self.norms = norms
        self.node("Mul", [x, self.x])

    def finish(self, classes=1000):
        if classes:
            self.node("GlobalAveragePool", [self.x])
            self.node("Reshape", [self.x, self.weight(np.array([1, -1], np.int64))])
            self.node("Gemm", [self.x, self.floats(classes, self.channels, scale=0.03),
                               self.floats(classes)], transB=1)
        info = helper.make_tensor_value_info(self.x, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, self.name, self.inputs, [info], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 9
        return onnx.shape_inference.infer_shapes(model)


def mobilenet_v2(norms):
    m = Maker("mobilenet-v2", 224, norms)
    m.conv(32, 3, 2, act="Relu6")
    for widen, out, repeat, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                       (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(repeat):
            before, n, step = m.x, m.channels, stride if i == 0 else 1
            if widen > 1:
                m.conv(n * widen, 1, act="Relu6")
            m.conv(m.channels, 3, step, m.channels, "Relu6")
            m.conv(out, 1, act="")
            if step == 1 and n == out:
                m.node("Add", [before, m.x])
    m.conv(1280, 1, act="Relu6")
    return m.finish()


def mobilenet_v3(norms):
    """The small one: squeeze and excitation, hard swish."""
    m = Maker("mobilenet-v3-small", 224, norms)
    m.conv(16, 3, 2, act="HardSwish")
    relu, swish = "Relu", "HardSwish"
    for kernel, wide, out, squeezes, act, stride in [
            (3, 16, 16, True, relu, 2), (3, 72, 24, False, relu, 2), (3, 88, 24, False, relu, 1),
            (5, 96, 40, True, swish, 2), (5, 240, 40, True, swish, 1), (5, 240, 40, True, swish, 1),
            (5, 120, 48, True, swish, 1), (5, 144, 48, True, swish, 1),
            (5, 288, 96, True, swish, 2), (5, 576, 96, True, swish, 1),
            (5, 576, 96, True, swish, 1)]:
        before, n = m.x, m.channels
        if wide != n:
            m.conv(wide, 1, act=act)
        m.conv(wide, kernel, stride, wide, act)
        if squeezes:
            m.squeeze(max(8, wide // 4), "HardSigmoid")
        m.conv(out, 1, act="")
        if stride == 1 and n == out:
            m.node("Add", [before, m.x])
    m.conv(576, 1, act=swish)
    return m.finish()


def resnet(norms, name, blocks, bottleneck):
    m = Maker(name, 224, norms)
    m.conv(64, 7, 2)
    m.node("MaxPool", [m.x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for i_stage, repeat in enumerate(blocks):
        width = 64 << i_stage
        for i in range(repeat):
            before, n, stride = m.x, m.channels, 2 if i == 0 and i_stage > 0 else 1
            out = width * 4 if bottleneck else width
            if bottleneck:
                m.conv(width, 1)
                m.conv(width, 3, stride)
                last = m.conv(out, 1, act="")
            else:
                m.conv(width, 3, stride)
                last = m.conv(out, 3, act="")
            if stride != 1 or n != out:
                m.x, m.channels = before, n
                before = m.conv(out, 1, stride, act="")
            m.node("Add", [last, before])
            m.activate("Relu")
    return m.finish()


def densenet(norms):
    """Three dense blocks of eight layers: concatenation and norms before convolutions."""
    m = Maker("densenet", 160, norms)
    m.conv(64, 7, 2)
    m.node("MaxPool", [m.x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for i_block in range(3):
        for _ in range(8):
            before, n = m.x, m.channels
            m.norm()
            m.activate("Relu")
            m.conv(128, 1)
            m.conv(32, 3, act="")
            m.node("Concat", [before, m.x], axis=1)
            m.channels = n + 32
        if i_block < 2:
            m.conv(m.channels // 2, 1)
            m.node("AveragePool", [m.x], kernel_shape=[2, 2], strides=[2, 2])
    return m.finish()


GENERATED = {
    "mobilenet-v2": lambda: mobilenet_v2(False),
    "mobilenet-v2-bn": lambda: mobilenet_v2(True),
    "mobilenet-v3": lambda: mobilenet_v3(False),
    "resnet-18": lambda: resnet(False, "resnet-18", (2, 2, 2, 2), False),
    "resnet-18-bn": lambda: resnet(True, "resnet-18", (2, 2, 2, 2), False),
    "resnet-50": lambda: resnet(False, "resnet-50", (3, 4, 6, 3), True),
    "densenet": lambda: densenet(True),
}
REAL = {"face-slim": "models/face-detector/models/onnx/version-slim-320_simplified.onnx",
        "face-rfb": "models/face-detector/models/onnx/version-RFB-320_simplified.onnx"}
# What cut() leaves.
BACKBONE = {"Conv", "Relu", "Add", "Mul", "BatchNormalization", "MaxPool", "Clip", "LeakyRelu",
            "Concat"}


def cut(model):
    """The network without what stands behind it, transposes and decoding of boxes."""
    graph = model.graph
    weights = {w.name: w for w in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            weights[node.output[0]] = onnx.TensorProto.FromString(
                node.attribute[0].t.SerializeToString())
            weights[node.output[0]].name = node.output[0]
    inputs = [i for i in graph.input if i.name not in weights]
    known = {i.name for i in inputs} | set(weights)
    nodes = []
    for node in graph.node:
        if node.op_type in BACKBONE and known.issuperset(node.input):
            nodes.append(node)
            known.update(node.output)
    read = {i for n in nodes for i in n.input}
    ends = [n.output[0] for n in nodes if n.output[0] not in read]
    infos = [helper.make_tensor_value_info(e, TensorProto.FLOAT, None) for e in ends]
    made = helper.make_graph(nodes, "cut", inputs, infos,
                             [w for n, w in weights.items() if n in read])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    model = onnx.version_converter.convert_version(model, OPSET)
    return onnx.shape_inference.infer_shapes(model)


def as_f16(model):
    from onnxconverter_common import float16
    return onnx.shape_inference.infer_shapes(
        float16.convert_float_to_float16(model, disable_shape_infer=True))


def as_int8(model):
    """QuantizeLinear and DequantizeLinear around every node: weights by channel in i8, activations
    in u8, the form that onnxruntime's quantiser makes and likes best on this kind of CPU."""
    from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                          quantize_static)

    class Reader(CalibrationDataReader):
        def __init__(self):
            info = model.graph.input[0]
            shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
            random = np.random.default_rng(3)
            self.left = [{info.name: random.normal(0, 1, shape).astype(np.float32)}
                         for _ in range(2)]

        def get_next(self):
            return self.left.pop() if self.left else None

    with tempfile.TemporaryDirectory() as folder:
        before, after = pathlib.Path(folder) / "a.onnx", pathlib.Path(folder) / "b.onnx"
        onnx.save(model, before)
        quantize_static(before, after, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8)
        made = onnx.load(after)
    shapes = {w.name: w for w in made.graph.initializer}
    for node in made.graph.node:  # a scale of shape [1] beside a zero point of shape []
        if node.op_type == "DequantizeLinear" and len(node.input) > 2:
            scale, zero = (shapes[i] for i in node.input[1:])
            if list(scale.dims) == [1] and not zero.dims:
                zero.dims.append(1)
    return onnx.shape_inference.infer_shapes(made)


FORMS = {"f32": lambda model: model, "f16": as_f16, "int8": as_int8}


def make(name, kind, data):
    """data: the folder that REAL names files of."""
    model = GENERATED[name]() if name in GENERATED else cut(onnx.load(data / REAL[name]))
    return FORMS[kind](model)

# SPDX-License-Identifier: Apache-2.0
"""Delegates against the official ONNX node tests of the operators that they run: the CPU delegate's
XNNPACK regions, where weights are constants, as in files, and both GPU delegates, which take
computed weights as well. A case may be refused; what runs must be right, and of every operator some
case must run."""
import pytest

import test_reference_onnx as onnx_tests
from op_probe import BUILD, Failure, Probe, Weight

CONSTANTS = {"Conv": [1, 2], "BatchNormalization": [1, 2, 3, 4], "PRelu": [1], "Gemm": [1, 2],
             "MatMul": [1], "Clip": [1, 2], "ReduceMean": [1], "Reshape": [1],
             "QuantizeLinear": [1, 2], "DequantizeLinear": [1, 2]}
XNNPACK = {"Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
           "BatchNormalization", "Clip", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish",
           "Concat", "Gemm", "MatMul", "Softmax", "QuantizeLinear", "DequantizeLinear"}


class Delegate(Probe):
    """Hands the weights of a node over as constants. ran: the operators of which a case ran."""

    def __init__(self, name, options, operators, constants):
        super().__init__(BUILD / f"plugins/{name}/{name}.so", n_workers=2, options=options)
        self.operators, self.constants, self.ran = operators, constants, set()

    def run(self, domain, op, version, inputs, outputs, **attributes):
        constant = [Weight(t.type_name, shape=t.shape, data=t.data)
                    if t is not None and i in self.constants.get(op, []) else t
                    for i, t in enumerate(inputs)]
        return super().run(domain, op, version, constant, outputs, **attributes)


DELEGATES = {"cpu-xnnpack": (None, XNNPACK, CONSTANTS),
             "gpu-vulkan": ("software=on", set(onnx_tests.OPERATORS), {}),
             "gpu-opencl": ("software=on", set(onnx_tests.OPERATORS), {})}
CASES = [pytest.param(name, case, id=f"{name}-{case.name}")
         for name, (_, operators, _) in DELEGATES.items() for case in onnx_tests.CASES
         if case.model.graph.node[0].op_type in operators]

pytestmark = pytest.mark.skipif(not onnx_tests.CASES,
                                reason=f"no ONNX node tests at {onnx_tests.ARCHIVE}")


@pytest.fixture(scope="module")
def delegates():
    """A function of a name; a delegate that is not there skips the test."""
    opened = {}

    def find(name):
        if name not in opened:
            try:
                opened[name] = Delegate(name, *DELEGATES[name])
            except RuntimeError as error:  # no plugin, or no device
                opened[name] = str(error)
        if isinstance(opened[name], str):
            pytest.skip(opened[name])
        return opened[name]

    yield find
    for delegate in opened.values():
        if not isinstance(delegate, str):
            delegate.close()


@pytest.mark.parametrize("name, case", CASES)
def test_node(delegates, name, case):
    delegate = delegates(name)
    for folder in sorted({name.split("/")[0] for name in case.files}):
        try:
            onnx_tests.run_case(delegate, case, folder)
        except Failure as failure:
            assert "judge refused" in str(failure), str(failure)
            pytest.skip(str(failure))
    delegate.ran.add(case.model.graph.node[0].op_type)


@pytest.mark.parametrize("name", DELEGATES)
def test_some_case_of_every_operator_ran(delegates, name):
    delegate = delegates(name)
    if not delegate.ran:
        pytest.skip("the cases did not run")
    if name == "cpu-xnnpack" and "Conv" not in delegate.ran:
        pytest.skip("the delegate is built without XNNPACK")
    assert delegate.ran == delegate.operators

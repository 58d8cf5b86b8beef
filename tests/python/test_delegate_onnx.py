# SPDX-License-Identifier: Apache-2.0
"""The CPU delegate against the official ONNX node tests of the operators that it runs in XNNPACK
regions. Weights are constants, as in files. A case may be refused; what runs must be right, and of
every operator some case must run."""
import pytest

import test_reference_onnx as onnx_tests
from op_probe import BUILD, Failure, Probe, Weight

PLUGIN = BUILD / "plugins/cpu-xnnpack/cpu-xnnpack.so"
CONSTANTS = {"Conv": [1, 2], "BatchNormalization": [1, 2, 3, 4], "PRelu": [1], "Gemm": [1, 2],
             "MatMul": [1], "Clip": [1, 2], "ReduceMean": [1], "Reshape": [1],
             "QuantizeLinear": [1, 2], "DequantizeLinear": [1, 2]}
OPERATORS = {"Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
             "BatchNormalization", "Clip", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish",
             "Concat", "Gemm", "MatMul", "Softmax", "QuantizeLinear", "DequantizeLinear"}
CASES = [case for case in onnx_tests.CASES if case.model.graph.node[0].op_type in OPERATORS]
ran = set()

pytestmark = [
    pytest.mark.skipif(not CASES, reason=f"no ONNX node tests at {onnx_tests.ARCHIVE}"),
    pytest.mark.skipif(not PLUGIN.is_file(), reason=f"no plugin at {PLUGIN}")]


class Delegate(Probe):
    """Hands the weights of a node over as constants."""

    def run(self, domain, op, version, inputs, outputs, **attributes):
        constant = [Weight(t.type_name, shape=t.shape, data=t.data)
                    if t is not None and i in CONSTANTS.get(op, []) else t
                    for i, t in enumerate(inputs)]
        return super().run(domain, op, version, constant, outputs, **attributes)


@pytest.fixture(scope="module")
def delegate():
    probe = Delegate(PLUGIN, n_workers=2)
    yield probe
    probe.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_node(delegate, case):
    for folder in sorted({name.split("/")[0] for name in case.files}):
        try:
            onnx_tests.run_case(delegate, case, folder)
        except Failure as failure:
            assert "judge refused" in str(failure), str(failure)
            pytest.skip(str(failure))
    ran.add(case.model.graph.node[0].op_type)


def test_some_case_of_every_operator_ran(delegate):
    if not ran:
        pytest.skip("the cases did not run")
    if "Conv" not in ran:
        pytest.skip("the delegate is built without XNNPACK")
    assert ran == OPERATORS

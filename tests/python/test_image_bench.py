# SPDX-License-Identifier: Apache-2.0
"""bench/image_cpu.py: a made network runs on the delegate, and bad input is told. No time is asserted."""
import subprocess
import sys

import numpy as np
import pytest

from op_probe import BUILD, ROOT

sys.path.insert(0, str(ROOT / "bench"))

import image_cpu  # noqa: E402
import image_models  # noqa: E402

pytestmark = pytest.mark.skipif(not (BUILD / "bin/sy_image_bench.so").is_file(),
                                reason="no measuring tools in the build (SY_BENCH)")


@pytest.fixture(scope="module")
def model():
    return image_models.make("mobilenet-v3", "f32", None)


def results(model, n_threads):
    try:
        engine = image_cpu.Switchyard(BUILD, model, n_threads, "")
    except RuntimeError as refused:
        if "not built in" in str(refused):
            pytest.skip("the delegate is built without XNNPACK")
        raise
    found = engine.start(image_cpu.inputs_of(model))
    assert len(engine.run(3)) == 3 and engine.weight_mib > 1
    engine.close()
    return found


def test_a_made_network_runs(model):
    one, two = results(model, 1), results(model, 2)
    assert one[0].shape == (1, 1000) and np.isfinite(one[0]).all() and np.ptp(one[0]) > 0
    assert image_cpu.difference(one, two) == 0


def test_a_bad_option_is_told(model):
    with pytest.raises(RuntimeError, match="isa"):
        image_cpu.Switchyard(BUILD, model, 1, "isa=none")


@pytest.mark.parametrize("flags", [["--models", "nothing"], ["--types", "f64"]])
def test_unknown_words_are_told(flags):
    script = ROOT / "bench/image_cpu.py"
    ended = subprocess.run([sys.executable, script, "--build", BUILD, *flags], capture_output=True,
                           text=True)
    assert ended.returncode == 2 and f"{flags[1]} is none of" in ended.stderr

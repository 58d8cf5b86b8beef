# SPDX-License-Identifier: Apache-2.0
"""bench/gpu.py over the shipped model on a GPU delegate that is here, without a peer; its tables. No time is asserted."""
import json
import os
import pathlib
import sys

import pytest

from test_gpu import BUILD, missing

SOURCE = pathlib.Path(__file__).parents[2]
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", SOURCE.parent / "shared"))
sys.path.insert(0, str(SOURCE / "bench"))

import gpu  # noqa: E402
import gpu_engines  # noqa: E402
import gpu_report  # noqa: E402
from gpu_engines import Cell  # noqa: E402

MACHINE = {"cpu": "x", "cores": 2, "memory_gb": 8, "isa": [], "system": "6"}


def run(out, *flags):
    return gpu.main(["--models", str(out), "--switchyard", str(BUILD), "--data", str(SHARED / "data"), "--rounds", "1",
                     "--threads", "2", "--samples", str(out / "gpu.jsonl"), "--out", str(out / "table.md"), *flags])


@pytest.mark.parametrize("delegate", gpu_engines.DELEGATES)
def test_one_cell_is_measured(delegate, tmp_path, monkeypatch):
    if missing(delegate):
        pytest.skip(missing(delegate))
    monkeypatch.setattr(gpu_engines, "DELEGATES", (delegate,))
    monkeypatch.setattr(gpu_engines, "cache_of", lambda bench, engine, cell=None: bench.work / engine.name)  # compiled once
    monkeypatch.setitem(gpu.LENGTHS, "actions", (8, 4))
    flags = ["--cells", "actions *", "--repeats", "2", "--measures", "first,again,speed"]
    assert run(tmp_path, *flags) == 0
    text, stored = (tmp_path / "table.md").read_text(), json.loads((tmp_path / "table.json").read_text())
    assert "failed" not in text and delegate in text
    samples = stored["samples"]
    assert {(s["engine"], s["row"]) for s in samples} == {
        (delegate, "first"), (delegate, "again"), (delegate, "prefill"), (delegate, "decode"),
        ("switchyard", "again"), ("switchyard", "prefill"), ("switchyard", "decode")}
    first, again = (next(s for s in samples if (s["engine"], s["row"]) == (delegate, row)) for row in ("first", "again"))
    assert first["compiled"] > 0 and first["from_blobs"] == 0
    assert again["compiled"] == 0 and again["from_blobs"] == first["compiled"]
    for s in (s for s in samples if s["row"] in ("prefill", "decode")):
        assert s["value"] > 0 and s["process_us"] > 0 and s["host_us"] > 0 and s["device"]
    for s in (s for s in samples if (s["engine"], s["row"]) == (delegate, "decode")):
        assert 0 < s["written_bytes"] < 4096 and 0 < s["read_bytes"] < 4 * 512  # no row of logits
        assert delegate in s["on"] and s["device_mib"] > 0
    # and a second call has nothing to do
    assert run(tmp_path, *flags) == 0
    assert json.loads((tmp_path / "table.json").read_text())["samples"] == samples


def sample(engine, row, value, **more):
    return {"cell": "m Q4_0", "engine": engine, "row": row, "value": value, "time": "2026-01-02T03:04:05", **more}


def render(samples, known=None):
    return gpu_report.render(samples, [Cell("m", "Q4_0", 8, 4)], known or {},
                             ["switchyard", "gpu-vulkan", "llama.cpp"], MACHINE, 2)


def test_medians_ratios_and_where_the_peer_is_ahead():
    cost = {"host_us": 40.0, "process_us": 900.0, "written_bytes": 64.0, "read_bytes": 4.0}
    text = render([sample("gpu-vulkan", "decode", v, device="llvmpipe x", on="gpu-vulkan", **cost) for v in (10, 30, 20)]
                  + [sample("gpu-vulkan", "prefill", 100, **cost), sample("llama.cpp", "prefill", 50, host_us=1),
                     sample("llama.cpp", "decode", 40, device="llvmpipe", on="2 of 2 layers", host_us=80, process_us=1e4)]
                  + [sample("gpu-vulkan", "first", 500, compiled=2, from_blobs=0), sample("llama.cpp", "first", 900)])
    assert "No real GPU" in text and "2026-01-02" in text
    assert "| m Q4_0 | gpu-vulkan | 20.0 | 0.5 | 100 | 2 | 40.0 | 900 | 40.0 | 64.0 | 4 | - | - |" in text
    assert "| m Q4_0 | gpu-vulkan | 500 (2 + 0) | - | - | - |" in text
    behind = text.partition("## Where llama.cpp is ahead")[2]
    assert "| m Q4_0 | gpu-vulkan | decode | 20.0 | 40.0 | 0.5 |" in behind
    assert "prefill" not in behind and "CPU us/token" not in behind and "first" not in behind


def test_a_real_device_is_told_with_its_share_of_bandwidth():
    text = render([sample("gpu-vulkan", "decode", 100, device="Radeon", on="gpu-vulkan", device_gbs=200.0)],
                  {"m Q4_0": {"decode_bytes": 1e9}})
    assert "No real GPU" not in text and "| 50 % |" in text


def test_an_absent_peer_is_a_sentence(tmp_path):
    with pytest.raises(RuntimeError, match="npm install"):
        gpu_engines.LlamaVulkan("llama.cpp", tmp_path).libraries()

# SPDX-License-Identifier: Apache-2.0
"""`switchyard describe --json` is JSON and agrees with the Python package gguf about every shared
file that can be read."""
import collections
import json
import os
import pathlib
import subprocess

import gguf
import pytest

SHARED = pathlib.Path(os.environ.get(
    "SY_SHARED_DIR", pathlib.Path(__file__).parents[3] / "shared")) / "data"
NO_FILES = pathlib.Path("no-files")
FILES = sorted(SHARED.rglob("*.gguf")) or [NO_FILES]


def describe(path, *flags):
    program = pathlib.Path(os.environ.get("SY_BUILD_DIR", "build/release")) / "bin" / "switchyard"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return subprocess.run([program, "describe", path, *flags], capture_output=True, check=False)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_describes_file(path):
    if path is NO_FILES:
        pytest.skip("no shared GGUF files (SY_SHARED_DIR)")
    result = describe(path, "--json", "--tensors", "--metadata")
    if result.returncode != 0:
        assert b"comes twice" in result.stderr  # test_gguf.py shows that gguf-py refuses it too
        return
    told, reader = json.loads(result.stdout), gguf.GGUFReader(path)
    types = collections.Counter(tensor.tensor_type.name.lower() for tensor in reader.tensors)
    assert {name.lower(): share["n_tensors"] for name, share in told["types"].items()} == types
    assert told["n_parameters"] == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert told["weight_bytes"] == sum(int(tensor.n_bytes) for tensor in reader.tensors)
    assert told["file_bytes"] == path.stat().st_size
    assert [tensor["name"] for tensor in told["tensors"]] == [t.name for t in reader.tensors]
    keys = [name for name in reader.fields if not name.startswith("GGUF.")]
    assert list(told["metadata"]) == keys
    if path.parent.name in ("models", "stories260k") and "shared" in str(path):
        assert told["runs_here"] is True


def test_refuses_what_is_no_model(tmp_path):
    path = tmp_path / "no-model"
    path.write_bytes(b"not a model")
    result = describe(path)
    assert result.returncode == 1 and b"no GGUF file" in result.stderr and b"hint" in result.stderr

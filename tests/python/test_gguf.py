# SPDX-License-Identifier: Apache-2.0
"""Every shared GGUF file, read by Switchyard and by the Python package gguf: all keys, all elements,
all tensors and their bytes must be equal."""
import hashlib
import os
import pathlib
import subprocess

import gguf
import pytest

SHARED = pathlib.Path(os.environ.get(
    "SY_SHARED_DIR", pathlib.Path(__file__).parents[3] / "shared")) / "data"
NO_FILES = pathlib.Path("no-files")
FILES = sorted(SHARED.rglob("*.gguf")) or [NO_FILES]
TYPE_NAMES = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"]


def element(value_type, part):
    """One element as gguf_dump prints it."""
    if value_type == 8:
        return "x" + bytes(part).hex()
    number = part[0]
    if value_type in (6, 12):
        return "%.17g" % float(number)
    return str(int(number))


def expected_lines(path):
    reader = gguf.GGUFReader(path)
    for name, field in reader.fields.items():
        if name.startswith("GGUF."):
            continue
        types = [int(t) for t in field.types]
        text = TYPE_NAMES[types[-1]]
        words = [element(types[-1], field.parts[i]) for i in field.data]
        yield " ".join(["key", name, f"[{text}]" if types[0] == 9 else text] + words)
    with open(path, "rb") as file:
        for tensor in reader.tensors:
            file.seek(int(tensor.data_offset))
            digest = hashlib.sha256(file.read(int(tensor.n_bytes))).hexdigest()
            dims = "x".join(str(int(d)) for d in tensor.shape)
            yield (f"tensor {tensor.name} {int(tensor.tensor_type)} {dims} "
                   f"{int(tensor.data_offset)} {int(tensor.n_bytes)} {digest}")


def unread_array(expected, got):
    """gguf-py gives an empty array no element type; compare such a line by its name alone."""
    words = expected.split(" ")
    return len(words) == 3 and words[2] == "[array]" and got.startswith(" ".join(words[:2]) + " [")


def has_key_twice(path):
    """Some old writers repeat a key; gguf-py, llama.cpp and Switchyard all refuse such a file."""
    try:
        gguf.GGUFReader(path)
    except KeyError as error:
        return "Duplicate" in str(error)
    return False


def compare(dump, path):
    result = subprocess.run([dump, str(path)], capture_output=True, check=False)
    if result.returncode != 0:
        refusal = result.stderr.decode()
        return None if "comes twice" in refusal and has_key_twice(path) else f"refused: {refusal}"
    if has_key_twice(path):
        return "a key that comes twice was not refused"
    got = result.stdout.decode().splitlines()
    expected = list(expected_lines(path))
    if len(got) != len(expected):
        return f"{len(got)} lines, expected {len(expected)}"
    for line, want in zip(got, expected):
        if line != want and not unread_array(want, line):
            return f"got      {line[:300]}\nexpected {want[:300]}"
    return None


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_file_reads_alike(path):
    if path is NO_FILES:
        pytest.skip("no shared GGUF files (SY_SHARED_DIR)")
    dump = pathlib.Path(os.environ.get("SY_BUILD_DIR", "build/release")) / "bin" / "gguf_dump"
    if not dump.exists():
        pytest.skip(f"{dump} is not built")
    assert compare(str(dump), path) is None

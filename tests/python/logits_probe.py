# SPDX-License-Identifier: Apache-2.0
"""Logits of a model after tokens, from the program of tests/tools that dumps them."""
import subprocess

import numpy as np

from op_probe import BUILD


def logits_of(ids, model, *flags, chunk=1):
    """One row after every chunk of tokens (an encoder gives all of them)."""
    command = [BUILD / "bin/logits_dump", model, "f32", chunk, *flags, "--", *ids]
    result = subprocess.run(list(map(str, command)), capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    rows = np.frombuffer(result.stdout, np.float32).astype(np.float64)
    return rows.reshape(-(-len(ids) // chunk), -1)

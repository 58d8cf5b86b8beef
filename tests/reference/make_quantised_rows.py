#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes quantised_rows.json: one row of known data as another project's quantiser stores it, in every
block type, and how far its own decoder is from the data. Needs a build of llama.cpp's shared library.

  python3 tests/reference/make_quantised_rows.py PATH/libggml-base.so
"""
import ctypes
import json
import pathlib
import sys

import numpy as np

SEED, N_ELEMENTS = 2026, 512
TYPES = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12,
         "Q5_K": 13, "Q6_K": 14, "IQ2_XXS": 16, "IQ2_XS": 17, "IQ3_XXS": 18, "IQ1_S": 19,
         "IQ4_NL": 20, "IQ3_S": 21, "IQ2_S": 22, "IQ4_XS": 23, "IQ1_M": 29, "TQ1_0": 34,
         "TQ2_0": 35, "MXFP4": 39, "NVFP4": 40, "Q1_0": 41, "Q2_0": 42}


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("block", ctypes.c_int64),
                ("interleaved", ctypes.c_int64), ("size", ctypes.c_size_t),
                ("is_quantised", ctypes.c_bool), ("to_float", ctypes.CFUNCTYPE(
                    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64))]


def row(library, number, given):
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
    pointer, n = ctypes.c_void_p, ctypes.c_int64
    stored, importance = np.zeros(given.nbytes, np.uint8), np.ones_like(given)
    n_bytes = library.ggml_quantize_chunk(
        ctypes.c_int(number), pointer(given.ctypes.data), pointer(stored.ctypes.data), n(0), n(1),
        n(given.size), pointer(importance.ctypes.data))
    found = np.zeros_like(given)
    library.ggml_get_type_traits(number)[0].to_float(stored.ctypes.data, found.ctypes.data,
                                                     given.size)
    error = np.sqrt(np.mean((found - given) ** 2) / np.mean(given ** 2))
    return {"blocks": stored[:n_bytes].tobytes().hex(), "error": round(float(error), 7)}


def main():
    library = ctypes.CDLL(sys.argv[1])
    given = np.random.default_rng(SEED).standard_normal(N_ELEMENTS).astype(np.float32)
    rows = {name: row(library, number, given) for name, number in TYPES.items()}
    path = pathlib.Path(__file__).with_name("quantised_rows.json")
    text = json.dumps({"seed": SEED, "n_elements": N_ELEMENTS, "rows": rows}, indent=1)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()

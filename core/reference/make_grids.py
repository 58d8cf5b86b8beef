#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the code books of the IQ block types, which are facts of the GGUF format, in the two forms
that this house reads: packed for the reference delegate, one machine word per entry for the CPU
delegate. The books come from the gguf package (0.19 wrote the files that are kept).

  python3 core/reference/make_grids.py            writes both files
  python3 core/reference/make_grids.py --check    fails when a file differs from what it would write

An entry of 8 elements has two bits per element, one of 4 elements four bits: the index of its
magnitude, element 0 in the lowest bits.
"""
import argparse
import pathlib
import sys

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "core/reference/blocks_grids.c"
KERNELS = ROOT / "plugins/cpu-xnnpack/kernels/block_grids.c"
NAMES = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]
MADE = "/* Made by core/reference/make_grids.py: code books of the GGUF format. */\n"

# How the entries become words of one byte per element, as constant expressions.
EXPANSIONS = """
/* One byte for each index of an entry. */
#define EIGHT(x, bits) ((uint64_t)((x) >> 2 * (bits) & 3) << 8 * (bits))
#define SPREAD8(x)                                                                          \\
    (EIGHT(x, 0) | EIGHT(x, 1) | EIGHT(x, 2) | EIGHT(x, 3) | EIGHT(x, 4) | EIGHT(x, 5) |    \\
     EIGHT(x, 6) | EIGHT(x, 7))
#define FOUR(x, i) ((uint32_t)((x) >> 4 * (i) & 7) << 8 * (i))
#define SPREAD4(x) (FOUR(x, 0) | FOUR(x, 1) | FOUR(x, 2) | FOUR(x, 3))
#define ONES8 0x0101010101010101u
#define ONES4 0x01010101u

/* Magnitudes 8, 25, 43. */
#define IQ2(x) (8 * ONES8 + 17 * SPREAD8(x) + (SPREAD8(x) >> 1 & ONES8))
/* Magnitudes 4, 12, .. 52 and 62. */
#define IQ3_XXS(x) (4 * ONES4 + 8 * SPREAD4(x) + 2 * ((SPREAD4(x) + ONES4) >> 3 & ONES4))
/* Magnitudes 1, 3, .. 15. */
#define IQ3_S(x) (ONES4 + 2 * SPREAD4(x))
/* 8 times the index: the elements are -1, 0, 1, and a block shifts them by an eighth. */
#define IQ1_S(x) (8 * SPREAD8(x))
"""
MACROS = {"IQ2_XXS": "IQ2", "IQ2_XS": "IQ2", "IQ2_S": "IQ2", "IQ3_XXS": "IQ3_XXS",
          "IQ3_S": "IQ3_S", "IQ1_S": "IQ1_S"}
MAGNITUDES = {"IQ2": [8, 25, 43], "IQ3_XXS": [4, 12, 20, 28, 36, 44, 52, 62],
              "IQ3_S": [1, 3, 5, 7, 9, 11, 13, 15], "IQ1_S": [-1, 0, 1]}


def entries(name):
    """The book as integers, after proof that its magnitudes are those of the expansion."""
    kind = getattr(gguf.quants, name)
    kind.init_grid()
    grid = kind.grid.reshape(kind.grid_shape).astype(np.int64)
    magnitudes = MAGNITUDES[MACROS[name]]
    assert sorted(set(grid.ravel().tolist())) == magnitudes, name
    index = np.searchsorted(magnitudes, grid)
    step = 16 // kind.grid_shape[1]
    return (index << (step * np.arange(kind.grid_shape[1]))).sum(axis=1).tolist()


def rows(words):
    """Lines of at most 100 columns."""
    lines, line = [], "   "
    for word in words:
        if len(line) + 1 + len(word) > 100:
            lines.append(line)
            line = "   "
        line += " " + word
    return "\n".join([*lines, line])


def table(declaration, words):
    return f"{declaration} = {{\n{rows(words)}\n}};\n"


def reference_file(books):
    text = "/* SPDX-License-Identifier: Apache-2.0 */\n" + MADE
    text += '#include "reference/blocks_internal.h"\n\n/* clang-format off */\n'
    for name, book in books.items():
        text += table(f"const uint16_t sy__grid_{name.lower()}[{len(book)}]",
                      [f"{entry:#06x}," for entry in book])
    return text


def kernels_file(books):
    text = "/* SPDX-License-Identifier: Apache-2.0 */\n" + MADE
    text += '#include "block_grids.h"\n\n/* clang-format off */' + EXPANSIONS
    for name, book in books.items():
        width = 64 if getattr(gguf.quants, name).grid_shape[1] == 8 else 32
        text += f"\n#define E(entry) {MACROS[name]}(entry),\n"
        text += table(f"const uint{width}_t cpu_grid_{name.lower()}[{len(book)}]",
                      [f"E({entry:#06x})" for entry in book]) + "#undef E\n"
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    books = {name: entries(name) for name in NAMES}
    wrong = []
    for path, text in ((REFERENCE, reference_file(books)), (KERNELS, kernels_file(books))):
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(str(path.relative_to(ROOT)))
    if wrong:
        sys.exit("not as make_grids.py writes them: " + ", ".join(wrong))


if __name__ == "__main__":
    main()

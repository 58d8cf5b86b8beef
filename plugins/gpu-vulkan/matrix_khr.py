# SPDX-License-Identifier: Apache-2.0
"""matrix_khr.py IN.spv OUT.spv: SPV_NV_cooperative_matrix as SPV_KHR_cooperative_matrix.

The GLSL compiler of Debian 12 knows cooperative matrices as NVIDIA's extension alone, devices have
the one of Khronos. What kernels use of the two differs in numbers, in a type that says whether it
is a left factor, a right one or a sum, and in layouts that are constants. A left factor is known by
having as many rows as the sums, and a right one by having as many columns: by the same constant.
"""
import struct
import sys

MAGIC = 0x07230203
EXTENSION, CAPABILITY, TYPE_INT, CONSTANT_TRUE, CONSTANT_FALSE, CONSTANT, TYPE_FLOAT = \
    10, 17, 21, 41, 42, 43, 22
NV_CAPABILITY, KHR_CAPABILITY = 5357, 6022
NV_TYPE, NV_LOAD, NV_STORE, NV_MULTIPLY = 5358, 5359, 5360, 5361
KHR_TYPE, KHR_LOAD, KHR_STORE, KHR_MULTIPLY = 4456, 4457, 4458, 4459
LEFT, RIGHT, SUM = range(3)
ROWS_FIRST, COLUMNS_FIRST = range(2)


def instructions(words):
    at = 5
    while at < len(words):
        length = words[at] >> 16
        if length == 0 or at + length > len(words):
            sys.exit(f"matrix_khr.py: no instruction at word {at}")
        yield words[at] & 0xffff, list(words[at + 1:at + length])
        at += length


def text_words(text):
    data = text.encode() + b"\0"
    data += b"\0" * (-len(data) % 4)
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def translate(words):
    code = list(instructions(words))
    floats = {operands[0]: operands[1] for op, operands in code if op == TYPE_FLOAT}
    matrices = [operands for op, operands in code if op == NV_TYPE]
    sums = [m for m in matrices if floats[m[1]] == 32]
    if len(sums) != 1:
        sys.exit(f"matrix_khr.py: {len(sums)} types of sums, expected one")
    uint = next(operands[0] for op, operands in code if op == TYPE_INT and operands[1:] == [32, 0])
    columns_first = {operands[1]: op == CONSTANT_TRUE for op, operands in code
                     if op in (CONSTANT_TRUE, CONSTANT_FALSE)}
    number = words[3]  # the first free name: constants 0, 1 and 2

    def use_of(matrix):
        if matrix is sums[0]:
            return SUM
        if (matrix[3] == sums[0][3]) == (matrix[4] == sums[0][4]):
            sys.exit("matrix_khr.py: a factor fits on both sides of a product or on none")
        return LEFT if matrix[3] == sums[0][3] else RIGHT

    def layout(name):
        return number + (COLUMNS_FIRST if columns_first[name] else ROWS_FIRST)

    for op, operands in code:
        if op == CAPABILITY and operands == [NV_CAPABILITY]:
            operands = [KHR_CAPABILITY]
        elif op == EXTENSION and operands == text_words("SPV_NV_cooperative_matrix"):
            operands = text_words("SPV_KHR_cooperative_matrix")
        elif op == NV_TYPE:
            op, operands = KHR_TYPE, operands + [number + use_of(operands)]
        elif op == NV_LOAD:  # type, name, pointer, stride, whether by columns, memory operands
            kind, name, pointer, stride, by_columns, *memory = operands
            op, operands = KHR_LOAD, [kind, name, pointer, layout(by_columns), stride, *memory]
        elif op == NV_STORE:  # pointer, matrix, stride, whether by columns, memory operands
            pointer, matrix, stride, by_columns, *memory = operands
            op, operands = KHR_STORE, [pointer, matrix, layout(by_columns), stride, *memory]
        elif op == NV_MULTIPLY:
            op = KHR_MULTIPLY
        yield op, operands
        if op == TYPE_INT and operands[0] == uint:
            for value in (LEFT, RIGHT, SUM):
                yield CONSTANT, [uint, number + value, value]


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    words = struct.unpack(f"<{len(data) // 4}I", data)
    if words[0] != MAGIC:
        sys.exit(f"matrix_khr.py: {source} is no SPIR-V of this byte order")
    out = [*words[:3], words[3] + 3, words[4]]
    for op, operands in translate(words):
        out += [(len(operands) + 1) << 16 | op, *operands]
    with open(target, "wb") as file:
        file.write(struct.pack(f"<{len(out)}I", *out))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
# cmake -D IN=file.spv -D OUT=file.inc -P embed.cmake: words of SPIR-V as the inside of a C array.
file(READ "${IN}" hex HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
set(word "0x[0-9a-f]+,")
string(REGEX REPLACE "(${word}${word}${word}${word}${word}${word}${word}${word})" "\\1\n"
    words "${words}")
file(WRITE "${OUT}" "${words}\n")

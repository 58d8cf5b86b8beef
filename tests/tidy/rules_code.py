# SPDX-License-Identifier: Apache-2.0
"""Rules about C code: includes, banned calls, sizes, header docs, reachability."""
import fnmatch
import os
import re

import areas
import tree

LIBRARIES = ("core/", "conf/", "registry/", "formats/", "llm/")
PUBLIC_HEADERS = re.compile(r"^(core|conf|registry|formats|llm)/include/switchyard/[^/]+\.h$")


def include_matrix(files):
    paths = {f.path for f in files}
    for file in files:
        if not file.is_c:
            continue
        area = areas.area_of(file.path)
        for line, is_quoted, name in areas.includes(file):
            if os.path.join(os.path.dirname(file.path), name + ".in") in paths:
                continue  # made by CMake from that file
            target = areas.resolve(file.path, name, paths)
            if target is None:
                yield from foreign_include(file, line, area, is_quoted, name)
                continue
            if not areas.may_include(area, target):
                yield file.path, line, f"{area} may not include {target}"


def foreign_include(file, line, area, is_quoted, name):
    if is_quoted:
        yield file.path, line, f'"{name}" is no file of the repository; use <> for others'
    stem = name[:-2]
    if area == "plugin-api" and stem not in areas.STANDARD_C:
        yield file.path, line, f"plugin-api may include C standard headers only, not <{name}>"
    for pattern, allowed in areas.FOREIGN:
        if re.search(pattern, name) and area not in ("tests", "bench") \
                and not re.fullmatch(allowed, area):
            yield file.path, line, f"<{name}> belongs to {allowed}, not to {area}"


BANNED_EVERYWHERE = r"strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|alloca|strtok"
BANNED_MEMORY = r"malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign|asprintf"
BANNED_IN_LIBRARIES = r"printf|vprintf|puts|putchar|perror|abort|exit|_exit|assert"


def banned_calls(files):
    """Plugins and the template own their memory: they link nothing of ours."""
    for file in files:
        if not file.is_c:
            continue
        words = BANNED_EVERYWHERE
        is_library = file.path.startswith(LIBRARIES) and not file.path.startswith("core/base/")
        if is_library or file.path.startswith(("cli/", "server/")):
            words += "|" + BANNED_MEMORY
        if file.path.startswith(LIBRARIES + ("plugins/",)):
            words += "|" + BANNED_IN_LIBRARIES
        for match in re.finditer(r"(?<![\w.>])(" + words + r")\s*\(", file.code):
            if in_directive(file.code, match.start()) and match.group(1) == "assert":
                continue
            line = file.code.count("\n", 0, match.start()) + 1
            yield file.path, line, f"{match.group(1)}() is banned here"
        if file.path.startswith(LIBRARIES + ("plugins/",)):
            for match in re.finditer(r"\b(stderr|stdout)\b", file.code):
                line = file.code.count("\n", 0, match.start()) + 1
                yield file.path, line, f"a library never prints ({match.group(1)})"


def in_directive(code, position):
    return code[code.rfind("\n", 0, position) + 1:position].lstrip().startswith("#")


HARD = {"function": 70, "parameters": 7, "source": 700, "header": 400, "test": 900, "columns": 100}


def is_exempt_function(path):
    """Kernels and tables may be long; tests are bounded by their file."""
    return "/kernels/" in path or "/generated/" in path


def sizes(files):
    """(path, line, message, key, value, limit) of everything past its hard limit."""
    for file in files:
        if not file.is_c:
            continue
        kind = "test" if file.path.startswith("tests/") else \
            "header" if file.path.endswith(".h") else "source"
        n_lines = len(file.lines) - 1
        if n_lines > HARD[kind] and "/generated/" not in file.path:
            yield (file.path, 1, f"{n_lines} lines, hard limit {HARD[kind]}",
                   f"file {file.path}", n_lines, HARD[kind])
        for i, line in enumerate(file.lines):
            if len(line) > HARD["columns"]:
                yield (file.path, i + 1, f"{len(line)} columns, hard limit {HARD['columns']}",
                       f"columns {file.path}:{i + 1}", len(line), HARD["columns"])
        for function in tree.functions(file):
            name = f"{file.path}:{function.name}"
            if function.n_lines > HARD["function"] and not is_exempt_function(file.path):
                yield (file.path, function.first_line,
                       f"{function.name} has {function.n_lines} lines, hard limit 70",
                       f"function {name}", function.n_lines, HARD["function"])
            if function.n_parameters > HARD["parameters"] and kind != "test" \
                    and not is_exempt_function(file.path):
                yield (file.path, function.first_line,
                       f"{function.name} has {function.n_parameters} parameters, hard limit 7",
                       f"parameters {name}", function.n_parameters, HARD["parameters"])


def sizes_with_exceptions(files, exceptions):
    """The list of exceptions may only shrink: what got a tenth smaller must be written down."""
    used = set()
    for path, line, message, key, value, limit in sizes(files):
        allowed = exceptions.get(key)
        if allowed is None:
            yield path, line, message
            continue
        used.add(key)
        if value > allowed:
            yield path, line, f"{message}, grown past its exception of {allowed}"
        elif value < 0.9 * allowed:
            yield path, line, f"now {value}: lower its line in tests/tidy/exceptions.txt"
    for key in exceptions.keys() - used:
        yield "tests/tidy/exceptions.txt", 1, f"exception is no longer needed: {key}"


def read_exceptions(text):
    found = {}
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            key, value = line.rsplit(" ", 1)
            found[key.strip()] = int(value)
    return found


DOC_KEYS = ["shape", "unit", "owner", "errors", "thread", "cost", "since", "source"]
DECLARATION = re.compile(r"\b(sy_\w+)\s*\(")


def declarations(file):
    """(name, line, comment before) of every function that a header declares. Declarations that
    follow each other without a blank line share the comment of the first."""
    code = tree.blank_preprocessor(file.code)
    start, depth, shared = 0, 0, ""
    for i, c in enumerate(code):
        if c == "{":
            if depth == 0 and re.search(r'extern\s*"[^"]*"\s*$', code[start:i]):
                start = i + 1
                continue
            depth += 1
        elif c == "}":
            depth = max(0, depth - 1)
            if depth == 0 and code[i + 1:i + 2] == "\n":
                start = i + 1
        elif c == ";" and depth == 0:
            statement = code[start:i]
            match = DECLARATION.search(statement)
            if match and "typedef" not in statement and "(*" not in statement.split(
                    match.group(1))[0] and "{" not in statement:
                blank = len(statement) - len(statement.lstrip())
                comment = comment_before(file.text, start + blank)
                if comment or "\n\n" in file.text[start:start + blank]:
                    shared = comment
                yield match.group(1), code.count("\n", 0, start + blank) + 1, shared
            start = i + 1


def comment_before(text, position):
    before = text[:position].rstrip()
    if not before.endswith("*/"):
        return ""
    return before[before.rfind("/*"):]


def doc_keys(files):
    for file in files:
        if not PUBLIC_HEADERS.match(file.path):
            continue
        for name, line, comment in declarations(file):
            missing = [k for k in DOC_KEYS if not re.search(rf"\b{k}:", comment)]
            if missing:
                yield file.path, line, f"{name} lacks doc keys: {' '.join(missing)}"


def examples(files):
    """Every public header is shown at work by a program in docs/examples."""
    shown = set()
    for file in files:
        if file.path.startswith("docs/examples/"):
            shown |= {name for _, _, name in areas.includes(file)}
    for file in files:
        match = PUBLIC_HEADERS.match(file.path)
        if match and "switchyard/" + os.path.basename(file.path) not in shown:
            yield file.path, 1, "no program in docs/examples includes it"


CMAKE_SOURCE = re.compile(r'[^\s()";]+\.c\b')


def reachable(files):
    """Each C file is named or globbed by a CMake file or Makefile at or above its folder, or by a
    test script that compiles it."""
    patterns = []
    for file in files:
        if os.path.basename(file.path) not in ("CMakeLists.txt", "Makefile") and \
                not file.path.endswith((".cmake", "_test.py")):
            continue
        folder = os.path.dirname(file.path)
        named = re.findall(r"^\s*sy_add_example\((\w+)", file.text, re.M)
        named += " ".join(re.findall(r"foreach\(example ([^)]*)\)", file.text)).split()
        patterns += [f"{folder}/{example}.c" for example in named]
        for found in CMAKE_SOURCE.findall(file.text):
            found = re.sub(r"\$\{(CMAKE_CURRENT_SOURCE_DIR|CMAKE_CURRENT_LIST_DIR)\}/", "", found)
            in_root = re.sub(r"\$\{(PROJECT_SOURCE_DIR|CMAKE_SOURCE_DIR)\}/", "", found)
            base = "" if in_root != found else folder
            name = re.sub(r"\$\{[^}]*\}|\$<[^>]*>", "*", in_root)
            patterns.append(os.path.normpath(os.path.join(base, name)))
    for file in files:
        if file.path.endswith(".c") and not any(fnmatch.fnmatch(file.path, p) for p in patterns):
            yield file.path, 1, "no CMake file or Makefile builds it"

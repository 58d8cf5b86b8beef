# SPDX-License-Identifier: Apache-2.0
"""The files of the repository and a small reader of C, for the rules of tidy."""
import os
import re
import subprocess
from pathlib import Path

SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".venv"}


class File:
    """One text file: its path from the root, its lines, and its C code without comments."""

    def __init__(self, root, path):
        self.path = path
        self.text = (root / path).read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.split("\n")
        self._code = None

    @property
    def code(self):
        if self._code is None:
            self._code = blank_comments_and_strings(self.text)
        return self._code

    @property
    def is_c(self):
        return self.path.endswith((".c", ".h"))


def list_paths(root):
    """Paths that git knows or would add; without git every file."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
            capture_output=True, text=True, check=True)
        paths = answer.stdout.split("\n")
        top = subprocess.run(["git", "-C", str(root), "rev-parse", "--show-toplevel"],
                             capture_output=True, text=True, check=True).stdout.strip()
        if os.path.realpath(top) == os.path.realpath(root):
            return sorted({p for p in paths if p and (root / p).is_file()})
    except (OSError, subprocess.CalledProcessError):
        pass
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS]
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(found)


TEXT_ENDINGS = (".c", ".h", ".py", ".md", ".cmake", ".txt", ".ini", ".sh", ".in", ".json", ".toml",
                ".comp", ".cl", ".cpp", ".mk")
TEXT_NAMES = {"quickstart", "check", "run", "Makefile", "LICENSE", ".clang-format", ".clang-tidy"}


def load(root):
    root = Path(root)
    files = []
    for path in list_paths(root):
        if path.endswith(TEXT_ENDINGS) or os.path.basename(path) in TEXT_NAMES:
            files.append(File(root, path))
    return files


COMMENT_OR_STRING = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank_comments_and_strings(text):
    """The same text with comments and the insides of strings blank; line numbers stay."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return COMMENT_OR_STRING.sub(blank, text)


def blank_preprocessor(code):
    lines, go_on = [], False
    for line in code.split("\n"):
        is_directive = go_on or line.lstrip().startswith("#")
        go_on = is_directive and line.endswith("\\")
        lines.append(" " * len(line) if is_directive else line)
    return "\n".join(lines)


class Function:
    def __init__(self, name, first_line, n_lines, n_parameters):
        self.name = name
        self.first_line = first_line
        self.n_lines = n_lines
        self.n_parameters = n_parameters


def split_parameters(text):
    depth, count, seen = 0, 0, False
    for c in text:
        depth += c in "([{"
        depth -= c in ")]}"
        if c == "," and depth == 0:
            count += 1
        seen = seen or not c.isspace()
    return count + 1 if seen and text.strip() != "void" else 0


def parameter_list(head):
    """(name, parameters) of `static int name(int a, int (*f)(void))`, or None."""
    head = head.rstrip()
    if not head.endswith(")"):
        return None
    depth = 0
    for i in range(len(head) - 1, -1, -1):
        depth += head[i] == ")"
        depth -= head[i] == "("
        if depth == 0:
            name = re.search(r"([A-Za-z_]\w*)\s*$", head[:i])
            return (name.group(1), head[i + 1:-1]) if name else None
    return None


def functions(file):
    """Every function body of a C file, found by its braces."""
    code = blank_preprocessor(file.code)
    found, depth, start, i = [], 0, 0, 0
    body_from = None
    while i < len(code):
        c = code[i]
        if c == "{":
            if depth == 0:
                head = code[start:i]
                if re.search(r'extern\s*"[^"]*"\s*$', head):
                    start = i + 1
                    i += 1
                    continue
                body_from = head
            depth += 1
        elif c == "}":
            depth = max(0, depth - 1)
            if depth == 0:
                parts = parameter_list(body_from) if body_from is not None else None
                if parts and "=" not in body_from.split("(")[0]:
                    blank = len(body_from) - len(body_from.lstrip())
                    first = code.count("\n", 0, start + blank) + 1
                    last = code.count("\n", 0, i) + 1
                    found.append(Function(parts[0], first, last - first + 1,
                                          split_parameters(parts[1])))
                body_from = None
                start = i + 1
        elif c == ";" and depth == 0:
            start = i + 1
        i += 1
    return found

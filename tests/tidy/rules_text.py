# SPDX-License-Identifier: Apache-2.0
"""Rules about words: licence line, ASCII, links, TODOs, the glossary, names of machines."""
import os
import re
from pathlib import Path

NEEDS_SPDX = (".c", ".h", ".py", ".cmake", ".sh", ".ini", ".comp", ".cl", ".cpp")
NEEDS_SPDX_NAMES = {"CMakeLists.txt", "quickstart", "check", "run", "Makefile", ".clang-format",
                    ".clang-tidy"}


def is_source(path):
    return path.endswith(NEEDS_SPDX) or os.path.basename(path) in NEEDS_SPDX_NAMES


def spdx(files):
    for file in files:
        if is_source(file.path) and not any("SPDX-License-Identifier: Apache-2.0" in line
                                            for line in file.lines[:2]):
            yield file.path, 1, "first line must hold SPDX-License-Identifier: Apache-2.0"


def ascii_only(files):
    """Word lists of the data generator are the exception: they are data that Python reads."""
    for file in files:
        if not is_source(file.path) or file.path.startswith("models/"):
            continue
        for i, line in enumerate(file.lines):
            if not line.isascii():
                yield file.path, i + 1, "source is ASCII only; write an escape"
            if line != line.rstrip() and file.path.endswith((".c", ".h", ".py", ".cmake")):
                yield file.path, i + 1, "blanks at the end of the line"


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")


def anchors(text):
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(slug)
    return found


def dead_links(files, root):
    texts = {f.path: f.text for f in files}
    for file in files:
        if not file.path.endswith(".md"):
            continue
        text = re.sub(r"```.*?```", lambda m: "\n" * m.group(0).count("\n"), file.text, flags=re.S)
        text = re.sub(r"`[^`\n]*`", "", text)
        for match in LINK.finditer(text):
            target = match.group(1) or match.group(2)
            line = text.count("\n", 0, match.start()) + 1
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(file.path), name)) if name \
                else file.path
            if not (Path(root) / path).exists():
                yield file.path, line, f"dead link: {target}"
            elif anchor and path in texts and anchor not in anchors(texts[path]):
                yield file.path, line, f"no such heading: {target}"


MARK = re.compile(r"\b(" + "TO" + "DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b(?! ?\(?#\d+)")


def open_marks(files):
    for file in files:
        for i, line in enumerate(file.lines):
            if MARK.search(line) and not file.path.startswith("tests/tidy/"):
                yield file.path, i + 1, "an open mark needs an issue id, e.g. (#12)"


# Other projects' words for a delegate; where their own things are meant, write "their".
# A flag that people know from other programs keeps its name: "backend", |backend|, --backend.
FOREIGN_WORDS = re.compile(r"(?<![\"|-])\b(backends?|execution providers?|EPs?)\b", re.I)
WORD_EXEMPT = ("docs/glossary.md", "docs/decisions/", "tests/tidy/", "LICENSE")


def glossary(files):
    for file in files:
        if file.path.startswith(WORD_EXEMPT):
            continue
        for i, line in enumerate(file.lines):
            match = FOREIGN_WORDS.search(line)
            if match and match.group(0) not in ("ep", "Ep", "eps", "Eps"):
                yield file.path, i + 1, f'"{match.group(0)}": the word here is delegate'


MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/|/tmp/(?:brief|build-)")
PACKAGE_HOSTS = re.compile(
    r"pypi\.(?:org|python)|pythonhosted|deb\.debian\.org|security\.debian|index-url|"
    r"proxy\.golang|crates\.io|registry\.npmjs", re.I)


def hosts_of_this_machine():
    """Hosts that apt and pip use here; no file may name them."""
    places = [Path("/etc/apt/sources.list"), Path("/etc/pip.conf"),
              Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"]
    places += list(Path("/etc/apt/sources.list.d").glob("*"))
    text = os.environ.get("PIP_INDEX_URL", "")
    for place in places:
        try:
            text += "\n" + place.read_text(errors="replace")
        except OSError:
            continue
    hosts = set(re.findall(r"https?://(?:[^@/\s]*@)?([\w.-]+)", text))
    return {h for h in hosts if h not in ("localhost", "127.0.0.1") and len(h) > 3}


def machine_names(files):
    hosts = hosts_of_this_machine()
    for file in files:
        if file.path.startswith("tests/tidy/"):
            continue
        for i, line in enumerate(file.lines):
            if MACHINE_PATHS.search(line):
                yield file.path, i + 1, "names a path of one machine"
            if PACKAGE_HOSTS.search(line) or any(h in line for h in hosts):
                yield file.path, i + 1, "names a package host"

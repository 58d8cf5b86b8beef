# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: the matrix of the house (docs/ARCHITECTURE.md) as a table."""
import os
import re

PUBLIC = ["core-public", "conf-public", "registry-public", "formats-public", "llm-public",
          "umbrella"]
UMBRELLA = "llm/include/switchyard/switchyard.h"  # one include with every public header
CORE = ["plugin-api", "core-public", "core/base"]

# area -> areas, or single headers, that it may include (itself always)
MAY_INCLUDE = {
    "plugin-api": [],
    "template": ["plugin-api"],
    "conform": CORE + PUBLIC + ["core/reference"],
    "core-public": ["plugin-api"],
    "core/base": ["plugin-api", "core-public"],
    "core/graph": CORE,
    "core/passes": CORE + ["core/graph"],
    "core/plan": CORE + ["core/graph", "core/passes"],
    # the reference delegate is in every runtime's table: exec sees its entry function, and the
    # rows of element types, to turn cached keys
    "core/exec": CORE + ["core/graph", "core/passes", "core/plan", "core/reference/reference.h",
                         "core/reference/blocks.h"],
    "core/reference": CORE,
    "core/quantize": CORE + ["core/reference/blocks.h", "core/reference/blocks_internal.h"],
    "conf-public": ["plugin-api", "core-public"],
    "conf": CORE + ["conf-public"],
    "registry-public": ["plugin-api", "core-public", "conf-public"],
    "registry": CORE + ["conf-public", "registry-public"],
    "formats-public": ["plugin-api", "core-public"],
    "formats": CORE + ["formats-public"],
    "llm-public": ["core-public", "formats-public"],
    "umbrella": PUBLIC,
    "llm": PUBLIC + ["core/base", "formats/json/json_read.h"],  # docs/decisions/0010, 0030
    "cli": PUBLIC + ["plugin-api", "plugin-api/conform/sy_conform.h"],
    "server": PUBLIC,
    "python": PUBLIC,
    # measuring tools look inside on purpose
    "bench": CORE + PUBLIC + ["plugin:cpu-xnnpack", "plugin:gpu", "conform", "cli"],
    "example": PUBLIC,
    "models": PUBLIC,
}

# sources that are compiled into several delegates; all others see the kit
PLUGINS_SHARE = {
    "plugin:kit": [],
    "plugin:gpu": ["plugin:kit"],
    "plugin:gpu-vulkan": ["plugin:kit", "plugin:gpu"],
    "plugin:gpu-opencl": ["plugin:kit", "plugin:gpu"],
}

# headers of other projects and of the system that only some areas may use
FOREIGN = [
    (r"(xnnpack|pthreadpool|cpuinfo)\.h$", r"plugin:cpu-xnnpack"),
    (r"^(ini)\.h$", r"conf"),
    (r"^dlfcn\.h$", r"registry|template|conform|plugin:.*"),
    (r"^(pcre2|utf8proc)\.h$", r"llm"),
    (r"^(vulkan|CL)/", r"plugin:.*"),
    (r"^(sys/socket|netdb|arpa/inet)\.h$", r"server|registry"),
]
STANDARD_C = {"assert", "ctype", "errno", "float", "inttypes", "limits", "locale", "math",
              "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint",
              "stdio", "stdlib", "string", "time"}


def area_of(path):
    parts = path.split("/")
    if path == UMBRELLA:
        return "umbrella"
    if parts[0] == "plugin-api":
        return parts[1] if len(parts) > 2 and parts[1] in ("template", "conform") else "plugin-api"
    if "examples" in parts[:-1]:
        return "example"
    if parts[0] == "core":
        return "core-public" if parts[1] == "include" else "core/" + parts[1]
    if parts[0] in ("conf", "registry", "formats", "llm"):
        return parts[0] + ("-public" if len(parts) > 2 and parts[1] == "include" else "")
    if parts[0] == "plugins" and len(parts) > 2:
        return "plugin:" + parts[1]
    return parts[0]


def may_include(area, path):
    target = area_of(path)
    if area == target or area in ("tests", "docs"):
        return True
    if area.startswith("plugin:"):
        return target == "plugin-api" or target in PLUGINS_SHARE.get(area, ["plugin:kit"])
    allowed = MAY_INCLUDE.get(area, [])
    return target in allowed or path in allowed


def resolve(path, name, all_paths):
    """The file of ours that `#include "name"` in `path` means, or None."""
    here = os.path.normpath(os.path.join(os.path.dirname(path), name))
    if here in all_paths:
        return here
    top = path.split("/")
    roots = ["plugin-api", "core/include", "core", "conf/include", "registry/include",
             "formats/include", "llm/include", "tests", ""]
    roots += ["/".join(top[:i]) for i in range(1, len(top))]
    roots += ["/".join(top[:i] + ["src"]) for i in range(1, len(top))]
    if top[0] == "plugins":
        roots += ["plugins/gpu/src", "plugins/kit"]
    for root in roots:
        candidate = os.path.normpath(os.path.join(root, name))
        if candidate in all_paths:
            return candidate
    # through an include folder of a target: the nearest file of that name
    named = [p for p in all_paths if p.endswith("/" + name)]
    if named and (areas_of_ours(path, named) or len(named) == 1):
        return (areas_of_ours(path, named) or named)[0]
    return None


def areas_of_ours(path, candidates):
    return sorted(p for p in candidates if area_of(p) == area_of(path))


INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def includes(file):
    """(line, is_quoted, name) of every #include."""
    for match in INCLUDE.finditer(file.text):
        yield file.text.count("\n", 0, match.start()) + 1, match.group(1) == '"', match.group(2)

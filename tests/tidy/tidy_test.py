#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every rule of tidy finds what it is there for, and lets the right thing pass."""
import tempfile
import unittest
from pathlib import Path

import rules_code
import tidy
import tree

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
DOC = ("/* Says it.\n * shape: -  unit: -  owner: -  errors: -  thread: any\n"
       " * cost: -  since: 0.1  source: - */\n")


class Tree(unittest.TestCase):
    def findings(self, files, rule, exceptions=None):
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            return [f"{path}:{line} {why}" for path, line, _, why
                    in tidy.check(folder, exceptions or {}, [rule])]

    def bad(self, files, rule, part, exceptions=None):
        found = self.findings(files, rule, exceptions)
        self.assertTrue(any(part in f for f in found), f"{rule}: {found}")

    def good(self, files, rule, exceptions=None):
        self.assertEqual(self.findings(files, rule, exceptions), [])


class Includes(Tree):
    public = {"plugin-api/sy_plugin.h": SPDX, "core/include/switchyard/a.h": SPDX,
              "core/base/b.h": SPDX, "core/plan/p.h": SPDX, "registry/r.h": SPDX}

    def test_downwards_is_fine(self):
        self.good({**self.public, "core/plan/x.c": SPDX + '#include "base/b.h"\n#include "p.h"\n'},
                  "include-matrix")

    def test_upwards_is_not(self):
        self.bad({**self.public, "core/base/x.c": SPDX + '#include "plan/p.h"\n'},
                 "include-matrix", "core/base may not include core/plan/p.h")

    def test_core_does_not_see_the_registry(self):
        self.bad({**self.public, "core/plan/x.c": SPDX + '#include "../../registry/r.h"\n'},
                 "include-matrix", "may not include registry/r.h")

    def test_plugin_sees_the_plugin_header_only(self):
        self.good({**self.public, "plugins/a/src/x.c": SPDX + '#include "sy_plugin.h"\n'},
                  "include-matrix")
        self.bad({**self.public, "plugins/a/src/x.c": SPDX + '#include <switchyard/a.h>\n'},
                 "include-matrix", "plugin:a may not include")

    def test_llm_does_not_see_the_insides_of_core(self):
        self.good({**self.public, "llm/x.c": SPDX + '#include "base/b.h"\n'}, "include-matrix")
        self.bad({**self.public, "llm/x.c": SPDX + '#include "plan/p.h"\n'},
                 "include-matrix", "llm may not include core/plan/p.h")

    def test_core_does_not_see_json(self):
        tree = {**self.public, "formats/json/json_read.h": SPDX}
        self.good({**tree, "llm/x.c": SPDX + '#include "json/json_read.h"\n'}, "include-matrix")
        self.bad({**tree, "core/base/x.c": SPDX + '#include "json/json_read.h"\n'},
                 "include-matrix", "core/base may not include formats/json/json_read.h")

    def test_exec_sees_one_header_of_the_reference(self):
        tree = {**self.public, "core/reference/reference.h": SPDX, "core/reference/inner.h": SPDX}
        self.good({**tree, "core/exec/x.c": SPDX + '#include "reference/reference.h"\n'},
                  "include-matrix")
        self.bad({**tree, "core/exec/x.c": SPDX + '#include "reference/inner.h"\n'},
                 "include-matrix", "core/reference/inner.h")

    def test_include_folder_of_a_target(self):
        tree = {"plugins/a/kernels/k.h": SPDX, "plugins/b/kernels/k.h": SPDX}
        self.good({**tree, "plugins/a/src/x.c": SPDX + '#include "k.h"\n'}, "include-matrix")
        self.bad({"plugins/b/kernels/k.h": SPDX, "plugins/a/src/x.c": SPDX + '#include "k.h"\n'},
                 "include-matrix", "plugin:a may not include plugins/b/kernels/k.h")

    def test_plugin_api_takes_c_headers_only(self):
        self.bad({"plugin-api/sy_plugin.h": SPDX + "#include <unistd.h>\n"},
                 "include-matrix", "C standard headers only")

    def test_dlopen_belongs_to_the_registry(self):
        self.bad({"core/exec/x.c": SPDX + "#include <dlfcn.h>\n"}, "include-matrix", "dlfcn.h")

    def test_unknown_file(self):
        self.bad({"core/exec/x.c": SPDX + '#include "gone.h"\n'}, "include-matrix", "gone.h")


class Code(Tree):
    def test_banned_calls(self):
        self.bad({"llm/x.c": "int f(void) {\n    free(p);\n}\n"}, "banned-call", "x.c:2 free()")
        self.bad({"core/plan/x.c": "int f(void) {\n    printf(p);\n}\n"}, "banned-call", "printf")
        self.bad({"plugins/a/x.c": "int f(void) {\n    strcpy(p, q);\n}\n"}, "banned-call", "strcpy")
        self.bad({"conf/x.c": "int f(void) {\n    fputs(p, stderr);\n}\n"}, "banned-call", "stderr")

    def test_base_may_and_words_in_comments_may(self):
        self.good({"core/base/x.c": "int f(void) {\n    free(p);\n}\n",
                   "llm/x.c": '/* malloc(3) */\nint f(void) {\n    g("malloc(3)");\n'
                              "    a->free(p);\n    my_free(p);\n}\n"}, "banned-call")

    def test_long_function(self):
        body = "static int long_one(int a)\n{\n" + "    a++;\n" * 70 + "}\n"
        self.bad({"llm/x.c": body}, "size", "long_one has 73 lines")
        self.good({"plugins/a/kernels/x.c": body}, "size")
        self.good({"llm/x.c": body}, "size", {"function llm/x.c:long_one": 73})
        self.bad({"llm/x.c": body}, "size", "grown past", {"function llm/x.c:long_one": 72})
        self.bad({"llm/x.c": body}, "size", "lower its line", {"function llm/x.c:long_one": 100})

    def test_exception_that_is_not_needed(self):
        self.bad({"llm/x.c": SPDX}, "size", "no longer needed", {"function llm/x.c:gone": 80})

    def test_many_parameters_and_long_lines(self):
        head = "int f(int a, int b, int c, int d, int e, int (*f)(int, int), int g, int h) {\n}\n"
        self.bad({"llm/x.c": head}, "size", "f has 8 parameters")
        self.good({"llm/x.c": head.replace(", int h", "")}, "size")
        self.bad({"llm/x.c": "/* " + "x" * 100 + " */\n"}, "size", "106 columns")

    def test_large_files(self):
        self.bad({"llm/x.c": "\n" * 701}, "size", "701 lines")
        self.bad({"llm/x.h": "\n" * 401}, "size", "401 lines")
        self.good({"tests/llm/x.c": "\n" * 900}, "size")

    def test_doc_keys(self):
        header = "core/include/switchyard/x.h"
        wrapped = '#ifdef __cplusplus\nextern "C" {\n#endif\n'
        self.good({header: wrapped + DOC + "int sy_x(int a);\nint sy_y(int a);\n"}, "doc-keys")
        self.bad({header: wrapped + DOC + "int sy_x(int a);\n\nint sy_y(int a);\n"},
                 "doc-keys", "sy_y lacks")
        self.bad({header: DOC.replace("cost:", "") + "int sy_x(int a);\n"}, "doc-keys", "cost")

    def test_header_without_example(self):
        header = {"llm/include/switchyard/x.h": SPDX}
        self.bad(header, "example", "no program")
        self.good({**header, "docs/examples/a.c": "#include <switchyard/x.h>\n"}, "example")

    def test_unreachable_source(self):
        self.bad({"llm/x.c": SPDX, "llm/CMakeLists.txt": "add_library(a y.c)\n"},
                 "unreachable", "llm/x.c")
        self.good({"llm/kv/x.c": SPDX, "llm/CMakeLists.txt": "add_library(a kv/x.c)\n"},
                  "unreachable")
        self.good({"llm/x.c": SPDX, "llm/CMakeLists.txt": 'file(GLOB s "*.c")\n'}, "unreachable")

    def test_functions_are_found(self):
        text = ('extern "C" {\nstatic const int t[] = {1, 2};\nstruct s { int a; };\n'
                "#define M(x) do { x; } while (0)\nint *f(void)\n{\n    if (a) {\n    }\n}\n}\n")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "x.c").write_text(text)
            found = tree.functions(tree.File(Path(folder), "x.c"))
        self.assertEqual([(f.name, f.first_line, f.n_lines, f.n_parameters) for f in found],
                         [("f", 5, 5, 0)])

    def test_exceptions_are_read(self):
        self.assertEqual(rules_code.read_exceptions("# x\nfunction a.c:f 80\n\n"),
                         {"function a.c:f": 80})


class Words(Tree):
    def test_spdx(self):
        self.bad({"llm/x.c": "int a;\n"}, "spdx", "x.c:1")
        self.good({"x.py": "#!/usr/bin/env python3\n# SPDX-License-Identifier: Apache-2.0\n"},
                  "spdx")

    def test_ascii(self):
        self.bad({"x.c": SPDX + "/* \u00e9 */\n"}, "ascii", "x.c:2")
        self.bad({"x.c": SPDX + "int a; \n"}, "ascii", "blanks")

    def test_links(self):
        self.bad({"a.md": "[x](b.md)\n"}, "dead-link", "b.md")
        self.bad({"a.md": "# Top\n[x](#bottom)\n"}, "dead-link", "#bottom")
        self.good({"a.md": "# Top it\n[x](#top-it) [y](d/b.md) `[z](no)`\n", "d/b.md": ""},
                  "dead-link")

    def test_open_marks(self):
        mark = "TO" + "DO"
        self.bad({"x.c": f"/* {mark} later */\n"}, "open-mark", "x.c:1")
        self.good({"x.c": f"/* {mark}(#12) later */\n"}, "open-mark")

    def test_glossary(self):
        self.bad({"x.md": "the GPU back" + "end\n"}, "glossary", "delegate")
        self.bad({"x.md": "an E" + "P is chosen\n"}, "glossary", "delegate")
        self.good({"x.md": "step by step, for eps = 1e-6\n"}, "glossary")

    def test_machine_names(self):
        self.bad({"x.md": "see /wo" + "rk/x\n"}, "machine-name", "path")
        self.bad({"x.sh": "pip --index-u" + "rl x\n"}, "machine-name", "host")
        self.good({"x.md": "the framework/parts\n"}, "machine-name")


if __name__ == "__main__":
    unittest.main()

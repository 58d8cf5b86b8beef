#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The way of a stranger: copy the template and sy_plugin.h, make, conform, drop into a plugin
directory, use it at the next start, take it away.

  template_test.py PLUGIN_API SWITCHYARD
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

API, PROGRAM = pathlib.Path(sys.argv[1]), sys.argv[2]
MODEL = API.parent / "models" / "actions" / "actions-q8_0.gguf"
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("SWITCHYARD_")}


def run(*command, expect=0, err=False):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=CLEAN)
    if done.returncode != expect:
        print(*command)
        print(done.stdout[-3000:], done.stderr[-3000:])
        raise SystemExit(f"exit status {done.returncode}, expected {expect}")
    return (done.stdout, done.stderr) if err else done.stdout


def build(folder):
    """Only the header and the folder; nothing else of the tree is in reach."""
    mine = folder / "mine"
    shutil.copytree(API / "template", mine)
    shutil.copy(API / "sy_plugin.h", mine)
    text = "".join(file.read_text() for file in mine.glob("*.[ch]") if file.name != "sy_plugin.h")
    assert "switchyard/" not in text and "base/" not in text
    assert len((mine / "delegate.c").read_text().splitlines()) < 150
    run("make", "-C", mine, "SY_PLUGIN_API=.", f"CC={os.environ.get('CC', 'cc')}",
        "CFLAGS=-O2 -Werror")
    return mine


def candidates(plugins):
    listed = json.loads(run(PROGRAM, "delegates", "--json", "--short", "--plugins", plugins))
    return {item["name"]: item for item in listed["delegates"]}


def placed_on(plugins, *flags):
    """Operators of the nodes on `template`, by the plan as JSON."""
    text = run(PROGRAM, "plan", "--json", "--plugins", plugins, "--ctx-size", "64", *flags, MODEL)
    return text.count('"template"'), text


def generate(plugins, *flags):
    """The text, and what the program says about where it ran."""
    return run(PROGRAM, "run", "--plugins", plugins, "--ctx-size", "128", "-n", "24", "--temp", "0",
               *flags, MODEL, "set a timer for ten minutes", err=True)


def main():
    if shutil.which("make") is None:
        print("skipped: make is not installed")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        plugins = folder / "plugins"
        plugins.mkdir(mode=0o755)
        mine = build(folder)
        library = mine / "build" / "template" / "template.so"
        print(run(PROGRAM, "conform", library).rstrip())
        report = json.loads(run(PROGRAM, "conform", "--json", "--level", "1", library))
        assert report["conforms"] and report["name"] == "template", report
        assert "template" not in candidates(plugins)
        before = generate(plugins)[0] if MODEL.exists() else None
        run("make", "-C", mine, "install", "SY_PLUGIN_API=.", f"PLUGINS={plugins}")
        item = candidates(plugins)["template"]
        assert item["state"] == "ready", item
        if before is None:
            print(f"{MODEL} is not there: its use in a run is not tested")
            return 0
        n_placed, text = placed_on(plugins, "--pin", "GatedActivation=template")
        assert n_placed > 0, text[:3000]
        pinned, where = generate(plugins, "--pin", "GatedActivation=template")
        assert pinned == before, (before, pinned)
        assert "template" in where, where
        shutil.rmtree(plugins / "template")
        assert "template" not in candidates(plugins)
        assert generate(plugins)[0] == before
        print(f"used at the next start ({n_placed} places in the plan), the same text: {before!r}")
        print(where.rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())

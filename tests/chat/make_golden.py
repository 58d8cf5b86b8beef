#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes golden.json: what published chat templates, run by jinja2, make of our conversations.

usage: make_golden.py FOLDER > golden.json     (FOLDER: the templates as NAME.jinja)

Only names, digests and outputs go into the repository, not the templates."""
import hashlib
import json
import pathlib
import sys

import jinja2
import jinja2.sandbox

# template file -> (name of our format, end token, system text the template brings along)
TEMPLATES = {
    "Qwen-Qwen2.5-7B-Instruct": (
        "chatml", "<|im_end|>",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    "Qwen3-Coder": ("chatml", "<|im_end|>", ""),
    "Qwen-Qwen3-0.6B": ("qwen3", "<|im_end|>", ""),
    "meta-llama-Llama-3.1-8B-Instruct": ("llama3.1", "<|eot_id|>", ""),
    "meta-llama-Llama-3.3-70B-Instruct": ("llama3.1", "<|eot_id|>", ""),
    "google-gemma-2-2b-it": ("gemma", "<eos>", ""),
    "microsoft-Phi-3.5-mini-instruct": ("phi3", "<|endoftext|>", ""),
    "mistralai-Mistral-Nemo-Instruct-2407": ("mistral-nemo", "</s>", ""),
}
CONVERSATIONS = [
    ["user", "Hello"],
    ["system", "Be brief.", "user", " Hi there \n"],
    ["user", "a", "assistant", " b ", "user", "c"],
    ["system", " sys ", "user", "a", "assistant", "b\n", "user", "\nc"],
    ["system", "x", "user", "q1", "assistant", "<think>\nhm\n</think>\n\nanswer", "user", "q2",
     "assistant", "r2", "user", "q3"],
    ["system", "", "user", "u"],
    ["user", "q", "assistant", "<think>t</think>\nz"],
    ["user", "q", "assistant", "z"],
]


def messages_of(words):
    return [{"role": role, "content": content} for role, content in zip(words[::2], words[1::2])]


def refuse(message):
    raise jinja2.TemplateError(message)


def render(text, words, generate, end, **more):
    """The template's text without the begin token in front, or None where it refuses."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True,
                                                               lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    try:
        out = environment.from_string(text).render(
            messages=messages_of(words), add_generation_prompt=generate, bos_token="<s>",
            eos_token=end, **more)
    except jinja2.TemplateError:
        return None
    return out.removeprefix("<s>")


def main():
    cases = []
    for name, (form, end, system) in TEMPLATES.items():
        text = (pathlib.Path(sys.argv[1]) / f"{name}.jinja").read_text()
        outputs = []
        for words in CONVERSATIONS:
            for generate in (True, False):
                outputs.append([words, int(generate), render(text, words, generate, end)])
            if form == "qwen3":
                outputs.append([words, 3, render(text, words, True, end, enable_thinking=False)])
        cases.append({"template": name, "sha256": hashlib.sha256(text.encode()).hexdigest(),
                      "format": form, "default_system": system, "outputs": outputs})
    json.dump(cases, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()

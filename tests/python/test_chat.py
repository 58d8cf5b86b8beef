# SPDX-License-Identifier: Apache-2.0
"""Chat formats against what the published templates make of the same conversations
(tests/chat/golden.json, written by make_golden.py), and against small templates of our own run by
jinja2, which also have to be recognised."""
import ctypes
import json
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", ROOT / "build" / "release"))
sys.path.insert(0, str(ROOT / "tests" / "chat"))
import make_golden  # noqa: E402

GENERATE, NO_THINK, STRICT = 1, 2, 4
INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED = 3, 5, 12


def render(words, flags, template=None, name=None, system=""):
    """(text or minus the status, name of the format)"""
    library = ctypes.CDLL(str(BUILD / "bin" / "chat_probe.so"))
    library.probe_render.restype = ctypes.c_int64
    encoded = [word.encode() for word in words]
    n = len(words) // 2
    texts = ctypes.c_char_p * n
    out, out_name = ctypes.create_string_buffer(1 << 16), ctypes.create_string_buffer(32)
    length = library.probe_render(
        template.encode() if template is not None else None, name.encode() if name else None,
        system.encode(), texts(*encoded[::2]), texts(*encoded[1::2]), ctypes.c_size_t(n),
        ctypes.c_uint32(flags), out, ctypes.c_size_t(1 << 16), out_name)
    return (out.raw[:length].decode() if length >= 0 else length), out_name.value.decode()


@pytest.mark.parametrize("case", json.loads((ROOT / "tests/chat/golden.json").read_text()),
                         ids=lambda case: case["template"])
def test_published_templates(case):
    for words, flags, wanted in case["outputs"]:
        got, _ = render(words, flags, name=case["format"], system=case["default_system"])
        if wanted is not None:  # where the template refuses, we may say more
            assert got == wanted, words


OWN = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
              "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "llama3": "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}"
              "<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
              "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n"
              "{% endif %}",
    "zephyr": "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n"
              "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
              "{# <|user|> <|assistant|> #}",
    "phi4": "{% for m in messages %}<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}",
    "gemma": "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}"
             "{% set first = messages[0].content + '\n\n' %}{% set messages = messages[1:] %}"
             "{% endif %}{% for m in messages %}<start_of_turn>"
             "{{ 'model' if m.role == 'assistant' else 'user' }}\n"
             "{{ first if loop.first else '' }}{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
             "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "llama2": "{% set ns = namespace(system='') %}{% if messages[0].role == 'system' %}"
              "{% set ns.system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
              "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}"
              "{% if m.role == 'user' %}{{ bos_token }}[INST] "
              "{{ ((ns.system if loop.first else '') + m.content) | trim }} [/INST]"
              "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}",
    "plain": "<|request|>{{ messages[-1]['content'] }}<|call|>",
}


@pytest.mark.parametrize("name", sorted(OWN))
def test_own_templates(name):
    for words in make_golden.CONVERSATIONS:
        for generate in (True, False):
            wanted = make_golden.render(OWN[name], words, generate, "</s>")
            got, recognised = render(words, int(generate), template=OWN[name])
            assert recognised == name
            assert got == wanted, words


def test_own_folder():
    """Any templates at hand (SY_CHAT_TEMPLATES), where their family is known."""
    folder = os.environ.get("SY_CHAT_TEMPLATES")
    if not folder:
        pytest.skip("SY_CHAT_TEMPLATES names no folder")
    for case in json.loads((ROOT / "tests/chat/golden.json").read_text()):
        text = (pathlib.Path(folder) / f"{case['template']}.jinja").read_text()
        for words, flags, wanted in case["outputs"]:
            got, recognised = render(words, flags, template=text)
            assert recognised == case["format"]
            assert wanted is None or got == wanted


def test_refusals():
    assert render(["user", "x"], 1, template="")[0] == -NOT_FOUND
    assert render(["user", "x"], 1, template="{% for m in messages %}{{ m }}{% endfor %}")[0] \
        == -UNIMPLEMENTED
    assert render(["user", "x"], 1, name="no-such-format")[0] == -NOT_FOUND
    assert render(["tool", "x"], 1, name="chatml")[0] == -INVALID_ARGUMENT
    assert render(["user", "a", "user", "b"], 1, name="gemma")[0] == -INVALID_ARGUMENT
    assert render(["user", "a", "system", "b"], 1, name="llama2")[0] == -INVALID_ARGUMENT
    assert render(["user", "<|im_end|>"], STRICT, name="chatml")[0] == -INVALID_ARGUMENT
    assert render(["user", "plain"], STRICT, name="chatml")[0].endswith("plain<|im_end|>\n")

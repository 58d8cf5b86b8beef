# SPDX-License-Identifier: Apache-2.0
"""The tokenizer against the outside libraries, token for token: the vectors that come with the
vocabularies, and random Unicode. Vocabularies that are no GGUF files are written as such first, so
that the reading of the keys is under test as well."""
import ctypes
import json
import os
import pathlib
import random
import struct
import unicodedata

import gguf
import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SY_BUILD_DIR", ROOT / "build" / "release"))
SHARED = pathlib.Path(os.environ.get("SY_SHARED_DIR", ROOT.parent / "shared")) / "data" / "tokenizer"
N_RANDOM = int(os.environ.get("SY_TOKENIZER_TEXTS", "4000"))
ADD_SPECIAL, PARSE_SPECIAL = 1, 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no test data at {SHARED}")


class Probe:
    """A tokenizer of Switchyard behind ctypes."""
    library = None

    def __init__(self, path):
        if Probe.library is None:
            Probe.library = self.load()
        message = ctypes.create_string_buffer(1024)
        self.handle = Probe.library.probe_open(str(path).encode(), message, 1024)
        if not self.handle:
            raise ValueError(message.value.decode())
        self.ids = (ctypes.c_int32 * (1 << 21))()
        self.text = ctypes.create_string_buffer(1 << 23)

    @staticmethod
    def load():
        library = ctypes.CDLL(str(BUILD / "bin" / "tokenizer_probe.so"))
        pointer, size, flags = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
        library.probe_open.restype = pointer
        library.probe_open.argtypes = [ctypes.c_char_p, ctypes.c_char_p, size]
        library.probe_close.argtypes = [pointer]
        library.probe_encode.restype = ctypes.c_int64
        library.probe_encode.argtypes = [pointer, ctypes.c_char_p, size, flags, pointer, size]
        for call in (library.probe_decode, library.probe_stream):
            call.restype = ctypes.c_int64
            call.argtypes = [pointer, pointer, size, flags, pointer, size]
        return library

    def __del__(self):
        if getattr(self, "handle", None):
            Probe.library.probe_close(self.handle)

    def encode(self, text, flags=0):
        data = text.encode() if isinstance(text, str) else text
        n = Probe.library.probe_encode(self.handle, data, len(data), flags, self.ids, len(self.ids))
        assert n >= 0, f"status {-n}"
        return self.ids[:n]

    def decode(self, ids, call="probe_decode", flags=0):
        array = (ctypes.c_int32 * max(1, len(ids)))(*ids)
        n = getattr(Probe.library, call)(self.handle, array, len(ids), flags, self.text,
                                         len(self.text))
        assert n >= 0, f"status {-n}"
        return self.text.raw[:n]


# --- random texts -------------------------------------------------------------------------------

WORDS = ("the of and I'm you're he'll they've it's IT'S don'T l'amour Stra\u00dfe na\u00efve r\u00e9sum\u00e9 fa\u00e7ade "
         "hello Hello HELLO world's 2024 3.14 1,000,000 foo_bar fooBar HTTPServer http://a.b/c?d=e "
         "x=y+z; {\"a\": [1, 2]} #include <stdio.h> <s> </s> <0x0A> \u2581 \u2581\u2581 \u0120 \u010a <|im_end|>").split(" ")
RANGES = [(0x20, 0x7e), (0x20, 0x7e), (0xa0, 0x24f), (0x250, 0x2af), (0x300, 0x36f),
          (0x370, 0x3ff), (0x400, 0x52f), (0x530, 0x5ff), (0x600, 0x6ff), (0x900, 0x97f),
          (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x20a0, 0x214f),
          (0x2150, 0x218f), (0x2190, 0x27bf), (0x3000, 0x30ff), (0x3130, 0x318f), (0x3300, 0x33ff),
          (0x4e00, 0x9fa5), (0xac00, 0xd7a3), (0xf900, 0xfaff), (0xfb00, 0xfdff), (0xff00, 0xffef),
          (0x10000, 0x103ff), (0x1d400, 0x1d7ff), (0x1f300, 0x1f6ff), (0x20000, 0x2a6d6)]
SPACES = [" ", " ", " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x85",
          "\xa0", "\u1680", "\u180e", "\u2003", "\u200a", "\u2028", "\u2029", "\u202f", "\u3000"]
ODD = ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u0130", "\u0131", "\u017f", "'\u017f", "\u212a",
       "\x01", "\x1f", "\x7f", "\ue000", "\ufffd", "\ufb06", "\ufdfa", "\u0958", "\u2126",
       "\U0001d15e", "e\u0301", "a\u0323\u0302", "a\u0302\u0323", "\u1100\u1161\u11a8",
       "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd",
       "\u2764\ufe0f", "1\ufe0f\u20e3", "\u00bd", "\u2163", "\u0663", "\uff11", "\U0001d7d8"]


def assigned(rune):
    """Characters of today's tables only: the libraries differ in their version of Unicode."""
    return unicodedata.ucd_3_2_0.category(chr(rune)) not in ("Cn", "Cs")


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        kind = rng.random()
        if kind < 0.25:
            parts.append(rng.choice(WORDS))
        elif kind < 0.45:
            parts.append(rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 5]))
        elif kind < 0.6:
            parts.append(rng.choice(ODD))
        elif kind < 0.65:
            parts.append(str(rng.randrange(10 ** rng.randrange(1, 9))))
        else:
            low, high = rng.choice(RANGES)
            runes = [rng.randrange(low, high + 1) for _ in range(rng.randrange(1, 8))]
            parts.append("".join(chr(r) for r in runes if assigned(r)))
    return "".join(parts)


def random_texts(seed, n=None):
    rng = random.Random(seed)
    return [random_text(rng) for _ in range(n or N_RANDOM)]


def long_texts(seed, n=3):
    """Texts of 10 to 50 KB whose parts come up again: what an encode call remembers is used."""
    rng = random.Random(f"long {seed}")
    parts = random_texts(f"parts {seed}", 100) + WORDS
    return [rng.choice([" ", "", "\n"]).join(rng.choice(parts) for _ in range(800)) for _ in range(n)]


# --- vocabularies as GGUF files -----------------------------------------------------------------

def write_gguf(path, model, tokens, types, scores=None, merges=None, pre=None, ids=None, flags=None,
               charsmap=None):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    if charsmap:
        writer.add_precompiled_charsmap(charsmap)
    for name, value in (ids or {}).items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", value)
    for name, value in (flags or {}).items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def protobuf_fields(data):
    """(number, value) of each field of a protobuf message; sub-messages stay bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        n = {1: 8, 5: 4}[key & 7] if key & 7 != 2 else varint()
        yield key >> 3, data[at:at + n]
        at += n


def from_sentencepiece(model_path, path):
    """The usual conversion of a SentencePiece model. Answers (path, processor)."""
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_path))
    tokens, scores, types = [], [], []
    trainer, normalizer = {}, {}
    for number, value in protobuf_fields(pathlib.Path(model_path).read_bytes()):
        if number == 1:
            piece = dict(protobuf_fields(value))
            types.append(piece.get(3, NORMAL))
            text = piece[1]
            if types[-1] == USER_DEFINED:  # as converters write them
                text = text.replace("\u2581".encode(), b" ")
            tokens.append(text)
            scores.append(struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0)
        elif number == 2:
            trainer = dict(protobuf_fields(value))
        elif number == 3:
            normalizer = dict(protobuf_fields(value))
    write_gguf(path, "t5" if trainer.get(3, 1) == 1 else "llama", tokens, types, scores,
               ids={"unknown": processor.unk_id()},
               flags={"add_space_prefix": bool(normalizer.get(3, 1)),
                      "remove_extra_whitespaces": bool(normalizer.get(4, 1))},
               charsmap=normalizer.get(2))
    return path, processor


def from_tokenizer_json(json_path, path, pre):
    """The usual conversion of a byte-level BPE tokenizer.json. Answers (path, tokenizer)."""
    import tokenizers
    data = json.loads(pathlib.Path(json_path).read_text())
    vocabulary = dict(data["model"]["vocab"])
    types = {}
    for token in data["added_tokens"]:
        vocabulary[token["content"]] = token["id"]
        types[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    n = max(vocabulary.values()) + 1
    names = [f"[PAD{i}]" for i in range(n)]
    kinds = [UNUSED] * n
    for text, i in vocabulary.items():
        names[i] = text
        kinds[i] = types.get(i, NORMAL)
    merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    write_gguf(path, "gpt2", names, kinds, merges=merges, pre=pre)
    return path, tokenizers.Tokenizer.from_file(str(json_path))


def compare(probe, oracle, texts, flags=PARSE_SPECIAL):
    wrong = []
    for text in texts:
        want, got = oracle(text), probe.encode(text, flags)
        if list(want) != list(got):
            wrong.append((text, list(want), list(got)))
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first {wrong[0]!r}"


# --- tests --------------------------------------------------------------------------------------

VECTORS = sorted(SHARED.glob("*.gguf"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
def test_vectors(path):
    probe = Probe(path)
    texts = pathlib.Path(f"{path}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = pathlib.Path(f"{path}.out").read_text().split("\n")
    assert len(texts) > 40 and len(lines) >= len(texts)
    for text, line in zip(texts, lines):
        assert probe.encode(text) == [int(word) for word in line.split()], text


@pytest.mark.parametrize("name", ["llama2c/tokenizer.model",
                                  "litert-lm/runtime/components/testdata/sentencepiece.model",
                                  "sentencepiece/python/test/test_model.model",
                                  "sentencepiece/python/test/test_ja_model.model"])
def test_sentencepiece(name, tmp_path):
    path, processor = from_sentencepiece(SHARED / name, tmp_path / "vocabulary.gguf")
    probe = Probe(path)
    texts = random_texts(name)
    compare(probe, processor.encode, texts + long_texts(name, 20), flags=0)
    for text in texts[:500]:
        ids = processor.encode(text)
        if ids and "\ufffd" not in text:
            assert probe.decode(ids).decode() == processor.decode(ids), text


def test_sentencepiece_book(tmp_path):
    """A whole book in one call, by BPE and by unigram."""
    text = (SHARED / "sentencepiece/data/botchan.txt").read_text()
    for name in ("llama2c/tokenizer.model", "sentencepiece/python/test/test_model.model"):
        path, processor = from_sentencepiece(SHARED / name, tmp_path / "vocabulary.gguf")
        assert Probe(path).encode(text) == processor.encode(text)


def gpt2_parts(path):
    reader = gguf.GGUFReader(path)
    field = {key: reader.fields[f"tokenizer.ggml.{key}"].contents()
             for key in ("tokens", "token_type", "merges")}
    return field["tokens"], field["token_type"], field["merges"]


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+%s|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*%s|"
         r"%s| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
ENDING = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
# What the families' tokenizer.json files say: (normaliser NFC, expressions or names).
PRE_TOKENIZERS = {
    "gpt-2": (False, [GPT2]),
    "olmo": (True, [GPT2]),
    "llama-bpe": (False, [ENDING + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                          r"|\s*[\r\n]+|\s+(?!\S)|\s+"]),
    "qwen2": (True, [ENDING + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                     r"|\s*[\r\n]+|\s+(?!\S)|\s+"]),
    "qwen35": (False, [ENDING + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
                       r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]),
    "smollm": (False, ["digits", GPT2]),
    "command-r": (True, ["digits", GPT2]),
    "falcon": (False, ["punctuation", GPT2, "[0-9][0-9][0-9]"]),
    "deepseek-coder": (False, ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "digits"]),
    "deepseek-v3": (False, [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"
                            "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
                            r"|\s*[\r\n]+|\s+(?!\S)|\s+"]),
    "gpt-4o": (False, [CASED % (ENDING + "?", ENDING + "?", r"\p{N}{1,3}")]),
    "tekken": (False, [CASED % ("", "", r"\p{N}")]),
}
IGNORE_MERGES = {"llama-bpe", "tekken"}


def outside_bpe(tokens, types, merges, pre):
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    vocabulary = {token: i for i, token in enumerate(tokens) if types[i] == NORMAL}
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=pre in IGNORE_MERGES))
    nfc, parts = PRE_TOKENIZERS[pre]
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    steps = {"digits": lambda: pre_tokenizers.Digits(individual_digits=True),
             "punctuation": lambda: pre_tokenizers.Punctuation("contiguous")}
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [steps[part]() if part in steps else pre_tokenizers.Split(Regex(part), "isolated")
         for part in parts] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer


@pytest.mark.parametrize("pre", sorted(PRE_TOKENIZERS))
def test_byte_level_bpe(pre, tmp_path):
    """Every pre-tokenizer over GPT-2's merges, against the library `tokenizers`."""
    tokens, types, merges = gpt2_parts(SHARED / "ggml-vocab-gpt-2.gguf")
    path = write_gguf(tmp_path / "vocabulary.gguf", "gpt2", tokens, types, merges=merges, pre=pre)
    oracle = outside_bpe(tokens, types, merges, pre)
    compare(Probe(path), lambda text: oracle.encode(text).ids, random_texts(pre) + long_texts(pre), flags=0)


@pytest.mark.parametrize("name,pre", [("ggml-vocab-llama-bpe.gguf", "llama-bpe")])
def test_large_bpe(name, pre):
    tokens, types, merges = gpt2_parts(SHARED / name)
    oracle = outside_bpe(tokens, types, merges, pre)
    texts = random_texts(name) + long_texts(name, 20)
    compare(Probe(SHARED / name), lambda text: oracle.encode(text).ids, texts, flags=0)


def test_tokenizer_json(tmp_path):
    """A tokenizer.json with its added tokens, which are found in the text."""
    path, oracle = from_tokenizer_json(
        SHARED / "litert-lm/runtime/components/testdata/tokenizer.json",
        tmp_path / "vocabulary.gguf", "smollm")
    texts = random_texts("json")
    names = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>"]
    rng = random.Random("names")
    texts += ["".join(rng.choice([rng.choice(names), text[:5], " ", "<|im_"]) for _ in range(6))
              for text in texts[:1000]]
    compare(Probe(path), lambda text: oracle.encode(text, add_special_tokens=False).ids, texts)


def outside_wordpiece(path, lowercase=True):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    tokens = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"].contents()
    vocabulary = {}
    for i, token in enumerate(tokens):
        word = token.startswith("\u2581")
        named = token.startswith("[") and token.endswith("]")
        vocabulary[token[1:] if word else token if named else "##" + token] = i
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]",
                                           max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def test_wordpiece():
    path = SHARED / "ggml-vocab-bert-bge.gguf"
    oracle = outside_wordpiece(path)
    texts = random_texts("wordpiece") + ["a" * 99, "a" * 100, "a" * 101, "ab\u0301" * 50]
    compare(Probe(path), lambda text: oracle.encode(text).ids, texts, flags=0)
    assert Probe(path).encode("x", ADD_SPECIAL)[0] == 101
    assert Probe(path).encode("x", ADD_SPECIAL)[-1] == 102


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
def test_decoding(path):
    """Streaming equals decoding at once; byte-level BPE gives every byte back."""
    probe = Probe(path)
    exact = "gpt-2" in path.name or "llama-bpe" in path.name
    rng = random.Random(path.name)
    for text in random_texts("decode" + path.name, 1000):
        ids = probe.encode(text)
        whole = probe.decode(ids)
        assert probe.decode(ids, "probe_stream") == whole
        assert not exact or whole.decode() == text
        ids = [rng.randrange(len(ids) * 50 + 300) for _ in ids]
        assert probe.decode(ids, "probe_stream") == probe.decode(ids)
        probe.decode(ids).decode()


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
def test_broken_utf8(path):
    """Bytes that are no text: always the same tokens, and byte-level BPE gives them back."""
    probe = Probe(path)
    rng = random.Random(path.name)
    for _ in range(500):
        data = bytes(rng.choice([rng.randrange(256), 0x61, 0xe2, 0x80]) for _ in range(40))
        ids = probe.encode(data)
        assert probe.encode(data) == ids
        if "gpt-2" in path.name or "llama-bpe" in path.name:
            assert probe.decode(ids) == data.decode(errors="replace").encode()
        if "spm" in path.name:  # each such byte counts as U+FFFD
            text = "".join("\ufffd" if 0xdc80 <= ord(c) <= 0xdcff else c
                           for c in data.decode(errors="surrogateescape"))
            assert ids == probe.encode(text)

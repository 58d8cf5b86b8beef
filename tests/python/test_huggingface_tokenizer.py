# SPDX-License-Identifier: Apache-2.0
"""tokenizer.json against the library that it belongs to, token for token: what `tokenizers` makes
of a file and what a folder with that file gives here."""
import json

import pytest
from test_tokenizer import (CONTROL, NORMAL, PARSE_SPECIAL, PRE_TOKENIZERS, ROOT, SHARED, Probe,
                            compare, from_sentencepiece, gpt2_parts, long_texts, outside_bpe,
                            random_texts)

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no test data at {SHARED}")
ADD_SPECIAL = 1
MARK = "\u2581"


def folder_of(tokenizer, folder, change=None, config=None):
    """A folder with this tokenizer; `change` edits the JSON."""
    folder.mkdir(exist_ok=True)
    data = json.loads(tokenizer.to_str())
    if change:
        change(data)
    (folder / "tokenizer.json").write_text(json.dumps(data))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def check(tokenizer, folder, name, n=1500):
    probe = Probe(folder)

    def oracle(text):
        return tokenizer.encode(text, add_special_tokens=False).ids
    compare(probe, oracle, random_texts(name, n) + long_texts(name, 5))
    compare(probe, lambda text: tokenizer.encode(text).ids, random_texts(f"{name} framed", 200),
            flags=PARSE_SPECIAL | ADD_SPECIAL)
    return probe


@pytest.mark.parametrize("pre", sorted(PRE_TOKENIZERS))
def test_byte_level_bpe(pre, tmp_path):
    tokens, types, merges = gpt2_parts(SHARED / "ggml-vocab-gpt-2.gguf")
    tokenizer = outside_bpe(tokens, types, merges, pre)
    tokenizer.add_special_tokens([tokenizers.AddedToken("<|im_end|>", normalized=False)])


    def as_published(data):  # line ends as such, and no backslash in front of the quote
        if pre == "deepseek-v3":
            pattern = data["pre_tokenizer"]["pretokenizers"][2]["pattern"]
            pattern["Regex"] = pattern["Regex"].replace('\\"', '"').replace("\\r\\n", "\r\n")
    check(tokenizer, folder_of(tokenizer, tmp_path, as_published), pre)


def test_published_file(tmp_path):
    path = SHARED / "litert-lm/runtime/components/testdata/tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    (tmp_path / "tokenizer.json").symlink_to(path)
    check(tokenizer, tmp_path, "published")


def test_pairs_as_lists_and_strings(tmp_path):
    tokens, types, merges = gpt2_parts(SHARED / "ggml-vocab-gpt-2.gguf")
    tokenizer = outside_bpe(tokens, types, merges, "gpt-2")

    def join(data):
        data["model"]["merges"] = [m if isinstance(m, str) else " ".join(m)
                                   for m in data["model"]["merges"]]

    def split(data):
        join(data)
        data["model"]["merges"] = [m.split(" ") for m in data["model"]["merges"]]
    for change in (join, split):
        check(tokenizer, folder_of(tokenizer, tmp_path, change), "pairs", 50)


def marked_bpe(normalizer, pre_tokenizer, prefix):
    """The 32000 pieces of Llama 2 as tokenizers writes SentencePiece's BPE."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, processors
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(SHARED / "llama2c/tokenizer.model"))
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    ids = {piece: i for i, piece in enumerate(pieces)}
    merges = []
    for i, piece in enumerate(pieces):
        halves = [(piece[:k], piece[k:]) for k in range(1, len(piece))]
        merges += [(processor.get_score(i), -ids[a], -ids[b], (a, b)) for a, b in halves
                   if a in ids and b in ids and not processor.is_byte(i)]
    merges.sort(key=lambda m: m[0], reverse=True)
    tokenizer = Tokenizer(models.BPE(ids, [m[3] for m in merges], unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(),
                                           decoders.Fuse()])
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, normalized=False)
                                  for t in ("<unk>", "<s>", "</s>")])
    if prefix:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def steps():
    from tokenizers import normalizers, pre_tokenizers
    replace = normalizers.Replace(" ", MARK)
    return {
        "prepend": (normalizers.Sequence([normalizers.Prepend(MARK), replace]), None),
        "replace": (replace, pre_tokenizers.Split(" ", "merged_with_previous")),
        "always": (None, pre_tokenizers.Metaspace(MARK, "always", split=False)),
        "first": (None, pre_tokenizers.Metaspace(MARK, "first", split=False)),
        "never": (None, pre_tokenizers.Metaspace(MARK, "never", split=False)),
    }


@pytest.mark.parametrize("how", ["prepend", "replace", "always", "first", "never"])
def test_marked_bpe(how, tmp_path):
    tokenizer = marked_bpe(*steps()[how], prefix=how == "prepend")
    probe = check(tokenizer, folder_of(tokenizer, tmp_path), f"marked {how}")
    for text in ("", " ", "a", " a", "  a", "<s>a", "<s> a", "a<s>b", "a <s> b", f"{MARK}a"):
        assert probe.encode(text, PARSE_SPECIAL) == \
            tokenizer.encode(text, add_special_tokens=False).ids, text


def test_wordpiece(tmp_path):
    import gguf
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    fields = gguf.GGUFReader(SHARED / "ggml-vocab-bert-bge.gguf").fields
    names = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    vocabulary = {}
    for i, (name, kind) in enumerate(zip(names, types)):
        special = kind != NORMAL or name.startswith("[")
        word = name if special else name[1:] if name.startswith(MARK) else f"##{name}"
        vocabulary.setdefault(word, i)
    assert vocabulary["[CLS]"] == 101 and CONTROL == 3
    for lowercase in (True, False):
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
        tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
        check(tokenizer, folder_of(tokenizer, tmp_path), f"wordpiece {lowercase}")


def test_unigram(tmp_path):
    """T5's way: SentencePiece's rules, words apart, an end behind the text."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from test_tokenizer import protobuf_fields
    model = SHARED / "sentencepiece/python/test/test_model.model"
    _, processor = from_sentencepiece(model, tmp_path / "vocabulary.gguf")
    pieces = [(processor.id_to_piece(i), processor.get_score(i))
              for i in range(processor.get_piece_size())]
    charsmap = next(dict(protobuf_fields(v))[2] for n, v in protobuf_fields(model.read_bytes())
                    if n == 3)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=processor.unk_id(), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap),
                                                 normalizers.Strip(left=False, right=True),
                                                 normalizers.Replace(Regex(" {2,}"), MARK)])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, normalized=False)
                                  for t in ("<unk>", "<s>", "</s>")])
    probe = Probe(folder_of(tokenizer, tmp_path / "folder"))
    for text in ("Hello world", "I saw a girl with a telescope.", "a  b", "x", "Tokyo <s>1"):
        assert probe.encode(text, PARSE_SPECIAL | ADD_SPECIAL) == tokenizer.encode(text).ids, text


def refusal(folder):
    with pytest.raises(ValueError) as caught:
        Probe(folder)
    return str(caught.value)


def put(*path, value):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value
    return change


REFUSED = {
    "normalizer": (put("normalizer", value=dict(type="NFKC")), "the normalizer 'NFKC'"),
    "pre-tokenizer": (put("pre_tokenizer", value=dict(type="Whitespace")),
                      "the pre-tokenizer 'Whitespace'"),
    "expression": (put("pre_tokenizer", "pretokenizers", 0, "pattern", "Regex", value="[a-z]+"),
                   "is not known"),
    "ignore_merges": (put("model", "ignore_merges", value=True), "ignore_merges yes"),
    "dropout": (put("model", "dropout", value=0.1), "dropout"),
    "suffix": (put("model", "end_of_word_suffix", value="</w>"), "end_of_word_suffix"),
    "model": (put("model", "type", value="WordLevel"), "the model 'WordLevel'"),
    "single_word": (put("added_tokens", 0, "single_word", value=True), "single_word"),
    "post": (put("post_processor", value=dict(type="Mystery")), "post_processor"),
    "merges": (put("model", "merges", 0, value=["a"]), "a merge that is no pair"),
    "ids": (put("model", "vocab", "a", value=-1), "without an id"),
    "twice": (put("model", "vocab", "a", value=0), "two tokens of one id"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals_name_the_reason(what, tmp_path):
    tokens, types, merges = gpt2_parts(SHARED / "ggml-vocab-gpt-2.gguf")
    tokenizer = outside_bpe(tokens, types, merges, "gpt-2")
    tokenizer.add_special_tokens(["<|im_end|>"])
    change, words = REFUSED[what]
    assert words in refusal(folder_of(tokenizer, tmp_path, change))


def test_merges_of_no_sentencepiece_model_are_refused(tmp_path):
    tokenizer = marked_bpe(*steps()["prepend"], prefix=False)

    def drop(data):
        del data["model"]["merges"][1000]
    assert "not those of a SentencePiece model" in refusal(folder_of(tokenizer, tmp_path, drop))


def test_special_tokens_and_template(tmp_path):
    """What the files beside tokenizer.json say comes through describe."""
    import subprocess
    from test_tokenizer import BUILD
    tokens, types, merges = gpt2_parts(SHARED / "ggml-vocab-gpt-2.gguf")
    tokenizer = outside_bpe(tokens, types, merges, "gpt-2")
    ends = ["<|im_start|>", "<|im_end|>", "<|eot|>"]
    tokenizer.add_special_tokens(ends)
    ids = [tokenizer.token_to_id(t) for t in ends]
    folder = folder_of(tokenizer, tmp_path, config=dict(
        bos_token="<|im_start|>", eos_token=dict(content="<|im_end|>"), pad_token="<|eot|>",
        chat_template="{{ messages }}"))
    (folder / "generation_config.json").write_text(json.dumps(dict(eos_token_id=[ids[2], ids[1]])))
    answer = json.loads(subprocess.run(
        [BUILD / "bin/switchyard", "describe", "--json", "--metadata", folder],
        capture_output=True, text=True).stdout)
    found = answer["metadata"]
    assert found["tokenizer.ggml.bos_token_id"] == ids[0]
    assert found["tokenizer.ggml.eos_token_id"] == ids[1]
    assert found["tokenizer.ggml.eot_token_id"] == ids[2]
    assert found["tokenizer.ggml.padding_token_id"] == ids[2]
    assert answer["chat_template"] == "{{ messages }}" and ROOT.is_dir()
    assert "switchyard.tokenizer.more_end_token_ids" not in found


def test_any_number_of_end_tokens(tmp_path):
    """GGUF has keys for three; the others are not lost, and end a generation too."""
    import subprocess
    from test_tokenizer import BUILD
    tokens, types, merges = gpt2_parts(SHARED / "ggml-vocab-gpt-2.gguf")
    tokenizer = outside_bpe(tokens, types, merges, "gpt-2")
    ends = [f"<|over{i}|>" for i in range(6)]
    tokenizer.add_special_tokens(ends)
    ids = [tokenizer.token_to_id(t) for t in ends]
    folder = folder_of(tokenizer, tmp_path, config=dict(eos_token=ends[0]))
    (folder / "generation_config.json").write_text(json.dumps(dict(eos_token_id=ids + ids[:2])))
    found = json.loads(subprocess.run(
        [BUILD / "bin/switchyard", "describe", "--json", "--metadata", folder],
        capture_output=True, text=True, check=True).stdout)["metadata"]
    assert [found[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")] == ids[:3]
    assert found["switchyard.tokenizer.more_end_token_ids"]["first"] == ids[3:]
    (folder / "generation_config.json").write_text(json.dumps(dict(eos_token_id=list(range(65)))))
    assert "more than 64" in refusal(folder)

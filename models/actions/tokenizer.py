#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The vocabulary: how it is built, and the encoder that training uses.

    python3 tokenizer.py --out vocab.json

It is a SentencePiece-BPE vocabulary as GGUF stores it (tokenizer.ggml.model = llama): pieces with scores, merged best
score first, bytes for what is left. Pieces of more than one character hold letters only; the space mark, digits and
punctuation stand alone. So a word is cut the same way wherever it stands, in the request or inside the JSON string.
The fixed parts of the answer are single user-defined tokens.
"""
import argparse
import collections
import json
import re

UNKNOWN, CONTROL, USER_DEFINED, BYTE, NORMAL = 2, 3, 4, 6, 1
SPACE = "\u2581"
SPECIAL = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL), ("<|request|>", CONTROL), ("<|call|>", CONTROL)]
BOS, EOS, REQUEST, CALL = 1, 2, 3, 4
FIRST_BYTE = len(SPECIAL)
OPENINGS = [("set_flashlight", '"on":'), ("set_alarm", '"time":"'), ("set_timer", '"seconds":'), ("set_volume", '"percent":'),
            ("open_settings", '"page":"'), ("call_contact", '"name":"'), ("send_message", '"to":"'), ("show_map", '"query":"'),
            ("create_event", '"title":"'), ("create_contact", '"name":"')]
CALL_PARTS = [f'{{"name":"{name}","arguments":{{{key}' for name, key in OPENINGS] + [
    '{"name":"none","arguments":{}}', '","label":"', '","text":"', '","day":"', '","time":"', '","phone":"', '"}}', "}}"]
LETTERS = re.compile(r"[^\W\d_]+|.", re.S)
PARTS = re.compile("|".join(re.escape(p) for p in sorted(CALL_PARTS, key=len, reverse=True)))


class Tokenizer:
    """Pieces, scores and types by token number, and the encoder."""

    def __init__(self, pieces, scores, types):
        self.pieces, self.scores, self.types = pieces, scores, types
        self.ids = {p: i for i, p in enumerate(pieces)}
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            d = json.load(f)
        return cls(d["pieces"], d["scores"], d["types"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"pieces": self.pieces, "scores": self.scores, "types": self.types}, f, ensure_ascii=False, indent=0)
            f.write("\n")

    def merge(self, run):
        """Cut one run of letters: merge the adjacent pair of the best score, leftmost first, while there is one."""
        parts = list(run)
        while True:
            best, at = None, -1
            for i in range(len(parts) - 1):
                token = self.ids.get(parts[i] + parts[i + 1])
                if token is not None and (best is None or self.scores[token] > best):
                    best, at = self.scores[token], i
            if at < 0:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        out = []
        for part in parts:
            if part in self.ids:
                out.append(self.ids[part])
            else:
                out += [FIRST_BYTE + b for b in part.encode()]
        return out

    def encode_plain(self, text):
        out = []
        for run in LETTERS.findall(text.replace(" ", SPACE)):
            ids = self.cache.get(run)
            if ids is None:
                ids = self.merge(run)
                if len(self.cache) < 500000:
                    self.cache[run] = ids
            out += ids
        return out

    def encode(self, text):
        """Text to tokens, with the parts of a call as single tokens."""
        out, at = [], 0
        for m in PARTS.finditer(text):
            out += self.encode_plain(text[at:m.start()]) + [self.ids[m.group()]]
            at = m.end()
        return out + self.encode_plain(text[at:])

    def decode(self, tokens):
        data = b""
        for t in tokens:
            if self.types[t] == BYTE:
                data += bytes([t - FIRST_BYTE])
            elif self.types[t] in (NORMAL, USER_DEFINED):
                data += self.pieces[t].replace(SPACE, " ").encode()
        return data.decode(errors="replace")

    def prompt(self, request):
        return [REQUEST] + self.encode(request) + [CALL]


def learn_merges(counts, n):
    """Byte-pair merges over words with counts, most frequent pair first."""
    words = [(list(w), c) for w, c in counts.items()]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (parts, c) in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += c
            where[pair].add(i)
    merged = []
    while len(merged) < n and pairs:
        best = max(pairs, key=lambda p: (pairs[p], p))
        piece = best[0] + best[1]
        if piece not in merged:
            merged.append(piece)
        for i in list(where[best]):
            parts, c = words[i]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= c
                where[pair].discard(i)
            j = 0
            while j < len(parts) - 1:
                if (parts[j], parts[j + 1]) == best:
                    parts[j:j + 2] = [piece]
                j += 1
            for pair in zip(parts, parts[1:]):
                pairs[pair] += c
                where[pair].add(i)
        del pairs[best]
    return merged


def build(lines, size):
    counts, characters = collections.Counter(), collections.Counter()
    for line in lines:
        for run in LETTERS.findall(line.replace(" ", SPACE)):
            characters.update(run)
            if run.isalpha() and len(run) > 1:
                counts[run] += 1
    ascii_characters = [chr(c) for c in range(33, 127)] + [SPACE]
    accented = [c for c, n in characters.most_common() if ord(c) > 126 and c != SPACE and n >= 25 and ord(c) < 0x250]
    pieces = [p for p, _ in SPECIAL] + [f"<0x{b:02X}>" for b in range(256)] + CALL_PARTS
    types = [t for _, t in SPECIAL] + [BYTE] * 256 + [USER_DEFINED] * len(CALL_PARTS)
    scores = [0.0] * len(pieces)
    singles = ascii_characters + accented
    merges = learn_merges({w: c for w, c in counts.items() if c >= 3}, size - len(pieces) - len(singles))
    pieces += merges + singles
    types += [NORMAL] * (len(merges) + len(singles))
    scores += [-float(i) for i in range(len(merges) + len(singles))]
    return Tokenizer(pieces, scores, types)


def main():
    from generate import Generator, call_line
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default="vocab.json")
    ap.add_argument("--size", type=int, default=1024)
    ap.add_argument("--lines", type=int, default=60000)
    a = ap.parse_args()
    generator = Generator("train", "vocabulary")
    lines = []
    for _ in range(a.lines):
        example = generator.example()
        lines += [example["request"], PARTS.sub(" ", call_line(example["call"]))]
    made = build(lines, a.size)
    made.save(a.out)
    print(f"{a.out}: {len(made.pieces)} pieces")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What happens to a wording between the head and the keyboard: case, typos, punctuation, lost apostrophes.

Copied parts carry marks (private-use characters) until finish() reads them off the final text, so that the call holds
exactly what the request holds.
"""
import re

KEYS = ("name", "to", "text", "query", "title", "label", "phone")
CLOSE = "\ue0ff"
OPEN = {key: chr(0xE000 + i) for i, key in enumerate(KEYS)}
MARKS = re.compile("[\ue000-\ue0ff]")
SPAN = re.compile("([\ue000-\ue0fe])(.*?)" + CLOSE, re.S)
WORD = re.compile("[A-Za-z]{4,}")
NEAR_KEYS = {"a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk", "k": "jl",
             "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb",
             "w": "qe", "x": "zc", "y": "tu", "z": "x"}


CASUAL = {"give me": "gimme", "want to": "wanna", "going to": "gonna", "got to": "gotta", "let me": "lemme", "you": "u", "please": "plz",
          "are": "r", "because": "cause", "minutes": "mins", "tomorrow": "tmrw", "thanks": "thx", "about": "bout", "okay": "k"}


def copied(key, text):
    return OPEN[key] + text + CLOSE


def plain(text):
    return MARKS.sub("", text)


def capitalise(text):
    """Upper-case the first letter, skipping marks."""
    for i, c in enumerate(text):
        if c.isalpha():
            return text[:i] + c.upper() + text[i + 1:]
        if not MARKS.match(c) and c not in "\"'\u201c":
            return text
    return text


def misspell(rng, word):
    i = rng.randrange(1, len(word) - 1)
    kind = rng.random()
    if kind < 0.35:
        return word[:i] + word[i + 1] + word[i] + word[i + 2:]
    if kind < 0.65:
        return word[:i] + word[i + 1:]
    if kind < 0.82:
        return word[:i] + word[i] + word[i:]
    return word[:i] + rng.choice(NEAR_KEYS.get(word[i].lower(), "e")) + word[i + 1:]


def typos(rng, text, count):
    """Misspell some words; a copied part keeps its misspelling in the call."""
    for _ in range(count):
        found = list(WORD.finditer(text))
        if not found:
            return text
        m = rng.choice(found)
        text = text[:m.start()] + misspell(rng, m.group()) + text[m.end():]
    return text


def recase(rng, text):
    r = rng.random()
    if r < 0.34:
        return text.lower()
    if r < 0.64:
        return capitalise(text)
    if r < 0.66:
        return text.upper()
    if r < 0.675:
        return re.sub(r"\b([a-z])(?=[a-z]*)", lambda m: m.group(1).upper(), text)
    return text


def casual(rng, text):
    """Chat spellings for some words."""
    for word, short in CASUAL.items():
        if rng.random() < 0.6:
            text = re.sub(rf"\b{word}\b", short, text)
    return text


def fix_pronoun(text):
    return re.sub(r"\bi(?=\b|')", "I", text)


def punctuate(rng, text):
    question = re.match(r"\W*(can|could|would|will|where|what|which|how|is|are|do|any|who|why|when|did|may)\b", plain(text), re.I)
    r = rng.random()
    if question:
        return text + ("?" if r < 0.45 else "." if r < 0.5 else "")
    return text + ("." if r < 0.25 else "!" if r < 0.29 else "?" if r < 0.30 else "..." if r < 0.305 else "")


def finish(rng, text):
    """The request as typed, and the copied parts read off it."""
    if rng.random() < 0.05:
        text = casual(rng, text)
    if rng.random() < 0.45:
        text = fix_pronoun(text)
    text = recase(rng, text)
    if rng.random() < 0.16:
        text = typos(rng, text, rng.choice((1, 1, 1, 2, 3)))
    if rng.random() < 0.10:
        text = text.replace("'", "")
    elif rng.random() < 0.06:
        text = text.replace("'", "\u2019")
    if rng.random() < 0.06:
        text = re.sub(", ", " ", text)
    if text.strip():
        text = punctuate(rng, text)
    if rng.random() < 0.02:
        text = text.replace(" ", "  ", 1)
    if rng.random() < 0.02:
        text = rng.choice((" " + text, text + " ", text + "\n"))
    keys = {mark: key for key, mark in OPEN.items()}
    copies = {}
    for mark, part in SPAN.findall(text):
        part = re.sub("[.!?\u2026]+$", "", part.strip()) if keys[mark] != "phone" else part.strip()
        copies[keys[mark]] = part.strip()
    return plain(text), copies

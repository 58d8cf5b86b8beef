/* SPDX-License-Identifier: Apache-2.0 */
/* Which kind of vocabulary a tokenizer.json is. Its model, normalizer and pre-tokenizer are free to
 * combine; the runtime has the combinations that published models use. What is none of them is
 * refused by name, because a near miss gives wrong tokens in silence. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURE_BYTES 4096u

static const char hint_kind[] = "Take a GGUF file of the model, whose tokenizer was worked out "
                                "when it was converted.";

static bool refuse(sy__hf *hf, const char *what, sy__json_index i) {
    const char *text = sy__hf_string(hf, &hf->tokenizer, i);
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                       "tokenizer.json has %s '%.160s', which is "
                       "not supported.",
                       what, text != NULL ? text : "?");
}

/* The pre-tokenizers of byte-level BPE by what they do, one step a line: S an expression whose
 * matches are pieces, D digits one by one, P punctuation, B bytes. The expressions are facts of the
 * published tokenizers. */
#define GPT2 "S's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+\n"
#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LETTER "[^\\r\\n\\p{L}\\p{N}]?"
#define CASED(end, digits)                                                           \
    "S" LETTER UPPER "*" LOWER "+" end "|" LETTER UPPER "+" LOWER "*" end "|" digits \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES "\nB\n"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORDS(digits) \
    "S" ENDINGS "|" LETTER "\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES "\nB\n"
#define QWEN35                                                                                   \
    "S" ENDINGS "|" LETTER "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES \
    "\nB\n"
#define CJK "S[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+\n"
#define DEEPSEEK3                                                                     \
    "S\\p{N}{1,3}\n" CJK "S[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"    \
    "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|" \
    "\\s+(?!\\S)|\\s+\nB\n"
#define DEEPSEEK_CODER                      \
    "S[\r\n]\nS\\s?\\p{L}+\nS\\s?\\p{P}+\n" \
    "S[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+\nD\nB\n"

static const struct {
    const char *steps;
    int nfc, ignore_merges;
    const char *name;
} known[] = {
    {GPT2 "B\n", 0, 0, "gpt-2"},
    {GPT2 "B\n", 1, 0, "olmo"},
    {"D\n" GPT2 "B\n", 0, 0, "smollm"},
    {"D\n" GPT2 "B\n", 1, 0, "command-r"},
    {"P\n" GPT2 "S[0-9][0-9][0-9]\nB\n", 0, 0, "falcon"},
    {WORDS("\\p{N}{1,3}"), 0, 1, "llama-bpe"},
    {WORDS("\\p{N}{1,3}"), 0, 0, "dbrx"},
    {WORDS("\\p{N}"), 1, 0, "qwen2"},
    {WORDS("\\p{N}"), 0, 0, "hunyuan"},
    {QWEN35, 0, 0, "qwen35"},
    {CASED(ENDINGS "?", "\\p{N}{1,3}"), 0, 0, "gpt-4o"},
    {CASED("", "\\p{N}"), 0, 1, "tekken"},
    {DEEPSEEK3, 0, 0, "deepseek-v3"},
    {DEEPSEEK_CODER, 0, 0, "deepseek-coder"},
};

typedef struct steps {
    char text[SIGNATURE_BYTES];
    size_t n;
} steps;

static bool add_step(sy__hf *hf, steps *s, const char *text) {
    int n = snprintf(s->text + s->n, sizeof(s->text) - s->n, "%s", text);
    if (n < 0 || (size_t)n >= sizeof(s->text) - s->n) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                           "The pre-tokenizer of tokenizer.json is too long to be a known one.");
    }
    s->n += (size_t)n;
    return true;
}

static bool add_split(sy__hf *hf, steps *s, sy__json_index step) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index behavior = sy__json_member(json, step, "behavior");
    bool invert = sy__json_bool_of(json, sy__json_member(json, step, "invert"), false);
    sy__json_index regex = sy__json_find(json, step, "pattern.Regex");
    /* The expressions match every character, so removing what lies between is no difference. */
    bool pieces = (sy__json_is(json, behavior, "Isolated") && !invert) ||
                  (sy__json_is(json, behavior, "Removed") && invert);
    const char *text = sy__hf_string(hf, &hf->tokenizer, regex);
    if (text == NULL || !pieces) {
        return refuse(hf, "a splitting pre-tokenizer with the behavior", behavior);
    }
    return add_step(hf, s, "S") && add_step(hf, s, text) && add_step(hf, s, "\n");
}

/* A pre-tokenizer of byte-level BPE. */
static bool add_pretokenizer(sy__hf *hf, steps *s, sy__json_index step) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index type = sy__json_member(json, step, "type");
    if (sy__json_is(json, type, "Split")) {
        return add_split(hf, s, step);
    }
    if (sy__json_is(json, type, "Digits") &&
        sy__json_bool_of(json, sy__json_member(json, step, "individual_digits"), false)) {
        return add_step(hf, s, "D\n");
    }
    if (sy__json_is(json, type, "Punctuation") &&
        sy__json_is(json, sy__json_member(json, step, "behavior"), "Contiguous")) {
        return add_step(hf, s, "P\n");
    }
    if (!sy__json_is(json, type, "ByteLevel")) {
        return refuse(hf, "the pre-tokenizer", type);
    }
    if (sy__json_bool_of(json, sy__json_member(json, step, "add_prefix_space"), true)) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                           "tokenizer.json puts a space in front of bytes (add_prefix_space), "
                           "which is not supported.");
    }
    bool words = sy__json_bool_of(json, sy__json_member(json, step, "use_regex"), true);
    return (!words || add_step(hf, s, GPT2)) && add_step(hf, s, "B\n");
}

/* The steps of a normalizer or pre-tokenizer: one, or those of a sequence. */
typedef struct step_list {
    sy__json_index items[16];
    uint32_t n;
} step_list;

static bool list_steps(sy__hf *hf, const char *what, const char *inner, step_list *list) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index all = sy__json_member(json, 0, what);
    sy__json_index sequence = sy__json_member(json, all, inner);
    list->n = 0;
    if (all == SY__JSON_NONE) {
        return true;
    }
    if (!sy__json_is(json, sy__json_member(json, all, "type"), "Sequence")) {
        list->items[list->n++] = all;
        return true;
    }
    sy__json_index item = sy__json_first(json, sequence);
    for (uint32_t i = 0; i < sy__json_n(json, sequence); i++) {
        if (list->n == sizeof(list->items) / sizeof(list->items[0])) {
            return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                               "The %s of tokenizer.json has more than 16 steps.", what);
        }
        list->items[list->n++] = item;
        item = sy__json_next(json, item);
    }
    return true;
}

static sy__json_index type_of(const sy__hf *hf, sy__json_index step) {
    return sy__json_member(&hf->tokenizer.json, step, "type");
}

static bool check_bpe(sy__hf *hf) {
    static const char *const foreign[] = {"model.continuing_subword_prefix",
                                          "model.end_of_word_suffix"};
    const sy__json_document *json = &hf->tokenizer.json;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        sy__json_index text = sy__json_find(json, 0, foreign[i]);
        if (text != SY__JSON_NONE && !sy__json_is(json, text, "")) {
            return refuse(hf, foreign[i], text);
        }
    }
    double dropout = 0.0;
    if (sy__json_f64_of(json, sy__json_find(json, 0, "model.dropout"), &dropout) && dropout > 0.0) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                           "tokenizer.json drops merges at random (dropout).");
    }
    return true;
}

static bool choose_bytes(sy__hf *hf, sy__hf_vocabulary *v, const step_list *pre,
                         const step_list *normal) {
    const sy__json_document *json = &hf->tokenizer.json;
    steps *s = sy__arena_alloc(&hf->scratch, 1, sizeof(*s));
    int nfc = 0;
    if (s == NULL) {
        return sy__hf_no_memory(hf, "the pre-tokenizer");
    }
    for (uint32_t i = 0; i < normal->n; i++) {
        if (!sy__json_is(json, type_of(hf, normal->items[i]), "NFC")) {
            return refuse(hf, "the normalizer", type_of(hf, normal->items[i]));
        }
        nfc = 1;
    }
    for (uint32_t i = 0; i < pre->n; i++) {
        if (!add_pretokenizer(hf, s, pre->items[i])) {
            return false;
        }
    }
    int ignore = sy__json_bool_of(json, sy__json_find(json, 0, "model.ignore_merges"), false);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].steps, s->text) == 0 && known[i].nfc == nfc &&
            known[i].ignore_merges == ignore) {
            v->kind = "gpt2";
            v->pre = known[i].name;
            v->merges = sy__json_find(json, 0, "model.merges");
            return true;
        }
    }
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                       "The pre-tokenizer of tokenizer.json is not known (NFC %s, ignore_merges "
                       "%s): %.200s",
                       nfc ? "yes" : "no", ignore ? "yes" : "no", s->text);
}

static bool is_mark(const sy__hf *hf, sy__json_index i) {
    return sy__json_is(&hf->tokenizer.json, i, "\xe2\x96\x81");
}

/* Spaces become marks; a mark comes in front of the text or not. */
static bool read_metaspace(sy__hf *hf, sy__hf_vocabulary *v, sy__json_index step, bool may_split) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index scheme = sy__json_member(json, step, "prepend_scheme");
    bool splits = sy__json_bool_of(json, sy__json_member(json, step, "split"), true);
    bool prefix =
        scheme != SY__JSON_NONE
            ? !sy__json_is(json, scheme, "never")
            : sy__json_bool_of(json, sy__json_member(json, step, "add_prefix_space"), true);
    if (!is_mark(hf, sy__json_member(json, step, "replacement"))) {
        return refuse(hf, "the replacement of spaces", sy__json_member(json, step, "replacement"));
    }
    if (splits && !may_split) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                           "tokenizer.json cuts at spaces before it merges (Metaspace with split), "
                           "which is not supported.");
    }
    v->add_space_prefix = prefix;
    v->prefix_if_missing = prefix;
    v->prefix_once = prefix && sy__json_is(json, scheme, "first");
    return true;
}

/* SentencePiece's BPE as tokenizers writes it: spaces become marks, bytes without a token fall
 * back. */
static bool choose_marks(sy__hf *hf, sy__hf_vocabulary *v, const step_list *pre,
                         const step_list *normal) {
    const sy__json_document *json = &hf->tokenizer.json;
    bool marks = false;
    v->kind = "llama";
    v->add_space_prefix = 0;
    v->has_scores = v->has_byte_tokens = true;
    for (uint32_t i = 0; i < normal->n; i++) {
        sy__json_index step = normal->items[i], type = type_of(hf, step);
        if (sy__json_is(json, type, "Prepend") &&
            is_mark(hf, sy__json_member(json, step, "prepend"))) {
            v->add_space_prefix = 1;
        } else if (sy__json_is(json, type, "Replace") &&
                   sy__json_is(json, sy__json_find(json, step, "pattern.String"), " ") &&
                   is_mark(hf, sy__json_member(json, step, "content"))) {
            marks = true;
        } else {
            return refuse(hf, "the normalizer", type);
        }
    }
    for (uint32_t i = 0; i < pre->n; i++) {
        sy__json_index step = pre->items[i], type = type_of(hf, step);
        bool never = sy__json_is(json, type, "Split") && marks && /* no space is left by then */
                     sy__json_is(json, sy__json_find(json, step, "pattern.String"), " ");
        if (sy__json_is(json, type, "Metaspace")) {
            marks = true;
            if (!read_metaspace(hf, v, step, false)) {
                return false;
            }
        } else if (!never) {
            return refuse(hf, "the pre-tokenizer", type);
        }
    }
    return marks || sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                                "tokenizer.json merges characters without marking spaces, which is "
                                "not supported.");
}

static int base64_digit(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static bool read_charsmap(sy__hf *hf, sy__hf_vocabulary *v, sy__json_index text) {
    const char *from = sy__hf_string(hf, &hf->tokenizer, text);
    size_t n = from != NULL ? strlen(from) : 0, n_out = 0;
    uint8_t *to = sy__arena_alloc(&hf->scratch, n / 4 * 3 + 4, 1);
    uint32_t bits = 0;
    if (to == NULL) {
        return sy__hf_no_memory(hf, "the normaliser of a tokenizer");
    }
    for (size_t i = 0; i < n && from[i] != '='; i++) {
        int digit = base64_digit(from[i]);
        if (digit < 0) {
            return sy__hf_fail(hf, SY_DATA_LOSS, "Fetch tokenizer.json again.",
                               "precompiled_charsmap of tokenizer.json is no base64.");
        }
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0) {
            to[n_out++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    v->charsmap = to;
    v->n_charsmap_bytes = n_out;
    return true;
}

static bool choose_unigram(sy__hf *hf, sy__hf_vocabulary *v, const step_list *pre,
                           const step_list *normal) {
    const sy__json_document *json = &hf->tokenizer.json;
    v->kind = "t5";
    v->has_scores = true;
    v->has_byte_tokens =
        sy__json_bool_of(json, sy__json_find(json, 0, "model.byte_fallback"), false);
    v->add_space_prefix = v->remove_whitespaces = 0;
    for (uint32_t i = 0; i < normal->n; i++) {
        sy__json_index step = normal->items[i], type = type_of(hf, step);
        if (sy__json_is(json, type, "Precompiled")) {
            if (!read_charsmap(hf, v, sy__json_member(json, step, "precompiled_charsmap"))) {
                return false;
            }
        } else if (sy__json_is(json, type, "Replace") &&
                   sy__json_is(json, sy__json_find(json, step, "pattern.Regex"), " {2,}")) {
            v->remove_whitespaces = 1;
        } else if (!sy__json_is(json, type, "Strip")) {
            return refuse(hf, "the normalizer", type);
        }
    }
    for (uint32_t i = 0; i < pre->n; i++) {
        sy__json_index step = pre->items[i], type = type_of(hf, step);
        if (sy__json_is(json, type, "WhitespaceSplit")) {
            v->remove_whitespaces = 1;
        } else if (!sy__json_is(json, type, "Metaspace")) {
            return refuse(hf, "the pre-tokenizer", type);
        } else if (!read_metaspace(hf, v, step, true)) {
            return false;
        }
    }
    return true;
}

static bool choose_wordpiece(sy__hf *hf, sy__hf_vocabulary *v, const step_list *pre,
                             const step_list *normal) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index prefix = sy__json_find(json, 0, "model.continuing_subword_prefix");
    v->kind = "bert";
    if (prefix != SY__JSON_NONE && !sy__json_is(json, prefix, "##")) {
        return refuse(hf, "continuing_subword_prefix", prefix);
    }
    if (normal->n != 1 || !sy__json_is(json, type_of(hf, normal->items[0]), "BertNormalizer")) {
        return refuse(hf, "the normalizer", type_of(hf, normal->n > 0 ? normal->items[0] : 0));
    }
    if (pre->n != 1 || !sy__json_is(json, type_of(hf, pre->items[0]), "BertPreTokenizer")) {
        return refuse(hf, "the pre-tokenizer", type_of(hf, pre->n > 0 ? pre->items[0] : 0));
    }
    sy__json_index step = normal->items[0];
    bool lower = sy__json_bool_of(json, sy__json_member(json, step, "lowercase"), true);
    bool strip = sy__json_bool_of(json, sy__json_member(json, step, "strip_accents"), lower);
    if (strip != lower ||
        !sy__json_bool_of(json, sy__json_member(json, step, "clean_text"), true) ||
        !sy__json_bool_of(json, sy__json_member(json, step, "handle_chinese_chars"), true)) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_kind,
                           "The BertNormalizer of tokenizer.json is none of the two usual ones "
                           "(cleaning and ideographs, with lower case and accents together).");
    }
    v->keeps_case = !lower;
    return true;
}

bool sy__hf_choose_kind(sy__hf *hf, sy__hf_vocabulary *vocabulary) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index type = sy__json_find(json, 0, "model.type");
    step_list pre, normal;
    if (!list_steps(hf, "pre_tokenizer", "pretokenizers", &pre) ||
        !list_steps(hf, "normalizer", "normalizers", &normal)) {
        return false;
    }
    if (sy__json_is(json, type, "Unigram")) {
        return choose_unigram(hf, vocabulary, &pre, &normal);
    }
    if (sy__json_is(json, type, "WordPiece")) {
        return choose_wordpiece(hf, vocabulary, &pre, &normal);
    }
    if (!sy__json_is(json, type, "BPE")) {
        return refuse(hf, "the model", type);
    }
    if (!check_bpe(hf)) {
        return false;
    }
    bool fallback = sy__json_bool_of(json, sy__json_find(json, 0, "model.byte_fallback"), false);
    return fallback ? choose_marks(hf, vocabulary, &pre, &normal)
                    : choose_bytes(hf, vocabulary, &pre, &normal);
}

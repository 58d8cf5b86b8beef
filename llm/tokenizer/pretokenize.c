/* SPDX-License-Identifier: Apache-2.0 */
/* The expressions are facts of the published tokenizers (their tokenizer.json). \s and \S are
 * spelled out as the property White_Space, which is what the original engines mean by them. */
#include "tokenizer/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#define WHITE                                                                       \
    "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"
#define SPACES "[" WHITE "]+(?![^" WHITE "])|[" WHITE "]+"
#define NEWLINES "[" WHITE "]*[\\r\\n]+|" SPACES
#define ENDINGS "'s|'t|'re|'ve|'m|'ll|'d"
#define SYMBOLS " ?[^" WHITE "\\p{L}\\p{N}]+"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

#define GPT2 ENDINGS "| ?\\p{L}+| ?\\p{N}+|" SYMBOLS "|" SPACES
#define LLAMA3 "(?i:" ENDINGS ")|" WORD "|\\p{N}{1,3}|" SYMBOLS "[\\r\\n]*|" NEWLINES
#define QWEN2 "(?i:" ENDINGS ")|" WORD "|\\p{N}|" SYMBOLS "[\\r\\n]*|" NEWLINES
#define QWEN35                                                                 \
    "(?i:" ENDINGS ")|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" WHITE \
    "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" NEWLINES
#define CASED(ending)                                                                             \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER \
    "*" ending
#define GPT4O CASED("(?i:" ENDINGS ")?") "|\\p{N}{1,3}|" SYMBOLS "[\\r\\n/]*|" NEWLINES
#define TEKKEN CASED("") "|\\p{N}|" SYMBOLS "[\\r\\n/]*|" NEWLINES
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define DEEPSEEK3                                            \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" \
    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" NEWLINES
/* DeepSeek LLM lists the letters of its day one by one. */
#define DEEPSEEK_LETTERS                                                                   \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"         \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}" \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"          \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"               \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"         \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"         \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}"         \
    "\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}" \
    "\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}"                   \
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}"         \
    "\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}"  \
    "\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"          \
    "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}" \
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}"          \
    "\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}"         \
    "\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}"         \
    "\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}" \
    "\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"
#define DEEPSEEK_CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define DEEPSEEK_MARKS \
    "[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"
#define BLOOM " ?[^(" WHITE "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define MARKS "[\\p{P}$+<=>^~|`]+"

static const sy__pre pre_tokenizers[] = {
    {.names = "default", .patterns = {MARKS, GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.names = "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum jais "
              "trillion granite-docling exaone4",
     .patterns = {GPT2}},
    {.names = "mpt olmo modern-bert", .patterns = {GPT2}, .nfc = true},
    {.names = "roberta-bpe jina-v1-en jina-v2-code", .patterns = {GPT2}, .add_ends = true},
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     .patterns = {LLAMA3},
     .ignore_merges = true,
     .add_bos = true},
    {.names = "dbrx smaug-bpe chatglm-bpe", .patterns = {LLAMA3}},
    {.names = "glm4 glm5", .patterns = {LLAMA3}, .ignore_merges = true},
    {.names = "qwen2 deepseek-r1-qwen megrez stablelm2 kormo f2llmv2",
     .patterns = {QWEN2},
     .nfc = true},
    {.names = "grok-2 hunyuan solar-open", .patterns = {QWEN2}},
    {.names = "qwen35", .patterns = {QWEN35}},
    {.names = "starcoder refact smollm codeshell exaone minerva-7b mellum2",
     .patterns = {"\\p{N}", GPT2}},
    {.names = "command-r", .patterns = {"\\p{N}", GPT2}, .nfc = true},
    {.names = "falcon", .patterns = {MARKS, GPT2, "[0-9][0-9][0-9]"}},
    {.names = "deepseek-llm",
     .patterns = {"[\\r\\n]", "[" WHITE "]?[" DEEPSEEK_LETTERS "]+", "[" WHITE "]?" DEEPSEEK_MARKS,
                  "[" WHITE "]+$", DEEPSEEK_CJK, "\\p{N}+"}},
    {.names = "deepseek-coder",
     .patterns = {"[\\r\\n]", "[" WHITE "]?\\p{L}+", "[" WHITE "]?\\p{P}+", DEEPSEEK_CJK,
                  "\\p{N}"}},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     .patterns = {"\\p{N}{1,3}", CJK, DEEPSEEK3}},
    {.names = "gpt-4o llama4 kanana2 minimax-m2 talkie", .patterns = {GPT4O}},
    {.names = "tekken", .patterns = {TEKKEN}, .ignore_merges = true, .add_bos = true},
    {.names = "bloom gpt3-finnish poro-chat", .patterns = {BLOOM}},
    {.names = "viking", .patterns = {BLOOM, "\\p{N}"}},
    {.names = "seed-coder",
     .patterns = {"(?i:" ENDINGS ")|" WORD "|\\p{N}| ?[^" WHITE "\\p{L}\\p{N}\\r\\n]+|" NEWLINES}},
    {.names = "bailingmoe bailingmoe2 llada-moe",
     .patterns = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^" WHITE
                  "\\p{L}\\p{N}]++[\\r\\n]*|[" WHITE "]*[\\r\\n]|" SPACES}},
    {.names = "gemma4 sarvam-moe", .patterns = {"[^\\n]+|[\\n]+"}, .raw = true},
};

const sy__pre *sy__pre_find(const char *name) {
    const char *wanted = name != NULL ? name : "default";
    size_t n = strlen(wanted);
    for (size_t i = 0; n > 0 && i < sizeof pre_tokenizers / sizeof pre_tokenizers[0]; i++) {
        const char *at = pre_tokenizers[i].names;
        while (at != NULL && *at != '\0') {
            const char *end = strchr(at, ' ');
            size_t length = end != NULL ? (size_t)(end - at) : strlen(at);
            if (length == n && memcmp(at, wanted, n) == 0) {
                return &pre_tokenizers[i];
            }
            at = end != NULL ? end + 1 : NULL;
        }
    }
    return NULL;
}

/* PCRE2 frees without a size: a header in front of each block keeps it. */
#define HEADER_BYTES SY__ALIGNMENT

static void *regex_allocate(size_t n_bytes, void *self) {
    const sy_allocator *allocator = self;
    if (n_bytes > SIZE_MAX - HEADER_BYTES) {
        return NULL;
    }
    char *block = sy__alloc_array(allocator, n_bytes + HEADER_BYTES, 1);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &n_bytes, sizeof n_bytes);
    return block + HEADER_BYTES;
}

static void regex_free(void *pointer, void *self) {
    const sy_allocator *allocator = self;
    if (pointer == NULL) {
        return;
    }
    char *block = (char *)pointer - HEADER_BYTES;
    size_t n_bytes = 0;
    memcpy(&n_bytes, block, sizeof n_bytes);
    sy__free_array(allocator, block, n_bytes + HEADER_BYTES, 1);
}

static sy_status compile(sy__regexes *regexes, const char *pattern, sy_error *error) {
    int code = 0;
    size_t offset = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(regexes->general);
    if (context == NULL) {
        return sy__no_memory(error, 0, "a pre-tokenizer");
    }
    pcre2_code *compiled = pcre2_compile(
        (PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
        PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (compiled == NULL && code == PCRE2_ERROR_HEAP_FAILED) {
        return sy__no_memory(error, 0, "a pre-tokenizer");
    }
    if (compiled == NULL) {
        return sy_error_set(error, SY_INTERNAL,
                            "PCRE2 refuses an expression of the pre-tokenizer (error %d at %zu).",
                            code, offset);
    }
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without it: the interpreter */
    regexes->codes[regexes->n_codes++] = compiled;
    return SY_OK;
}

sy_status sy__regexes_init(sy__regexes *regexes, const sy_allocator *allocator, const sy__pre *pre,
                           sy_error *error) {
    memset(regexes, 0, sizeof *regexes);
    void *self = NULL;
    memcpy(&self, &allocator, sizeof self); /* PCRE2 hands it back untouched */
    regexes->general = pcre2_general_context_create(regex_allocate, regex_free, self);
    regexes->context =
        regexes->general != NULL ? pcre2_match_context_create(regexes->general) : NULL;
    if (regexes->context == NULL) {
        sy__regexes_deinit(regexes);
        return sy__no_memory(error, 0, "a pre-tokenizer");
    }
    pcre2_set_match_limit(regexes->context, 100000000u); /* far above one pass over 1 GiB */
    pcre2_set_heap_limit(regexes->context, 65536u);      /* KiB */
    for (size_t i = 0; i < SY__PRE_PATTERNS && pre->patterns[i] != NULL; i++) {
        sy_status status = compile(regexes, pre->patterns[i], error);
        if (status != SY_OK) {
            sy__regexes_deinit(regexes);
            return status;
        }
    }
    return SY_OK;
}

void sy__regexes_deinit(sy__regexes *regexes) {
    for (uint32_t i = 0; i < regexes->n_codes; i++) {
        pcre2_code_free(regexes->codes[i]);
    }
    pcre2_match_context_free(regexes->context);
    pcre2_general_context_free(regexes->general);
    memset(regexes, 0, sizeof *regexes);
}

static bool add_end(const sy_allocator *allocator, sy__segments *segments, size_t end) {
    void *data = segments->data;
    bool good = sy__grow_array(allocator, &data, &segments->capacity, segments->n + 1,
                               sizeof *segments->data);
    segments->data = data;
    if (good) {
        segments->data[segments->n++] = (uint32_t)end;
    }
    return good;
}

static sy_status match_error(int code, sy_error *error) {
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT) {
        return sy__no_memory(error, 0, "the pre-tokenizer");
    }
    return sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                        "The pre-tokenizer gave up on this text (PCRE2 error %d).", code);
}

/* One pass over a text. */
typedef struct pass {
    const sy__regexes *regexes;
    const sy_allocator *allocator;
    const char *text;
    pcre2_match_data *match;
    sy__segments *out;
    sy_error *error;
    uint32_t i_code;
} pass;

static int find_match(const pass *p, const char *text, size_t n_bytes, size_t at) {
    pcre2_code *code = p->regexes->codes[p->i_code];
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int result = pcre2_match(code, subject, n_bytes, at, options, p->match, p->regexes->context);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
        result = pcre2_match(code, subject, n_bytes, at, options | PCRE2_NO_JIT, p->match,
                             p->regexes->context);
    }
    return result;
}

/* Cuts text[begin, end) with one expression; the text outside of it does not exist for it. */
static sy_status cut(const pass *p, size_t begin, size_t end) {
    size_t n = end - begin, at = 0;
    const size_t *found = pcre2_get_ovector_pointer(p->match);
    while (at < n) {
        int result = find_match(p, p->text + begin, n, at);
        if (result == PCRE2_ERROR_NOMATCH) {
            break;
        }
        if (result < 0) {
            return match_error(result, p->error);
        }
        if ((found[0] > at && !add_end(p->allocator, p->out, begin + found[0])) ||
            !add_end(p->allocator, p->out, begin + found[1])) {
            return sy__no_memory(p->error, 0, "the pieces of a text");
        }
        at = found[1];
    }
    if (at < n && !add_end(p->allocator, p->out, end)) {
        return sy__no_memory(p->error, 0, "the pieces of a text");
    }
    return SY_OK;
}

sy_status sy__regexes_cut(const sy__regexes *regexes, const sy_allocator *allocator,
                          const char *text, size_t n_bytes, sy__segments *out,
                          sy__segments *scratch, sy_error *error) {
    pcre2_match_data *match = pcre2_match_data_create(1, regexes->general);
    if (match == NULL) {
        return sy__no_memory(error, 0, "the pre-tokenizer");
    }
    pass p = {regexes, allocator, text, match, out, error, 0};
    out->n = 0;
    sy_status status =
        add_end(allocator, out, n_bytes) ? SY_OK : sy__no_memory(error, 0, "the pieces of a text");
    for (uint32_t i = 0; status == SY_OK && i < regexes->n_codes; i++) {
        sy__segments from = *out;
        *out = *scratch;
        *scratch = from;
        out->n = 0;
        p.i_code = i;
        size_t begin = 0;
        for (size_t k = 0; status == SY_OK && k < scratch->n; k++) {
            status = cut(&p, begin, scratch->data[k]);
            begin = scratch->data[k];
        }
    }
    pcre2_match_data_free(match);
    return status;
}

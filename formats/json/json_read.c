/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json_read.h"

#include "base/text.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_MAX ((1u << 28) - 1u)
#define NUMBER_BYTES_MAX 63u

typedef struct parser {
    sy__json_document *document;
    const uint8_t *bytes;
    uint32_t at, end;
    uint32_t depth;
    sy__json_index open[SY__JSON_DEPTH_MAX]; /* the arrays and objects around this place */
    sy_error *error;
    sy_status status;
} parser;

static bool fail(parser *p, sy_status status, const char *what) {
    p->status = sy_error_set(p->error, status, "The JSON text %s.", what);
    sy_error_hint(p->error, "The file is damaged or cut short; fetch it again.");
    sy_error_at(p->error, p->document->origin, p->at);
    return false;
}

static bool damaged(parser *p, const char *what) {
    return fail(p, SY_DATA_LOSS, what);
}

static void skip_blanks(parser *p) {
    while (p->at < p->end && (p->bytes[p->at] == ' ' || p->bytes[p->at] == '\n' ||
                              p->bytes[p->at] == '\t' || p->bytes[p->at] == '\r')) {
        p->at++;
    }
}

static sy__json_node *add_node(parser *p, sy__json_kind kind, uint32_t offset, uint32_t n_bytes) {
    sy__json_document *d = p->document;
    void *nodes = d->nodes;
    if (d->n_nodes >= UINT32_MAX - 1 ||
        !sy__grow_array(d->allocator, &nodes, &d->capacity, d->n_nodes + 1, sizeof(*d->nodes))) {
        p->status = sy__no_memory(p->error, (uint64_t)d->n_nodes * 2u * sizeof(*d->nodes),
                                  "the nodes of a JSON text");
        return NULL;
    }
    d->nodes = nodes;
    if (p->depth > 0) {
        sy__json_node *parent = &d->nodes[p->open[p->depth - 1]];
        if (parent->n_children == CHILDREN_MAX) {
            fail(p, SY_OUT_OF_RANGE, "has too many elements in one place");
            return NULL;
        }
        parent->n_children++;
    }
    sy__json_node *node = &d->nodes[d->n_nodes++];
    *node = (sy__json_node){.offset = offset,
                            .n_bytes = n_bytes,
                            .after = (uint32_t)d->n_nodes,
                            .kind = (uint32_t)kind & 7u};
    return node;
}

static int hex_digit(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four hexadecimal digits; -1 for anything else. */
static int32_t hex_word(const uint8_t *bytes, uint32_t n_bytes) {
    int32_t word = 0;
    for (uint32_t i = 0; i < 4; i++) {
        int digit = i < n_bytes ? hex_digit(bytes[i]) : -1;
        if (digit < 0) {
            return -1;
        }
        word = word * 16 + digit;
    }
    return word;
}

/* What follows a backslash: its length, and the character it means; 0 when it is no escape. */
static uint32_t read_escape(const uint8_t *bytes, uint32_t n_bytes, uint32_t *out_rune) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = n_bytes > 0 && bytes[0] != '\0' ? strchr(from, bytes[0]) : NULL;
    if (found != NULL) {
        *out_rune = (uint8_t)to[found - from];
        return 1;
    }
    if (n_bytes < 5 || bytes[0] != 'u') {
        return 0;
    }
    int32_t high = hex_word(bytes + 1, n_bytes - 1);
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff)) {
        return 0;
    }
    *out_rune = (uint32_t)high;
    if (high < 0xd800 || high > 0xdfff) {
        return 5;
    }
    int32_t low = n_bytes >= 11 && bytes[5] == '\\' && bytes[6] == 'u'
                      ? hex_word(bytes + 7, n_bytes - 7)
                      : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        return 0; /* half a character */
    }
    *out_rune = 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 11;
}

static bool parse_string(parser *p) {
    uint32_t start = ++p->at, rune = 0;
    bool escaped = false;
    for (;;) {
        if (p->at >= p->end) {
            return damaged(p, "ends inside of a string");
        }
        uint8_t c = p->bytes[p->at];
        if (c == '"') {
            break;
        }
        size_t length = 1;
        if (c < 0x20) {
            return damaged(p, "has a control character in a string");
        }
        if (c == '\\') {
            length = 1u + read_escape(p->bytes + p->at + 1, p->end - p->at - 1, &rune);
            escaped = true;
            if (length == 1) {
                return damaged(p, "has an escape that means nothing");
            }
        } else if (c >= 0x80) {
            length = sy__utf8_length(p->bytes + p->at, p->end - p->at);
            if (length == 0) {
                return damaged(p, "has bytes that are no UTF-8");
            }
        }
        p->at += (uint32_t)length;
    }
    sy__json_node *node = add_node(p, SY__JSON_STRING, start, p->at - start);
    if (node == NULL) {
        return false;
    }
    node->is_escaped = escaped;
    p->at++;
    return true;
}

static uint32_t skip_digits(parser *p) {
    uint32_t start = p->at;
    while (p->at < p->end && p->bytes[p->at] >= '0' && p->bytes[p->at] <= '9') {
        p->at++;
    }
    return p->at - start;
}

static bool next_is(const parser *p, const char *set) {
    return p->at < p->end && p->bytes[p->at] != '\0' && strchr(set, p->bytes[p->at]) != NULL;
}

static bool parse_number(parser *p) {
    uint32_t start = p->at;
    bool good = true;
    p->at += p->bytes[p->at] == '-';
    bool zero = next_is(p, "0");
    uint32_t n = skip_digits(p);
    good = n > 0 && !(zero && n > 1);
    if (good && next_is(p, ".")) {
        p->at++;
        good = skip_digits(p) > 0;
    }
    if (good && next_is(p, "eE")) {
        p->at++;
        p->at += next_is(p, "+-") ? 1u : 0u;
        good = skip_digits(p) > 0;
    }
    if (!good || p->at - start > NUMBER_BYTES_MAX) {
        return damaged(p, "has a malformed number");
    }
    return add_node(p, SY__JSON_NUMBER, start, p->at - start) != NULL;
}

static bool parse_word(parser *p) {
    static const struct {
        const char *text;
        sy__json_kind kind;
    } words[] = {{"null", SY__JSON_NULL}, {"false", SY__JSON_FALSE}, {"true", SY__JSON_TRUE}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint32_t n = (uint32_t)strlen(words[i].text);
        if (p->end - p->at >= n && memcmp(p->bytes + p->at, words[i].text, n) == 0) {
            p->at += n;
            return add_node(p, words[i].kind, p->at - n, n) != NULL;
        }
    }
    return damaged(p, "has something that is no value");
}

static bool open_container(parser *p, sy__json_kind kind) {
    if (p->depth == SY__JSON_DEPTH_MAX) {
        return fail(p, SY_OUT_OF_RANGE, "is nested more than 64 levels deep");
    }
    sy__json_node *node = add_node(p, kind, p->at, 0);
    if (node == NULL) {
        return false;
    }
    p->open[p->depth++] = (uint32_t)(node - p->document->nodes);
    p->at++;
    return true;
}

static void close_container(parser *p) {
    sy__json_node *node = &p->document->nodes[p->open[--p->depth]];
    p->at++;
    node->n_bytes = p->at - node->offset;
    node->after = (uint32_t)p->document->n_nodes;
}

/* One value, or the opening of one that contains others. */
static bool parse_value(parser *p) {
    if (p->at >= p->end) {
        return damaged(p, "ends where a value is wanted");
    }
    switch (p->bytes[p->at]) {
    case '{':
        return open_container(p, SY__JSON_OBJECT);
    case '[':
        return open_container(p, SY__JSON_ARRAY);
    case '"':
        return parse_string(p);
    default:
        return next_is(p, "-0123456789") ? parse_number(p) : parse_word(p);
    }
}

static bool parse_key(parser *p) {
    if (!next_is(p, "\"")) {
        return damaged(p, "has a member without a name");
    }
    if (!parse_string(p)) {
        return false;
    }
    skip_blanks(p);
    if (!next_is(p, ":")) {
        return damaged(p, "has a name without a colon");
    }
    p->at++;
    skip_blanks(p);
    return true;
}

/* Inside of a container: its end, or the next element. */
static bool parse_inside(parser *p) {
    const sy__json_node *node = &p->document->nodes[p->open[p->depth - 1]];
    bool is_object = node->kind == SY__JSON_OBJECT, is_first = node->n_children == 0;
    skip_blanks(p);
    if (next_is(p, is_object ? "}" : "]")) {
        close_container(p);
        return true;
    }
    if (!is_first) {
        if (!next_is(p, ",")) {
            return damaged(p, is_object ? "lacks a comma or '}'" : "lacks a comma or ']'");
        }
        p->at++;
        skip_blanks(p);
    }
    return (!is_object || parse_key(p)) && parse_value(p);
}

static bool parse_all(parser *p) {
    skip_blanks(p);
    bool good = parse_value(p);
    while (good && p->depth > 0) {
        good = parse_inside(p);
    }
    skip_blanks(p);
    return good && (p->at == p->end || damaged(p, "goes on behind its end"));
}

sy_status sy__json_parse(const sy_allocator *allocator, const char *bytes, uint64_t n_bytes,
                         const char *origin, sy__json_document *out_document, sy_error *error) {
    sy__json_document document = {
        .allocator = sy__allocator_or_heap(allocator), .bytes = bytes, .origin = origin};
    parser p = {.document = &document, .bytes = (const uint8_t *)bytes, .error = error};
    if (n_bytes > SY__JSON_BYTES_MAX) {
        fail(&p, SY_OUT_OF_RANGE, "is longer than 256 MiB");
        return p.status;
    }
    p.end = (uint32_t)n_bytes;
    if (!parse_all(&p)) {
        sy__json_document_deinit(&document);
        return p.status;
    }
    *out_document = document;
    return SY_OK;
}

void sy__json_document_deinit(sy__json_document *document) {
    sy__free_array(document->allocator, document->nodes, document->capacity,
                   sizeof(*document->nodes));
    *document = (sy__json_document){.allocator = document->allocator};
}

static const sy__json_node *node_at(const sy__json_document *d, sy__json_index i) {
    return i < d->n_nodes ? &d->nodes[i] : NULL;
}

sy__json_kind sy__json_kind_of(const sy__json_document *document, sy__json_index i) {
    const sy__json_node *node = node_at(document, i);
    return node != NULL ? (sy__json_kind)node->kind : SY__JSON_NULL;
}

uint32_t sy__json_n(const sy__json_document *document, sy__json_index i) {
    const sy__json_node *node = node_at(document, i);
    return node == NULL                    ? 0
           : node->kind == SY__JSON_OBJECT ? node->n_children / 2
                                           : node->n_children;
}

sy__json_index sy__json_first(const sy__json_document *document, sy__json_index i) {
    const sy__json_node *node = node_at(document, i);
    return node != NULL && node->n_children > 0 ? i + 1 : SY__JSON_NONE;
}

sy__json_index sy__json_next(const sy__json_document *document, sy__json_index i) {
    const sy__json_node *node = node_at(document, i);
    return node != NULL ? node->after : SY__JSON_NONE;
}

static size_t put_utf8(uint32_t rune, char *out) {
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    size_t n = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    static const uint32_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (rune & 0x3f));
        rune >>= 6;
    }
    out[0] = (char)(lead[n] | rune);
    return n;
}

/* Decodes what stands at *inout_at of a string into 4 bytes at most. */
static size_t decode_at(const char *text, uint32_t n_bytes, uint32_t *inout_at, char out[4]) {
    uint32_t rune = 0;
    if (text[*inout_at] != '\\') {
        out[0] = text[(*inout_at)++];
        return 1;
    }
    *inout_at +=
        1 + read_escape((const uint8_t *)text + *inout_at + 1, n_bytes - *inout_at - 1, &rune);
    return put_utf8(rune, out);
}

static bool text_is(const sy__json_document *d, sy__json_index i, const char *text, size_t n) {
    const sy__json_node *node = node_at(d, i);
    if (node == NULL || node->kind != SY__JSON_STRING) {
        return false;
    }
    const char *bytes = d->bytes + node->offset;
    if (!node->is_escaped) {
        return node->n_bytes == n && memcmp(bytes, text, n) == 0;
    }
    size_t n_same = 0;
    for (uint32_t at = 0; at < node->n_bytes;) {
        char out[4];
        size_t n_out = decode_at(bytes, node->n_bytes, &at, out);
        if (n_out > n - n_same || memcmp(out, text + n_same, n_out) != 0) {
            return false;
        }
        n_same += n_out;
    }
    return n_same == n;
}

static sy__json_index member(const sy__json_document *d, sy__json_index object, const char *name,
                             size_t n_name) {
    uint32_t n = sy__json_kind_of(d, object) == SY__JSON_OBJECT ? sy__json_n(d, object) : 0;
    sy__json_index key = sy__json_first(d, object);
    for (uint32_t i = 0; i < n; i++) {
        if (text_is(d, key, name, n_name)) {
            return sy__json_kind_of(d, key + 1) == SY__JSON_NULL ? SY__JSON_NONE : key + 1;
        }
        key = sy__json_next(d, key + 1);
    }
    return SY__JSON_NONE;
}

sy__json_index sy__json_member(const sy__json_document *document, sy__json_index object,
                               const char *name) {
    return member(document, object, name, strlen(name));
}

sy__json_index sy__json_find(const sy__json_document *document, sy__json_index object,
                             const char *path) {
    for (;;) {
        const char *dot = strchr(path, '.');
        object = member(document, object, path, dot != NULL ? (size_t)(dot - path) : strlen(path));
        if (dot == NULL || object == SY__JSON_NONE) {
            return object;
        }
        path = dot + 1;
    }
}

bool sy__json_is(const sy__json_document *document, sy__json_index i, const char *text) {
    return text_is(document, i, text, strlen(text));
}

bool sy__json_text(const sy__json_document *document, sy__json_index i, sy__arena *arena,
                   const char **out_bytes, size_t *out_n_bytes) {
    const sy__json_node *node = node_at(document, i);
    if (node == NULL || node->kind != SY__JSON_STRING) {
        return false;
    }
    const char *text = document->bytes + node->offset;
    if (!node->is_escaped) {
        *out_bytes = text;
        *out_n_bytes = node->n_bytes;
        return true;
    }
    char *copy = sy__arena_alloc(arena, (size_t)node->n_bytes + 1, 1); /* decoding only shortens */
    size_t n = 0;
    for (uint32_t at = 0; copy != NULL && at < node->n_bytes;) {
        n += decode_at(text, node->n_bytes, &at, copy + n);
    }
    *out_bytes = copy;
    *out_n_bytes = n;
    return copy != NULL;
}

bool sy__json_u64_of(const sy__json_document *document, sy__json_index i, uint64_t *out_number) {
    const sy__json_node *node = node_at(document, i);
    uint64_t number = 0;
    if (node == NULL || node->kind != SY__JSON_NUMBER) {
        return false;
    }
    for (uint32_t k = 0; k < node->n_bytes; k++) {
        char c = document->bytes[node->offset + k];
        if (c < '0' || c > '9' || number > (UINT64_MAX - 9) / 10) {
            return false;
        }
        number = number * 10 + (uint64_t)(c - '0');
    }
    *out_number = number;
    return true;
}

bool sy__json_f64_of(const sy__json_document *document, sy__json_index i, double *out_number) {
    const sy__json_node *node = node_at(document, i);
    char text[NUMBER_BYTES_MAX + 1];
    if (node == NULL || node->kind != SY__JSON_NUMBER) {
        return false;
    }
    memcpy(text, document->bytes + node->offset, node->n_bytes);
    text[node->n_bytes] = '\0';
    char *point = strchr(text, '.');
    if (point != NULL) { /* strtod reads what the process's locale writes */
        *point = localeconv()->decimal_point[0];
    }
    *out_number = strtod(text, NULL);
    return isfinite(*out_number);
}

bool sy__json_bool_of(const sy__json_document *document, sy__json_index i, bool otherwise) {
    sy__json_kind kind = sy__json_kind_of(document, i);
    return kind == SY__JSON_TRUE || (kind != SY__JSON_FALSE && otherwise);
}

sy_status sy__json_fail(const sy__json_document *document, sy__json_index i, sy_error *error,
                        sy_status status, const char *format, ...) {
    char message[SY_ERROR_MESSAGE_BYTES];
    const sy__json_node *node = node_at(document, i);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    sy_error_set(error, status, "%s", message);
    sy_error_at(error, document->origin, node != NULL ? node->offset : UINT64_MAX);
    return status;
}

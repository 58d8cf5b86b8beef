/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/blob_key.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

#define VALUE_SHOWN_MAX 32 /* of a field, where two are told apart */

static void add_u64(sy__sha256 *sha, uint64_t number) {
    sy__sha256_update(sha, &number, sizeof(number));
}

static void add_bytes(sy__sha256 *sha, const void *bytes, size_t n_bytes) {
    add_u64(sha, n_bytes);
    sy__sha256_update(sha, bytes, n_bytes);
}

static void add_indexes(sy__sha256 *sha, const uint32_t *indexes, uint32_t n) {
    add_bytes(sha, indexes, n * sizeof(uint32_t));
}

static void add_attribute(sy__sha256 *sha, const sy_attribute *attribute) {
    add_bytes(sha, attribute->name, strlen(attribute->name));
    add_u64(sha, attribute->type);
    switch (attribute->type) {
    case SY_ATTRIBUTE_STRING:
        add_bytes(sha, attribute->value.s, attribute->count);
        break;
    case SY_ATTRIBUTE_INTS:
        add_bytes(sha, attribute->value.ints, attribute->count * sizeof(int64_t));
        break;
    case SY_ATTRIBUTE_FLOATS:
        add_bytes(sha, attribute->value.floats, attribute->count * sizeof(double));
        break;
    default: /* INT, FLOAT: eight bytes of the union */
        add_bytes(sha, &attribute->value, sizeof(int64_t));
    }
}

static sy_status add_values(sy__sha256 *sha, const sy_graph_view *view, const uint32_t *values,
                            uint32_t n) {
    add_indexes(sha, values, n);
    for (uint32_t i = 0; i < n; i++) {
        sy_value_view value;
        if (values[i] == SY_NO_VALUE) {
            continue;
        }
        sy_status status = view->value(view->graph, values[i], &value);
        if (status != SY_OK) {
            return status;
        }
        const uint64_t facts[] = {value.kind, value.type, value.rank, value.data.length_bytes};
        sy__sha256_update(sha, facts, sizeof(facts));
        for (uint32_t d = 0; d < value.rank; d++) {
            const sy_dimension *dimension = &value.dims[d];
            const int64_t bounds[] = {dimension->bound, dimension->symbol, dimension->scale,
                                      dimension->offset};
            sy__sha256_update(sha, bounds, sizeof(bounds));
        }
    }
    return SY_OK;
}

static sy_status add_node(sy__sha256 *sha, const sy_graph_view *view, uint32_t i_node) {
    sy_node_view node;
    sy_status status = view->node(view->graph, i_node, &node);
    if (status != SY_OK) {
        return status;
    }
    add_u64(sha, i_node);
    add_bytes(sha, node.domain, strlen(node.domain));
    add_bytes(sha, node.op, strlen(node.op));
    add_u64(sha, node.version);
    add_u64(sha, node.n_attributes);
    for (uint32_t a = 0; a < node.n_attributes; a++) {
        add_attribute(sha, &node.attributes[a]);
    }
    status = add_values(sha, view, node.inputs, node.n_inputs);
    return status == SY_OK ? add_values(sha, view, node.outputs, node.n_outputs) : status;
}

sy_status sy__segment_digest(const sy_graph_view *view, const sy_segment *segment,
                             uint8_t out_digest[32]) {
    sy__sha256 sha;
    sy_status status = SY_OK;
    sy__sha256_init(&sha);
    add_u64(&sha, view->phase);
    add_bytes(&sha, view->typical, view->n_symbols * sizeof(int64_t));
    add_indexes(&sha, segment->inputs, segment->n_inputs);
    add_indexes(&sha, segment->outputs, segment->n_outputs);
    add_indexes(&sha, segment->states, segment->n_states);
    for (uint32_t i = 0; i < segment->n_nodes && status == SY_OK; i++) {
        status = add_node(&sha, view, segment->nodes[i]);
    }
    if (status == SY_OK) {
        sy__sha256_final(&sha, out_digest);
    }
    return status;
}

/* The contents of all weights that the segment reads, each once, as one digest. */
static sy_status weights_digest(const sy_allocator *allocator, const sy_delegate *delegate,
                                const sy_graph_view *view, const sy_segment *segment,
                                uint8_t out_digest[32]) {
    bool *is_read = sy__alloc_array(allocator, view->n_values, sizeof(bool));
    sy_status status = is_read != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED;
    for (uint32_t i = 0; i < segment->n_nodes && status == SY_OK; i++) {
        sy_node_view node;
        status = view->node(view->graph, segment->nodes[i], &node);
        for (uint32_t k = 0; status == SY_OK && k < node.n_inputs; k++) {
            if (node.inputs[k] != SY_NO_VALUE) {
                is_read[node.inputs[k]] = true;
            }
        }
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    const sy_host *host = &delegate->context->host;
    for (uint32_t v = 0; v < view->n_values && status == SY_OK; v++) {
        sy_value_view value;
        uint8_t digest[32];
        if (!is_read[v] || view->value(view->graph, v, &value) != SY_OK ||
            value.kind != SY_VALUE_WEIGHT) {
            continue;
        }
        status = host->weight_digest(host->context, view, v, digest);
        add_u64(&sha, v);
        sy__sha256_update(&sha, digest, sizeof(digest));
    }
    sy__free_array(allocator, is_read, view->n_values, sizeof(bool));
    if (status == SY_OK) {
        sy__sha256_final(&sha, out_digest);
    }
    return status;
}

/* One line; what could be taken for something else is written as %XX. */
static void add_field(sy__text *record, const char *field, const char *value) {
    sy__text_printf(record, "%s=", field);
    for (const char *c = value != NULL ? value : ""; *c != '\0'; c++) {
        bool is_plain = *c >= 0x20 && *c < 0x7f && *c != '%';
        sy__text_printf(record, is_plain ? "%c" : "%%%02X", is_plain ? *c : (unsigned char)*c);
    }
    sy__text_puts(record, "\n");
}

static void add_digest(sy__text *record, const char *field, const uint8_t digest[32]) {
    char hex[65];
    sy__digest_hex(digest, hex);
    add_field(record, field, hex);
}

/* Of the fields so far; nothing of use when one of them did not fit. */
static void digest_record(const sy__text *record, uint8_t out_digest[32]) {
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, record->bytes, record->bytes != NULL ? record->n_bytes : 0);
    sy__sha256_final(&sha, out_digest);
}

sy_status sy__blob_key_make(const sy_allocator *allocator, const sy_delegate *delegate,
                            const sy_graph_view *view, const sy_segment *segment,
                            sy__blob_key *key) {
    char numerics[16];
    sy__text *record = &key->record;
    sy__text_init(record, allocator, 0);
    snprintf(numerics, sizeof(numerics), "%u", segment->numerics);
    add_field(record, "plugin", delegate->plugin->name);
    add_field(record, "device", delegate->info.id);
    add_digest(record, "segment", key->segment);
    uint8_t kin[32];
    digest_record(record, kin);
    if (delegate->info.blobs == SY_BLOBS_WITH_WEIGHTS) {
        uint8_t weights[32];
        sy_status status = weights_digest(allocator, delegate, view, segment, weights);
        if (status != SY_OK) {
            return status;
        }
        add_digest(record, "weights", weights);
    }
    add_field(record, "numerics", numerics);
    add_field(record, "options", delegate->options);
    if (segment->options != NULL &&
        (delegate->options == NULL || strcmp(segment->options, delegate->options) != 0)) {
        add_field(record, "segment_options", segment->options);
    }
    digest_record(record, key->name);
    memcpy(key->name, kin, SY_BLOB_KIN_BYTES);
    char abi[16];
    snprintf(abi, sizeof(abi), "%u", SY_ABI_MAJOR);
    add_field(record, "abi", abi);
    add_field(record, "version", delegate->plugin->version);
    add_digest(record, "build", delegate->plugin->build_id);
    add_field(record, "soc", delegate->info.soc);
    add_field(record, "driver", delegate->info.driver);
    add_field(record, "firmware", delegate->info.firmware);
    return record->status;
}

void sy__blob_key_deinit(sy__blob_key *key) {
    if (key->record.allocator != NULL) {
        sy__text_deinit(&key->record);
    }
}

/* Value of a field, not terminated, and its length; NULL when the record lacks it. */
static const char *field_value(const char *record, const char *field, size_t n_field, int *out_n) {
    for (const char *line = record; *line != '\0';) {
        const char *end = strchr(line, '\n');
        end = end != NULL ? end : line + strlen(line);
        if ((size_t)(end - line) > n_field && memcmp(line, field, n_field) == 0 &&
            line[n_field] == '=') {
            *out_n = (int)(end - line - (ptrdiff_t)n_field - 1);
            return line + n_field + 1;
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return NULL;
}

static int at_most(int n, int most) {
    return n < most ? n : most;
}

bool sy__blob_differs(const char *kept, const char *wanted, char *text, size_t n_text) {
    size_t n = 0;
    bool differs = false;
    for (const char *line = wanted; *line != '\0';) {
        const char *equals = strchr(line, '='), *end = strchr(line, '\n');
        int n_field = (int)(equals - line), n_now = (int)(end - equals - 1), n_before = 0;
        const char *before = field_value(kept, line, (size_t)n_field, &n_before);
        if (before == NULL || n_before != n_now || memcmp(before, equals + 1, (size_t)n_now) != 0) {
            if (n < n_text) {
                n += (size_t)snprintf(
                    text + n, n_text - n, "%s%.*s was '%.*s' and is '%.*s'", differs ? ", " : "",
                    n_field, line, at_most(n_before, VALUE_SHOWN_MAX), before != NULL ? before : "",
                    at_most(n_now, VALUE_SHOWN_MAX), equals + 1);
            }
            differs = true;
        }
        line = end + 1;
    }
    return differs;
}

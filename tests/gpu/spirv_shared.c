/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/spirv_shared.h"

#include <stdlib.h>

enum { /* of the specification of SPIR-V */
       OP_TYPE_BOOL = 20,
       OP_TYPE_INT = 21,
       OP_TYPE_FLOAT = 22,
       OP_TYPE_VECTOR = 23,
       OP_TYPE_ARRAY = 28,
       OP_TYPE_POINTER = 32,
       OP_CONSTANT_TRUE = 41,
       OP_CONSTANT_FALSE = 42,
       OP_CONSTANT = 43,
       OP_SPEC_CONSTANT = 50,
       OP_SPEC_CONSTANT_OP = 52,
       OP_VARIABLE = 59,
       OP_DECORATE = 71,
       DECORATION_SPEC_ID = 1,
       STORAGE_WORKGROUP = 4
};

/* What is known of an id: a constant's value, or a type's bytes. */
typedef struct known {
    uint64_t number;
    uint32_t spec_id; /* + 1 */
    bool is_known;
} known;

static bool compute(uint32_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t *out) {
    uint32_t x = (uint32_t)a, y = (uint32_t)b;
    switch (op) {
    case 128:
        *out = x + y;
        return true;
    case 130:
        *out = x - y;
        return true;
    case 132:
        *out = x * y;
        return true;
    case 134:
        *out = y != 0 ? x / y : 0;
        return true;
    case 137:
        *out = y != 0 ? x % y : 0;
        return true;
    case 166:
        *out = x | y;
        return true;
    case 167:
        *out = x & y;
        return true;
    case 169:
        *out = a != 0 ? b : c;
        return true;
    case 170:
        *out = x == y;
        return true;
    case 171:
        *out = x != y;
        return true;
    case 172:
        *out = x > y;
        return true;
    case 174:
        *out = x >= y;
        return true;
    case 176:
        *out = x < y;
        return true;
    case 178:
        *out = x <= y;
        return true;
    case 194:
        *out = x >> (y & 31u);
        return true;
    case 196:
        *out = x << (y & 31u);
        return true;
    default:
        return false;
    }
}

/* at: an instruction of n words whose ids are all below the bound. */
static void read_one(known *ids, const uint32_t *at, uint32_t n, const uint32_t *constants,
                     uint32_t n_constants, uint64_t *inout_bytes, bool *inout_ok) {
    uint32_t op = at[0] & 0xffffu;
    if (op == OP_DECORATE && n >= 4 && at[2] == DECORATION_SPEC_ID) {
        ids[at[1]].spec_id = at[3] + 1;
    } else if (op == OP_TYPE_INT || op == OP_TYPE_FLOAT) {
        ids[at[1]] = (known){.number = at[2] / 8, .is_known = true};
    } else if (op == OP_TYPE_BOOL) {
        ids[at[1]] = (known){.number = 4, .is_known = true};
    } else if (op == OP_TYPE_VECTOR) {
        ids[at[1]] = (known){.number = ids[at[2]].number * at[3], .is_known = ids[at[2]].is_known};
    } else if (op == OP_TYPE_ARRAY) {
        ids[at[1]] = (known){.number = ids[at[2]].number * ids[at[3]].number,
                             .is_known = ids[at[2]].is_known && ids[at[3]].is_known};
    } else if (op == OP_TYPE_POINTER && at[2] == STORAGE_WORKGROUP) {
        ids[at[1]] = ids[at[3]];
    } else if (op == OP_CONSTANT_TRUE || op == OP_CONSTANT_FALSE) {
        ids[at[2]] = (known){.number = op == OP_CONSTANT_TRUE, .is_known = true};
    } else if (op == OP_CONSTANT || op == OP_SPEC_CONSTANT) {
        uint32_t spec_id = ids[at[2]].spec_id;
        bool is_given = op == OP_SPEC_CONSTANT && spec_id > 0 && spec_id <= n_constants;
        ids[at[2]].number = is_given ? constants[spec_id - 1] : at[3];
        ids[at[2]].is_known = true;
    } else if (op == OP_SPEC_CONSTANT_OP) {
        known *a = n > 4 ? &ids[at[4]] : NULL, *b = n > 5 ? &ids[at[5]] : NULL,
              *c = n > 6 ? &ids[at[6]] : NULL;
        ids[at[2]].is_known =
            a != NULL && b != NULL && a->is_known && b->is_known &&
            compute(at[3], a->number, b->number, c != NULL ? c->number : 0, &ids[at[2]].number);
    } else if (op == OP_VARIABLE && at[3] == STORAGE_WORKGROUP) {
        *inout_ok = *inout_ok && ids[at[1]].is_known;
        *inout_bytes += ids[at[1]].number;
    }
}

bool spirv_shared_bytes(const uint32_t *words, size_t n_words, const uint32_t *constants,
                        uint32_t n_constants, uint64_t *out_bytes) {
    uint64_t n_bytes = 0;
    bool ok = n_words > 5 && words[3] < 1u << 22;
    known *ids = ok ? calloc(words[3] + 1u, sizeof(*ids)) : NULL;
    for (size_t i = 5; ids != NULL && ok && i < n_words;) {
        uint32_t n = words[i] >> 16;
        ok = n > 0 && n <= n_words - i;
        if (ok) {
            read_one(ids, words + i, n, constants, n_constants, &n_bytes, &ok);
            i += n;
        }
    }
    free(ids);
    *out_bytes = n_bytes;
    return ok && ids != NULL;
}

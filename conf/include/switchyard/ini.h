/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of INI text, shared by the configuration and the plugin manifests, and the table
 * form in which both describe their keys. Strict means: what two readers could understand
 * differently is an error with its line, never a guess. See docs/configuration.md for the grammar.
 */
#ifndef SWITCHYARD_INI_H
#define SWITCHYARD_INI_H

#include "switchyard/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One "key = value" line. Strings live as long as the sy_ini. */
typedef struct sy_ini_entry {
    const char *section;
    const char *key;
    const char *value;
    uint32_t line;
} sy_ini_entry;

/* One "[name]" line. */
typedef struct sy_ini_section {
    const char *name;
    uint32_t line;
} sy_ini_section;

/* A text that was read: sections and entries in file order, no section or key twice. */
typedef struct sy_ini sy_ini;

/* Called for each problem found, so that one run can show them all. */
typedef void (*sy_ini_problem)(void *user, const sy_error *problem);

/* What a value must look like. */
typedef enum sy_ini_type {
    SY_INI_COUNT = 0,     /* whole number between least and most; a word of choices stands for 0 */
    SY_INI_NUMBER = 1,    /* decimal number between least and most */
    SY_INI_PERCENT = 2,   /* the same, an optional % behind it */
    SY_INI_BYTES = 3,     /* whole number and a unit: B, KiB, MiB, GiB */
    SY_INI_CHOICE = 4,    /* one of choices */
    SY_INI_TEXT = 5,      /* any text */
    SY_INI_NAME = 6,      /* [a-z0-9-], starts with a letter */
    SY_INI_SELECTOR = 7,  /* of delegates, see switchyard/policy.h */
    SY_INI_SELECTORS = 8, /* comma-separated, none twice */
    SY_INI_PATHS = 9,     /* comma-separated absolute paths */
    SY_INI_WORDS = 10,    /* comma-separated, each without spaces */
    SY_INI_SHA256 = 11,   /* 64 hexadecimal digits */
    SY_INI_ABI = 12,      /* major.minor */
    SY_INI_FILE = 13,     /* a file name without a folder */
    SY_INI_CPUS = 14,     /* none, performance, or CPUs as in 0-3, 6 */
    SY_INI_PATH = 15      /* one absolute path */
} sy_ini_type;

/* What a later layer may do to a value that an earlier layer set. */
typedef enum sy_ini_narrow {
    SY_INI_FREE = 0,      /* replace it: a preference */
    SY_INI_NOT_ABOVE = 1, /* lower it; for threads 0 means no limit */
    SY_INI_NOT_BELOW = 2, /* raise it */
    SY_INI_STRICTER = 3,  /* move to a later one of choices */
    SY_INI_FEWER = 4,     /* drop items or name more special ones, order kept */
    SY_INI_MORE = 5,      /* add items; those of earlier layers stay */
    SY_INI_KEEP = 6       /* nothing; only keys that were not set can be added */
} sy_ini_narrow;

/* One row of a schema. A section may end in " *" (a name follows), a key may hold one "*". */
typedef struct sy_ini_rule {
    const char *section;
    const char *key;
    sy_ini_type type;
    sy_ini_narrow narrow;
    double least, most;
    const char *choices;  /* "a|b|c", for STRICTER from loose to strict */
    const char *later;    /* values that a later version will know, "d|e", or NULL */
    const char *fallback; /* value when the key is absent, as text; NULL none */
    const char *about;    /* one sentence for the manual */
} sy_ini_rule;

typedef struct sy_ini_schema {
    const char *name; /* "configuration", "plugin manifest" */
    const sy_ini_rule *rules;
    uint32_t n_rules;
} sy_ini_schema;

/* Reads a text. Refuses: over 256 KiB, lines over 190 bytes, NUL and control characters, bytes that
 * are no UTF-8, a byte order mark, characters that reorder text, indented lines, keys without
 * section, empty values, comments behind a value, a section or key given twice. origin names it in
 * errors. problem may be NULL.
 * shape: -  unit: bytes  owner: caller, sy_ini_destroy; bytes are copied
 * errors: INVALID_ARGUMENT at origin:line, OUT_OF_RANGE over a limit, RESOURCE_EXHAUSTED
 * thread: any  cost: O(bytes + keys^2)  since: 0.1  source: docs/configuration.md */
SY_MUST_CHECK sy_status sy_ini_parse(const sy_allocator *allocator, const char *origin,
                                     const char *bytes, size_t n_bytes, sy_ini **out_ini,
                                     sy_error *error);

/* Opens and reads a regular file. With guarded != 0 the file must belong to root or the effective
 * user and must not be writable for group or others. Never blocks on a FIFO or a device.
 * shape: -  unit: -  owner: caller, sy_ini_destroy
 * errors: as sy_ini_parse; NOT_FOUND, PERMISSION_DENIED  thread: any  cost: reads the file
 * since: 0.1  source: docs/configuration.md */
SY_MUST_CHECK sy_status sy_ini_open(const sy_allocator *allocator, const char *path, int guarded,
                                    sy_ini **out_ini, sy_error *error);

/* Reads from an open descriptor of a regular file that stays open and belongs to the caller.
 * shape: -  unit: -  owner: caller, sy_ini_destroy  errors: as sy_ini_parse  thread: any
 * cost: reads the file  since: 0.1  source: docs/configuration.md */
SY_MUST_CHECK sy_status sy_ini_read(const sy_allocator *allocator, const char *origin, int fd,
                                    sy_ini **out_ini, sy_error *error);

/* Frees a text that was read. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_ini_destroy(sy_ini *ini);

/* Path or name it was read from.
 * shape: -  unit: -  owner: ini  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const char *sy_ini_origin(const sy_ini *ini);

/* Entries in file order, *out_n of them.
 * shape: [n]  unit: -  owner: ini  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_ini_entry *sy_ini_entries(const sy_ini *ini, uint32_t *out_n);

/* Sections in file order, *out_n of them.
 * shape: [n]  unit: -  owner: ini  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_ini_section *sy_ini_sections(const sy_ini *ini, uint32_t *out_n);

/* Value of a key, NULL when absent.
 * shape: -  unit: -  owner: ini  errors: NULL  thread: any  cost: O(entries)  since: 0.1
 * source: - */
const sy_ini_entry *sy_ini_find(const sy_ini *ini, const char *section, const char *key);

/* Checks every section, key and value against a schema. All problems go to `problem` (may be NULL),
 * the first one to error as well.
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT at origin:line with a hint,
 * UNIMPLEMENTED for values of a later version  thread: any  cost: O(entries x rules)  since: 0.1
 * source: docs/configuration.md */
SY_MUST_CHECK sy_status sy_ini_check(const sy_ini *ini, const sy_ini_schema *schema,
                                     sy_ini_problem problem, void *user, sy_error *error);

/* Row that describes a key, NULL when none does.
 * shape: -  unit: -  owner: schema  errors: NULL  thread: any  cost: O(rules)  since: 0.1
 * source: - */
const sy_ini_rule *sy_ini_rule_find(const sy_ini_schema *schema, const char *section,
                                    const char *key);

/* Checks one value against its row.
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT with a hint, UNIMPLEMENTED  thread: any
 * cost: O(value)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_ini_check_value(const sy_ini_rule *rule, const char *value,
                                           sy_error *error);

/* Number, percentage or size in bytes of a value that sy_ini_check_value passed; 0 otherwise.
 * shape: -  unit: of the key  owner: -  errors: 0  thread: any  cost: O(value)  since: 0.1
 * source: - */
double sy_ini_number(const sy_ini_rule *rule, const char *value);
uint64_t sy_ini_u64(const sy_ini_rule *rule, const char *value);

/* Index of value in choices "a|b|c", -1 when it is none of them.
 * shape: -  unit: -  owner: -  errors: -1  thread: any  cost: O(choices)  since: 0.1  source: - */
int32_t sy_ini_choice(const char *choices, const char *value);

/* Next item of a comma-separated list: *inout_cursor starts at the value; answers the item's first
 * byte and its length, NULL at the end. Blanks around items are dropped.
 * shape: -  unit: bytes  owner: points into the value  errors: NULL  thread: any  cost: O(item)
 * since: 0.1  source: - */
const char *sy_ini_item(const char **inout_cursor, size_t *out_n_bytes);

/* 1 when every delegate that selector `narrow` matches is surely matched by `wide` too: equal text,
 * a glob that covers it, a class word before "class-...", a name before "name:device".
 * shape: -  unit: -  owner: -  errors: none  thread: any  cost: O(text^2)  since: 0.1
 * source: docs/configuration.md */
int sy_ini_covers(const char *wide, const char *narrow);

/* Number of edits (insert, delete, replace, swap neighbours) between two words, for "did you mean";
 * 99 for words over 64 bytes.
 * shape: -  unit: edits  owner: -  errors: 99  thread: any  cost: O(a x b)  since: 0.1
 * source: - */
uint32_t sy_ini_distance(const char *a, const char *b);

#ifdef __cplusplus
}
#endif
#endif

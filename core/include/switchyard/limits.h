/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every limit of the runtime, with its reason. A limit bounds what a file, a plugin, a request or
 * an INI can make the process do; a request may only lower one.
 */
#ifndef SWITCHYARD_LIMITS_H
#define SWITCHYARD_LIMITS_H

/* Model files: bounds of reliability for hostile input, far above any real model. */
#define SY_LIMIT_METADATA_BYTES (256u << 20) /* tokenizers of 262144 entries take about 10 MiB */
#define SY_LIMIT_METADATA_KEYS 65536u
#define SY_LIMIT_TENSORS 65536u
#define SY_LIMIT_NAME_BYTES 127u          /* tensor and key names */
#define SY_LIMIT_STRING_BYTES (16u << 20) /* chat templates are some 10 KiB */
#define SY_LIMIT_ALIGNMENT_BYTES 65536u
#define SY_LIMIT_TENSOR_ELEMENTS (1ull << 40)
#define SY_LIMIT_VOCABULARY 1048576u
#define SY_LIMIT_TOKEN_BYTES 65535u

/* Graphs. */
#define SY_LIMIT_NODES 1000000u
#define SY_LIMIT_NODE_INPUTS 64u
#define SY_LIMIT_NODE_OUTPUTS 16u
#define SY_LIMIT_LAYERS 1024u

/* Configuration. inih 55 cuts lines at 199 bytes without an error: the pre-scan refuses first. */
#define SY_LIMIT_INI_BYTES (256u << 10)
#define SY_LIMIT_INI_LINE_BYTES 190u
#define SY_LIMIT_INI_KEYS 4096u

/* Plugins. */
#define SY_LIMIT_PLUGINS 64u
#define SY_LIMIT_PLUGIN_BYTES (256u << 20)
#define SY_LIMIT_DEVICES_PER_PLUGIN 16u
/* Devices that take part in one plan; a plan keeps sets of them in a 16-bit mask. */
#define SY_LIMIT_DELEGATES 16u

/* Sessions. */
#define SY_LIMIT_SESSION_TOKENS (1u << 24)
#define SY_LIMIT_SEQUENCES 256u
#define SY_LIMIT_WORKERS 256u

/* Adapters (LoRA): ranks in use go from 4 to 256, stacks of more than two are rare. */
#define SY_LIMIT_ADAPTER_RANK 1024u
#define SY_LIMIT_ADAPTERS_PER_SEQUENCE 4u
#define SY_LIMIT_ADAPTERS 64u

#endif

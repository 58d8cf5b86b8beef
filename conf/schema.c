/* SPDX-License-Identifier: Apache-2.0 */
/* Every section and key of the configuration, once: parsing, checking, narrowing and the manual all
 * read this table. */
#include "conf_internal.h"

#define U32_MOST 4294967295.0
#define SIZE_MOST 1125899906842624.0 /* 1 PiB */

static const sy_ini_rule rules[] = {
    {"order", "default", SY_INI_SELECTORS, SY_INI_FEWER, 0, 0, NULL, NULL, "npu, gpu, cpu",
     "Delegates in order of preference. Those not named come after all named ones, the reference "
     "delegate last of all."},

    {"policy", "mode", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "strict|prefer|cost", NULL, "prefer",
     "strict: the first delegate of the order that can run a node. prefer: a later one only when "
     "the whole plan gets cheaper by margin_pct. cost: the order only breaks ties within 1 %."},
    {"policy", "margin_pct", SY_INI_PERCENT, SY_INI_FREE, 0, 1000, NULL, NULL, "5",
     "How much cheaper a plan must get before it departs from the order, in mode prefer."},
    {"policy", "fallback", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "allow|warn|error", NULL, "error",
     "What happens when a delegate that was asked for by plugin name stays unused. Class words "
     "such as npu do not ask for a delegate."},
    {"policy", "energy_weight", SY_INI_NUMBER, SY_INI_FREE, 0, 1000, NULL, NULL, "0",
     "Microseconds that one microjoule is worth."},
    {"policy", "segment_min_us", SY_INI_NUMBER, SY_INI_FREE, 0, 1000000, NULL, NULL, "0",
     "Segments cheaper than this many microseconds do not get a launch of their own."},
    {"policy", "bias.*", SY_INI_NUMBER, SY_INI_FREE, 0.01, 100, NULL, NULL, NULL,
     "Multiplies the estimated time of the delegate that is named in [order] as written behind "
     "the dot; below 1 favours it."},

    {"pin", "operator.*", SY_INI_SELECTOR, SY_INI_FEWER, 0, 0, NULL, NULL, NULL,
     "Operators (a glob such as Softmax or switchyard.*) that run only on this delegate."},
    {"pin", "node.*", SY_INI_SELECTOR, SY_INI_FEWER, 0, 0, NULL, NULL, NULL,
     "Nodes (a glob over node names such as blk.3.*) that run only on this delegate."},

    {"forbid", "operator.*", SY_INI_SELECTORS, SY_INI_MORE, 0, 0, NULL, NULL, NULL,
     "Operators that never run on these delegates."},
    {"forbid", "node.*", SY_INI_SELECTORS, SY_INI_MORE, 0, 0, NULL, NULL, NULL,
     "Nodes that never run on these delegates."},

    {"budget", "*", SY_INI_BYTES, SY_INI_NOT_ABOVE, 0, SIZE_MOST, NULL, NULL, NULL,
     "Memory that a delegate may take for weights, states, arenas and scratch together; the key is "
     "a delegate as in [order], or total for the whole runtime. All that match apply."},

    {"require", "*", SY_INI_PERCENT, SY_INI_NOT_BELOW, 0, 100, NULL, NULL, NULL,
     "Share of the nodes of a model, in percent, that must run on this delegate."},

    {"failover", "mode", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "on|off", NULL, "on",
     "Whether other delegates go on where one is lost, hangs or fails (docs/failover.md). off: the "
     "call fails, and its sessions stand where they did."},
    {"failover", "rows", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "recompute|checkpoint|mirror", NULL,
     "recompute",
     "Where the states of a session come from when a delegate is lost with them. recompute: from "
     "its tokens. checkpoint: from a copy in host memory, made every checkpoint_tokens. mirror: "
     "from a copy that every step brings up to date."},
    {"failover", "checkpoint_tokens", SY_INI_COUNT, SY_INI_FREE, 1, 65536, NULL, NULL, "64",
     "Tokens from one checkpoint to the next."},
    {"failover", "shadow", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "off|on", NULL, "off",
     "Whether plans without each GPU or NPU are made when a model is loaded, and not when one is "
     "lost."},
    {"failover", "return", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "on|off", NULL, "on",
     "Whether a delegate that was lost is tried again."},
    {"failover", "trial_tolerance_pct", SY_INI_PERCENT, SY_INI_FREE, 0, 100, NULL, NULL, "5",
     "How far the results of a trial may differ, in percent of the largest one."},
    {"failover", "hang_multiple", SY_INI_NUMBER, SY_INI_FREE, 0, 1000000, NULL, NULL, "20",
     "A job of a GPU or NPU hangs when it takes so many times as long as predicted, or as its "
     "longest run before, and hang_floor_ms on top."},
    {"failover", "hang_floor_ms", SY_INI_COUNT, SY_INI_FREE, 0, 3600000, "off", NULL, "5000",
     "See hang_multiple. off (or 0): jobs may take as long as they like."},
    {"failover", "guard", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "off|outputs|crossing", NULL, "off",
     "Which values that a GPU or NPU made are looked at. outputs: results of the model. crossing: "
     "all that go to another delegate, too. One that is no finite number is a failure."},
    {"failover", "guard_limit", SY_INI_NUMBER, SY_INI_FREE, 0, 1e30, NULL, NULL, "0",
     "Largest magnitude of a sound value; 0: any finite number is."},
    {"failover", "backoff_ms", SY_INI_COUNT, SY_INI_FREE, 0, 86400000, NULL, NULL, "1000",
     "How long a delegate stays in quarantine after its first failure, twice as long after each "
     "further one."},
    {"failover", "backoff_most_ms", SY_INI_COUNT, SY_INI_FREE, 0, 86400000, NULL, NULL, "60000",
     "How long at most."},
    {"failover", "failures_most", SY_INI_COUNT, SY_INI_NOT_ABOVE, 1, 16, NULL, NULL, "3",
     "After so many failures within window_s a delegate is out until the process ends."},
    {"failover", "window_s", SY_INI_COUNT, SY_INI_FREE, 1, 86400, NULL, NULL, "600",
     "See failures_most."},
    {"failover", "probation_steps", SY_INI_COUNT, SY_INI_FREE, 0, 1000000, NULL, NULL, "64",
     "Steps without failure after which a delegate that came back counts as sound."},

    {"isolate", "mode", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "never", "untrusted|always", "never",
     "Which plugins run in a process of their own."},

    {"trust", "owner", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "root-or-self|root", NULL,
     "root-or-self", "Who must own a plugin, its manifest and every folder above them."},
    {"trust", "hashes", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "if-given|required", NULL, "if-given",
     "Whether a manifest must give the SHA-256 of its file. A hash that is given always counts."},
    {"trust", "signatures", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "off", "required", "off",
     "Whether a manifest must be signed."},
    {"trust", "extra_directories", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "allow|deny", NULL,
     "allow", "Whether flags, SWITCHYARD_PLUGIN_PATH and the application may add directories."},
    {"trust", "plugins", SY_INI_SELECTORS, SY_INI_FEWER, 0, 0, NULL, NULL, "*",
     "Names of the plugins that may be loaded."},

    {"runtime", "threads", SY_INI_COUNT, SY_INI_NOT_ABOVE, 0, 256, "auto", NULL, "auto",
     "Threads of the runtime, the caller's among them. auto (or 0): one per core that the process "
     "may use, fewer under a CPU quota of its control group."},
    {"runtime", "affinity", SY_INI_CPUS, SY_INI_FREE, 0, 0, NULL, NULL, "none",
     "Where the threads run. none: anywhere the process may. performance: on the fast cores of a "
     "processor that has two kinds. Or CPUs, as in 0-3, 6."},
    {"runtime", "spin_us", SY_INI_NUMBER, SY_INI_NOT_ABOVE, 0, 100000, NULL, NULL, "1000",
     "How long threads wait awake for more work, in microseconds, before they sleep. Less saves "
     "energy between tokens and costs some speed."},
    {"runtime", "log_level", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "debug|info|warning|error", NULL,
     "warning", "Least severity of events that reach the log."},
    {"runtime", "profile", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "off|on", NULL, "off",
     "Whether delegates are asked for times per node, over an experimental extension. Costs a "
     "little speed."},
    {"runtime", "kv_type", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "f32|f16|bf16|q8_0|q4_0", NULL, "f16",
     "Element type of the key and value states of a session."},
    {"runtime", "plugin_directories", SY_INI_PATHS, SY_INI_FEWER, 0, 0, NULL, NULL, NULL,
     "Directories that are searched for plugins, the first one wins. Absent: the directory that "
     "was fixed when Switchyard was built."},
    {"runtime", "plugin_directories.*", SY_INI_PATHS, SY_INI_FEWER, 0, 0, NULL, NULL, NULL,
     "More directories, searched after those of plugin_directories; the name behind the dot is "
     "free. For lists that do not fit into one line."},

    {"cache", "enabled", SY_INI_CHOICE, SY_INI_STRICTER, 0, 0, "on|off", NULL, "on",
     "Whether what delegates compile is kept in files, so that the next start compiles nothing. "
     "Concerns delegates that compile; a privileged process keeps nothing."},
    {"cache", "directory", SY_INI_PATH, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "Where: a directory of this user that nobody else may write; it is made when needed. Absent: "
     "switchyard/blobs in XDG_CACHE_HOME, else in ~/.cache."},
    {"cache", "limit_mib", SY_INI_COUNT, SY_INI_NOT_ABOVE, 1, 1048576, NULL, NULL, "512",
     "Most MiB of these files together; those that were not used for longest are removed."},

    {"delegate *", "*", SY_INI_TEXT, SY_INI_KEEP, 0, 0, NULL, NULL, NULL,
     "Options that are handed to the plugin of this name; its manifest lists them."},
};

static const sy_ini_schema schema = {"configuration", rules,
                                     (uint32_t)(sizeof(rules) / sizeof(rules[0]))};

const sy_ini_schema *sy_conf_schema(void) {
    return &schema;
}

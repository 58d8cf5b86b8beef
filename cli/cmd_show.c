/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard show: another word for describe. */
#include <verbs.h>

const char sy_cli_show_about[] = "the same as describe";

int sy_cli_show(int argc, char **argv) {
    return sy_cli_describe(argc, argv);
}

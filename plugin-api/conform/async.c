/* SPDX-License-Identifier: Apache-2.0 */
#include "conform/conform_internal.h"
void sy__conform_async(sy__conform *c) {
    (void)c;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Version of the runtime. The delegate ABI has its own number in sy_plugin.h. */
#ifndef SWITCHYARD_VERSION_H
#define SWITCHYARD_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

#define SY_VERSION_MAJOR 0
#define SY_VERSION_MINOR 1
#define SY_VERSION_PATCH 0
#define SY_VERSION_STRING "0.1.0"

/* Version of the library that is linked, as "major.minor.patch".
 * shape: -  unit: -  owner: static text  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: semantic versioning 2.0 */
const char *sy_version(void);

#ifdef __cplusplus
}
#endif
#endif

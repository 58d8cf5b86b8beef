/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that keeps what its delegates compile in a folder of the application. */
#include <switchyard/blob_files.h>
#include <switchyard/blob_store.h>
#include <switchyard/runtime.h>

#include <stdio.h>

int main(void) {
    sy_error error;
    sy_blob_files *files = NULL;
    const sy_blob_files_options keeping = {.struct_bytes = sizeof(keeping),
                                           .directory = "/tmp/switchyard-example-blobs",
                                           .limit_bytes = 64u << 20};
    if (sy_blob_files_create(&keeping, &files, &error) != SY_OK) {
        printf("%s\n", error.message);
        return 1;
    }
    const sy_blob_store *store = sy_blob_files_store(files);
    sy_runtime_options options;
    sy_runtime_options_default(&options);
    options.n_threads = 1;
    options.blobs = store;
    sy_runtime *runtime = NULL;
    sy_status status = sy_runtime_create(&options, &runtime, &error);
    if (status != SY_OK) {
        printf("%s\n", error.message);
    }
    /* Executors of this runtime look there first; sy_executor_blob tells what they found. Another
     * kind of store fills the same struct: */
    sy_kept_blob blob;
    const uint8_t name[SY_BLOB_NAME_BYTES] = {1};
    sy_status found = store->find(store->self, name, &blob, &error);
    printf("%s\n", found == SY_OK ? "kept by an earlier run" : sy_status_name(found));
    if (found == SY_OK) {
        store->give_back(store->self, &blob);
    }
    sy_runtime_destroy(runtime);
    sy_blob_files_destroy(files);
    return status == SY_OK ? 0 : 1;
}

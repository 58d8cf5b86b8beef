# SPDX-License-Identifier: Apache-2.0
# Cross builds take what the target's sysroot has: a folder whose libraries are missing there is left
# out and said so, and so are the tests that link it. SY_LEFT_OUT is the list of folders.
set(SY_LEFT_OUT)
function(sy_leave_out reason)
    foreach(folder IN LISTS ARGN)
        if(NOT folder IN_LIST SY_LEFT_OUT)
            message(STATUS "left out: ${folder} (${reason})")
            list(APPEND SY_LEFT_OUT ${folder})
        endif()
    endforeach()
    set(SY_LEFT_OUT ${SY_LEFT_OUT} PARENT_SCOPE)
endfunction()

find_library(SY_TARGET_INIH NAMES inih)
find_library(SY_TARGET_PCRE2 NAMES pcre2-8)
find_library(SY_TARGET_UTF8PROC NAMES utf8proc)
if(NOT SY_TARGET_INIH)
    sy_leave_out("the target has no inih" conf registry cli)
endif()
if(NOT SY_TARGET_PCRE2 OR NOT SY_TARGET_UTF8PROC)
    sy_leave_out("the target has no pcre2 or utf8proc" llm cli)
endif()

# SPDX-License-Identifier: Apache-2.0
# The CMakeLists.txt of somebody who uses the package; install_test.py copies it.
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(switchyard 0.1 REQUIRED)
add_executable(example example.c)
target_link_libraries(example PRIVATE switchyard::switchyard)

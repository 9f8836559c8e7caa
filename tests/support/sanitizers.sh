#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced: how programs built with sanitizers run under MPI.

# Open MPI unloads its plugins before the leak check, so that only whole call stacks, which the
# fast unwinder does not give, still show which library leaked. Memory that is not to be had is
# an error to be reported, as without sanitizers.
ASAN_OPTIONS="fast_unwind_on_malloc=0:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
LSAN_OPTIONS="suppressions=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
export ASAN_OPTIONS LSAN_OPTIONS

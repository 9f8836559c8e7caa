#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mpirun.sh RANKS PROGRAM [ARGS...]: launch/mpirun.sh for tests. Sets up the sanitizers, takes no
# input, and ends a hanging job in order (all ranks) a little before ctest would kill mpirun alone.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/support/sanitizers.sh
. "$here/sanitizers.sh"

exec timeout --kill-after=10 "${HASHEP_MPI_TIMEOUT:-280}" \
  "$here/../../launch/mpirun.sh" "$@" </dev/null

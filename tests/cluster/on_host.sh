#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# on_host.sh HOST WORDS...: inside a virtual cluster, runs a command on one of its hosts. mpirun calls
# it as it would call ssh: the words together are one line for the shell over there.
set -euo pipefail

holder=HASHEP_CLUSTER_$1
shift
# Entering a host's mounts leads out of the working folder.
exec nsenter --target "${!holder}" --net --uts --ipc --mount \
  bash -c "cd ${PWD@Q} && { $*; }"

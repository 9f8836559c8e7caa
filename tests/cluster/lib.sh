#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # what the tests use
# Helpers of the tests of the virtual cluster, beside those of the program; sourced with
# HASHEP MAKE_MODEL CHECK_JSON [CLUSTER_PROBE EXPECTED_TRAFFIC]. Ends the test with 77 where no cluster can be made.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../launch/lib.sh"

probe=${4:-}
expected_traffic=${5:-}
virtual_cluster=$here/../cluster/virtual_cluster.sh
export HASHEP_MPI_TIMEOUT=100

# start OPTIONS...: begins virtual_cluster.sh with these; $job is its process id.
start() {
  : >stdout.txt
  # Not as bash starts what is in the background: deaf to Ctrl-C.
  env --default-signal=INT,HUP CLUSTER_TEST=$$ "$virtual_cluster" "$@" >stdout.txt 2>stderr.txt &
  job=$!
}

has_ended() {
  ! kill -0 "$job" 2>/dev/null
}

# on_cluster OPTIONS...: the same to the end. The exit code is left in $code.
on_cluster() {
  start "$@"
  code=0
  wait "$job" || code=$?
}

# of HOST KEY: a number of sent.json, from --count-bytes.
of() {
  sed -n "s/.*\"host\": \"$1\".*\"$2\": \([0-9]*\).*/\1/p" sent.json
}

# The processes of clusters that this test started.
cluster_processes() {
  grep -lzsx "CLUSTER_TEST=$$" /proc/[0-9]*/environ
}

on_cluster -- true
if [ $code = 77 ]; then
  cat stdout.txt
  exit 77
elif [ $code != 0 ]; then
  complain "a cluster: exit code $code"
  exit 1
fi

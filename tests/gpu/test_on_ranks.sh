#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_on_ranks.sh RANKS PROGRAM: runs a test program on several ranks, with what its other ranks wrote
# of failures, also where it is ended before it is done. Exit code 77: skipped, as there is no GPU.
set -uo pipefail
if [ $# != 2 ]; then
  echo "Usage: ${0##*/} RANKS PROGRAM" >&2
  exit 2
fi
launcher=$(realpath "$(dirname "$0")/../../launch/mpirun.sh")
program=$(realpath "$2")
folder=$(mktemp -d)
cd "$folder" || exit 1

code=143
# shellcheck disable=SC2317 # the trap calls it
tell() {
  if [ "$code" != 77 ]; then cat stderr.txt; fi
  if [ "$code" != 0 ] && [ "$code" != 77 ]; then tail -n 40 ./*.log 2>/dev/null; fi
  cat stdout.txt
  rm -rf "$folder"
}
trap tell EXIT
trap 'kill "$job"; exit 143' TERM INT

"$launcher" "$1" "$program" >stdout.txt 2>stderr.txt &
job=$!
wait "$job"
code=$?
exit "$code"

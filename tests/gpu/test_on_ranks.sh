#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_on_ranks.sh RANKS PROGRAM: runs a test program on several ranks, with what its other ranks wrote
# of failures. Exit code 77: skipped, as there is no GPU.
set -uo pipefail
if [ $# != 2 ]; then
  echo "Usage: ${0##*/} RANKS PROGRAM" >&2
  exit 2
fi
launcher=$(realpath "$(dirname "$0")/../../launch/mpirun.sh")
program=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

code=0
"$launcher" "$1" "$program" >stdout.txt 2>stderr.txt || code=$?
if [ "$code" = 77 ]; then
  cat stdout.txt
  exit 77
fi
cat stderr.txt
if [ "$code" != 0 ]; then tail -n 40 ./*.log 2>/dev/null; fi
cat stdout.txt
exit "$code"

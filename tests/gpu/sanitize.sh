#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sanitize.sh TOOL PROGRAM: runs the cases tagged [small] of a GPU test under a tool of compute-sanitizer
# (memcheck, racecheck, initcheck). Fails where the tool or the test finds something, and where the
# test saw no GPU. Exit code 77: skipped, as the program has no such case or the tool does not know the
# device. The last line says how it went.
set -uo pipefail

if [ $# != 2 ]; then
  echo "Usage: ${0##*/} TOOL PROGRAM" >&2
  exit 2
fi
tool=$1 program=$2 name=${2##*/}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
compute-sanitizer --tool "$tool" --error-exitcode 1 "$program" '[small]' 2>&1 | tee "$log" || code=$?
echo
if grep -q 'No test cases matched' "$log"; then
  echo "skipped: $name has no case tagged [small]"
  exit 77
elif grep -q 'Device not supported' "$log"; then
  echo "skipped: compute-sanitizer does not support this device"
  exit 77
elif [ "$code" = 77 ]; then
  echo "it saw no GPU"
  exit 1
elif [ "$code" != 0 ]; then
  summary=$(grep -oE '(ERROR|RACECHECK) SUMMARY: .*' "$log" | tail -n 1)
  echo "${summary:-no summary of the tool}, exit code $code"
  exit 1
fi
echo "nothing found"

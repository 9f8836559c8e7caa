#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sanitize.sh TOOL PROGRAM...: runs the cases tagged [small] of GPU tests under a tool of
# compute-sanitizer (memcheck, racecheck, initcheck). Fails where the tool or a test finds something,
# where no case ran, and where a test saw no GPU. The last line says how it went.
set -uo pipefail

if [ $# -lt 2 ]; then
  echo "Usage: ${0##*/} TOOL PROGRAM..." >&2
  exit 2
fi
tool=$1
shift

log=$(mktemp)
trap 'rm -f "$log"' EXIT
ran=0
failed=()
for program in "$@"; do
  name=${program##*/}
  printf '\n== compute-sanitizer --tool %s %s\n' "$tool" "$name"
  code=0
  compute-sanitizer --tool "$tool" --error-exitcode 1 "$program" '[small]' 2>&1 | tee "$log" || code=$?
  if grep -q 'No test cases matched' "$log"; then
    echo "$name has no case tagged [small]"
  elif [ "$code" = 77 ]; then
    failed+=("$name (saw no GPU)")
  elif [ "$code" != 0 ]; then
    failed+=("$name ($(grep -hoE '(ERROR|RACECHECK) SUMMARY: .*' "$log" | tail -n 1 || true), exit code $code)")
  else
    ran=$((ran + 1))
  fi
done

echo
if [ ${#failed[@]} -gt 0 ]; then
  echo "$tool: ${failed[*]}"
  exit 1
fi
echo "$tool: nothing found in $ran of $# programs"
[ "$ran" -gt 0 ]

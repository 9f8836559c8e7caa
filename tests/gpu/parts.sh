#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2154 # what run.sh reads and has set
# How run.sh runs a part and notes how it ended. Sourced by it.

# row RESULT PART SECONDS WORDS: notes how a part ended, and shows it.
row() {
  local words
  words=$(tr '\t\r\n' '   ' <<<"$4")
  printf '%s\t%s\t%s\t%.160s\n' "$1" "$2" "$3" "$words" >>"$work/parts"
  printf '%-8s %-36s %4s s  %.160s\n' "$1" "$2" "$3" "$words"
  if [ "$1" = FAILED ]; then failed=1; fi
}

# closing_words LOG: what says best how a part ended, ctest's count or the last line; and what was left
# out.
closing_words() {
  local count skipped left_out
  count=$(grep -E '^[0-9]+% tests passed' "$1" | tail -n 1)
  skipped=$(grep -c '\*\*\*Skipped' "$1")
  left_out=$(grep -m 1 '^left out: ' "$1")
  if [ -z "$count" ]; then
    grep -v '^[[:space:]]*$' "$1" | tail -n 1
  else
    echo "$count, $skipped skipped"
  fi
  if [ -n "$left_out" ]; then echo "($left_out)"; fi
}

# ipc_is_refused LOG: a program found out, before it used it, that ranks here cannot map each other's GPU
# memory. (An error of CUDA IPC later on is a failure.)
ipc_is_refused() {
  grep -q "error: --transport [a-z]*: GPUs of a node do not reach each other's memory" "$1"
}

# part NAME LIMIT COMMAND...: runs a part for at most LIMIT seconds, and more with a larger budget.
# Its output goes to the log and to $part_log. True if it passed. $on_failure: what a failure is
# called, FAILED if not told.
part_log=$work/part.log
running=''
no_ipc=''
part() {
  local name=$1 limit=$2 begin=$SECONDS code=0 words bad=${on_failure:-FAILED}
  shift 2
  if ((budget > usual_budget)); then limit=$((limit * budget / usual_budget)); fi
  if ((limit > deadline - SECONDS)); then limit=$((deadline - SECONDS)); fi
  printf '\n==== %s, at most %d s: %s\n' "$name" "$limit" "$*" >>"$log"
  if ((limit < 5)); then
    echo "not run" >>"$log"
    row "$bad" "$name" 0 "not run: the time for all parts was up; once more, as the build is kept"
    return 1
  fi
  timeout --kill-after=10 "$limit" "$@" </dev/null >"$part_log" 2>&1 &
  running=$!
  wait "$running" || code=$?  # unlike the command itself, a wait ends when a signal comes
  running=''
  cat "$part_log" >>"$log"
  words=$(closing_words "$part_log")
  if [ "$code" = 0 ]; then
    if [[ $words =~ \ out\ of\ ([0-9]+),\ ([0-9]+)\ skipped$ && ${BASH_REMATCH[1]} = "${BASH_REMATCH[2]}" ]]; then
      row skipped "$name" $((SECONDS - begin)) "all of them: $words"
    else
      row passed "$name" $((SECONDS - begin)) "$words"
    fi
  elif [ "$code" = 77 ] && [ -n "$gpu" ] && grep -q '^skipped: no GPU' "$part_log"; then
    row FAILED "$name" $((SECONDS - begin)) "it saw no GPU: $words"
  elif [ "$code" = 77 ]; then
    row skipped "$name" $((SECONDS - begin)) "$words"
  elif [ "$code" = 124 ] || [ "$code" = 137 ]; then
    row "$bad" "$name" $((SECONDS - begin)) "stopped after its limit of $limit s; it said last: $words"
  elif ipc_is_refused "$part_log"; then
    no_ipc=1
    row skipped "$name" $((SECONDS - begin)) "CUDA IPC is refused here: GPUs of a node do not reach each other's memory"
  else
    row "$bad" "$name" $((SECONDS - begin)) "exit code $code: $words"
    tail -n 15 "$part_log" | sed 's/^/         | /'
  fi
  return "$code"
}

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hashep-bench scale on some ranks: a row for each size, losses that add up, bad input refused by all
# ranks, whichever group of them has met it.
# shellcheck disable=SC2154 # set by the library
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
bench=$hashep
tiny=(--num-experts 10 --hidden-size 24 --ffn-size 16 --vocab-size 512 -n 2 -w 1 --deadline 60)

# scale_on N ARGS...: hashep-bench scale on N ranks, which must be well; the JSON is in out/r.json.
scale_on() {
  local count=$1
  shift
  rm -f out/r.json
  on_ranks "$count" "$bench" scale "${tiny[@]}" "$@" -J out/r.json
  check "np=$count: $*: exit code $code" [ "$code" = 0 ]
  check "np=$count: $*: wrote to stderr" [ -z "$(own_lines)" ]
  check "np=$count: $*: result JSON" "$check_json" scale out/r.json "$count"
}

# rows: "mode ranks tokens/rank" of each line of the table, where a star is left out.
rows() {
  awk '/^(strong|weak) / { sub(/\*/, "", $3); print $1, $3, $4 }' stdout.txt | paste -sd ,
}

# expect ROWS...: the table has these rows.
expect() {
  local wanted
  wanted=$(printf '%s\n' "$@" | paste -sd ,)
  check "rows are $(rows), expected $wanted" [ "$(rows)" = "$wanted" ]
}

scale_on 1 --tokens-per-rank 8 --repeats 1
expect "strong 1 8" "weak 1 8"
scale_on 2 --tokens-per-rank 36 --top-k 2 --repeats 2
expect "strong 1 72" "strong 2 36" "weak 1 36" "weak 2 36"
check "a line for each of three points in two repeats" [ "$(grep -c '^# repeat' stdout.txt)" = 6 ]
check "bars" [ "$(grep -cE '\|[=ixgo ]{40}\|$' stdout.txt)" = 4 ]
scale_on 3 --tokens-per-rank 4 --repeats 1 --score sqrtsoftplus --transport mpi
expect "strong 1 12" "strong 2 6" "strong 3 4" "weak 1 4" "weak 2 4" "weak 3 4"
if [ "$(nproc)" -lt 3 ]; then
  check "ranks that share cores" [ "$(grep -cE '^# note: .*outnumber' stdout.txt)" = 1 ]
  check "ranks that share cores: a star" [ "$(grep -cE '^(strong|weak) .* 3\*' stdout.txt)" = 2 ]
fi
scale_on 3 --mode weak --ranks 3,1 --tokens-per-rank 5 --experts-per-rank 2 --repeats 1
expect "weak 1 5" "weak 3 5"
check "experts grow" grep -qE '"num_experts": 6' out/r.json
scale_on 2 --mode strong --batch-tokens 10 --repeats 1 --dtype fp32,bf16
expect "strong 1 10" "strong 2 5" "strong 1 10" "strong 2 5"
head -c 64 /dev/zero >ids.bin
scale_on 2 --tokens ids.bin --tokens-per-rank 8 --repeats 1 --mode weak
expect "weak 1 8" "weak 2 8"

# bad N TEXT ARGS...: refused with one line that holds TEXT, and nothing left behind.
bad() {
  rm -rf out/*
  on_ranks "$1" "$bench" scale "${tiny[@]}" "${@:3}" -J out/r.json
  check "np=$1: ${*:3}: exit code $code, expected 2" [ "$code" = 2 ]
  check "np=$1: ${*:3}: expected one error line with '$2'" one_error_with "$2"
  check "np=$1: ${*:3}: left $(ls -A out)" nothing_left
}
bad 2 "--ranks 3: there are 2 ranks" --ranks 1,3
bad 3 "15: does not divide evenly among 2 ranks" --tokens-per-rank 5
bad 1 "--top-k 3" --experts-per-rank 2 --top-k 3
bad 1 "--mode" --mode odd
bad 1 "--repeats" --repeats 0
bad 1 "--ranks" --ranks 0
bad 1 "known transports are" --transport udp
# Of two ranks, the one that measures alone first meets it.
bad 2 "a batch has at most" --mode weak,strong --tokens-per-rank 1 --top-k 10 --batch-tokens 8G

finish

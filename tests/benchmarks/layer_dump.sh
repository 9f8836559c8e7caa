#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hashep-bench layer --dump: what it writes, against a reference in numpy, and what it refuses.
# shellcheck disable=SC2154 # set by the library
# shellcheck source=tests/benchmarks/dump_lib.sh
. "$(dirname "$0")/dump_lib.sh"
need numpy "package python3-numpy"
reference=$here/../reference/check_layer_dump.py

for np in 1 2 3; do
  for dtype in fp32 bf16; do
    dump $np --dtype $dtype
    check "np=$np: $dtype: reference" "$python" "$reference" out/dump $np
  done
done
dump 2
plant
check "a planted weight was not seen" [ "$("$python" "$reference" out/dump 2 >&2; echo $?)" = 1 ]

# refused TEXT ARGS...: with one line that holds TEXT, and nothing left behind.
refused() {
  rm -rf out/*
  on_ranks 2 "$bench" layer --hidden-size 8 --tokens-per-rank 8 -n 1 -w 0 "${@:2}" -J out/r.json
  check "${*:2}: exit code $code, expected 2" [ "$code" = 2 ]
  check "${*:2}: expected one error line with '$1'" one_error_with "$1"
  check "${*:2}: left $(ls -A out)" nothing_left
}
refused "one --ffn-size and one --dtype" --ffn-size 8,16 --dump out
refused "one --ffn-size and one --dtype" --ffn-size 8 --dtype fp32,bf16 --dump out
refused "out/nosuch/rank-" --ffn-size 8 --dump out/nosuch

finish

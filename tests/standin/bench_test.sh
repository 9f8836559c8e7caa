#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_test.sh HASHEP_BENCH MAKE_MODEL CHECK_JSON: `hashep-bench exchange --device cuda`, its GPUs
# being the stand-in: every row is there and checked, the JSON has its shape, bad input is refused.
# Times mean nothing here.
# shellcheck disable=SC2034,SC2154 # what the library reads and sets
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
bench=$hashep
speaker="hashep-bench"
export HASHEP_STANDIN_GPUS=3

tiny=(exchange --device cuda --num-experts 10 --vocab-size 512 -n 2 -w 1)

# bench_on N ARGS...: on N ranks, which must be well; the JSON is left in out/r.json.
bench_on() {
  local count=$1
  shift
  rm -f out/r.json
  on_ranks "$count" "$bench" "${tiny[@]}" "$@" --deadline 60 -J out/r.json
  check "np=$count: $*: exit code $code" [ "$code" = 0 ]
  check "np=$count: $*: wrote to stderr" [ -z "$(own_lines)" ]
  check "np=$count: $*: result JSON" "$check_json" exchange out/r.json "$count"
  check "np=$count: $*: #wrong is $(column 12)" [ "$(column 12)" = 0 ]
}

# Columns of a line: 1 tokens, 3 dtype, 4 direction, 5 by, 12 #wrong, 16 /nccl, 17 %copy.
column() {
  awk -v column="$1" '/^[^#]/ { print $column }' stdout.txt | LC_ALL=C sort -u | paste -sd ' '
}

# bys WORDS: the transports and yardsticks that there must be lines of.
bys() {
  check "lines of $(column 5)" [ "$(column 5)" = "$1" ]
}

for np in 1 2 3; do
  names="alltoallv copy_bound hier ipc nccl nccl_alltoall pack_alltoallv_unpack"
  [ $np = 1 ] && names="${names/ipc/ipc local}"
  for top_k in 1 6; do
    bench_on $np --hidden-size 24 --tokens-per-rank 37 --top-k $top_k --dtype fp32,bf16
    bys "$names"
    check "np=$np: dtypes are $(column 3)" [ "$(column 3)" = "bf16 fp32" ]
    check "np=$np: directions are $(column 4)" [ "$(column 4)" = "combine copy dispatch equal" ]
    check "np=$np: footer" grep -qx '# Out of bounds values : 0 OK' stdout.txt
    check "np=$np: two columns more" [ "$(awk '/^[^#]/ { print NF }' stdout.txt | sort -u)" = 17 ]
    check "np=$np: GPUs" [ "$(grep -cE '^# rank [0-9]: host .* GPU [0-9] stand-in' stdout.txt)" = $np ]
    check "np=$np: device" [ "$(grep -c '"device": "cuda"' out/r.json)" = "$(grep -cE '^[^#]' stdout.txt)" ]
  done
done

# Sizes that are no multiple of anything; sweeps; every landing; fewer tokens than a group is worth.
for landing in direct unpack; do
  bench_on 3 --transport nccl --landing $landing --hidden-size 7 -b 1 -e 70 -f 8
  bys "alltoallv copy_bound nccl nccl_alltoall pack_alltoallv_unpack"
  check "a sweep of $(column 1)" [ "$(column 1)" = "1 64 8" ]
done
bench_on 2 --transport ipc,hier --overlap off --hidden-size 24 --tokens-per-rank 33 --workload zipf
bys "alltoallv copy_bound hier ipc nccl_alltoall pack_alltoallv_unpack"

# Rows of padding alone: nothing to send.
head -c 64 /dev/zero | tr '\0' '\377' >padding.bin
on_ranks 2 "$bench" "${tiny[@]}" --tokens padding.bin --token-dtype i32 --hidden-size 8 \
  --tokens-per-rank 8
check "nothing but padding: exit code $code" [ "$code" = 0 ]

# Ranks that share a GPU do so when they are told to.
HASHEP_STANDIN_GPUS=1 bench_on 2 --share-gpu --hidden-size 24 --tokens-per-rank 20
check "no note on the shared GPU" grep -q '^# note: 1 GPU shared' stdout.txt

# Without checks nothing is claimed.
on_ranks 2 "$bench" "${tiny[@]}" --hidden-size 8 --tokens-per-rank 8 -c 0
check "-c 0: #wrong is $(column 12)" [ "$(column 12)" = N/A ]

# bad N TEXT ARGS...: refused with one line that holds TEXT, and nothing left behind.
bad() {
  rm -rf out/*
  on_ranks "$1" "$bench" "${tiny[@]}" "${@:3}" -J out/r.json
  check "np=$1: ${*:3}: exit code $code, expected 2" [ "$code" = 2 ]
  check "np=$1: ${*:3}: expected one error line with '$2'" one_error_with "$2"
  check "np=$1: ${*:3}: left $(ls -A out)" nothing_left
}
for np in 1 2; do
  bad $np "is for ranks on CPUs" --transport shm
  bad $np "known transports are" --transport udp
  HASHEP_STANDIN_GPUS=0 bad $np "no GPU was found"
done
HASHEP_STANDIN_GPUS=1 bad 2 "cannot have a GPU each"
bad 1 "--landing" --landing maybe
bad 1 "--overlap" --overlap maybe
on_ranks 1 "$bench" exchange --device cuda --num-experts 100 --top-k 65
check "more choices than kernels take: exit code $code" [ "$code" = 2 ]
check "more choices than kernels take: one line" one_error_with "--top-k 65: must be in [1, 64]"

finish

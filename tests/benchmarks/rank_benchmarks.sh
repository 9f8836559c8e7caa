#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hashep-bench exchange, layer and plan --exchange on some ranks: every element is checked, every
# column and field is there, bad input is refused.
# shellcheck disable=SC2154 # set by the library
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
bench=$hashep

# bench_on N ARGS...: hashep-bench on N ranks, which must be well; the JSON is left in out/r.json.
bench_on() {
  local count=$1
  shift
  rm -f out/r.json
  on_ranks "$count" "$bench" "$@" --deadline 60 -J out/r.json
  check "np=$count: $*: exit code $code" [ "$code" = 0 ]
  check "np=$count: $*: wrote to stderr" [ -z "$(own_lines)" ]
  check "np=$count: $*: result JSON" "$check_json" "$1" out/r.json "$count"
}

# Columns of a line: 1 tokens, 3 dtype, 4 direction, 5 by, 12 #wrong.
column() {
  awk -v column="$1" '/^[^#]/ { print $column }' stdout.txt | sort -u | paste -sd ' '
}

tiny=(--num-experts 10 --hidden-size 24 --vocab-size 512 -n 3 -w 1)
for np in 1 2 3; do
  for top_k in 1 6; do
    bench_on $np exchange "${tiny[@]}" --tokens-per-rank 37 --top-k $top_k --dtype fp32,bf16
    check "np=$np: #wrong is $(column 12)" [ "$(column 12)" = 0 ]
    check "np=$np: dtypes are $(column 3)" [ "$(column 3)" = "bf16 fp32" ]
    check "np=$np: no transport mpi" grep -qE '^ .* (dispatch|combine) mpi ' stdout.txt
    check "np=$np: footer" grep -qx '# Out of bounds values : 0 OK' stdout.txt
    check "np=$np: footer" grep -qE '^# Avg bus bandwidth +: [0-9.]+' stdout.txt
  done
done

# A row that is no multiple of a cache line; more tokens than a burst is worth; fewer than ranks.
bench_on 2 exchange --num-experts 5 --hidden-size 7 -n 3 -w 0 --tokens-per-rank 5K --workload zipf \
  --transport mpi
check "transports are $(column 5)" \
  [ "$(column 5)" = "alltoallv copy_bound mpi pack_alltoallv_unpack" ]
bench_on 2 exchange "${tiny[@]}" -b 1 -e 70 -f 4 --threads 2
check "a sweep of $(column 1)" [ "$(column 1)" = "1 16 4 64" ]
bench_on 2 exchange "${tiny[@]}" -b 3
check "a sweep of $(column 1)" [ "$(column 1)" = 3 ]

# Token files; ids of -1 are padding.
{ head -c 100 /dev/zero; head -c 20 /dev/zero | tr '\0' '\377'; printf '\7\0\0\0'; } >ids.bin
bench_on 3 exchange "${tiny[@]}" --tokens ids.bin --token-dtype i32 --tokens-per-rank 31 --top-k 2
check "a file that is shorter than a batch" grep -q '^# note: ids.bin holds 31 tokens, fewer than a batch of 93' stdout.txt
head -c 64 /dev/zero | tr '\0' '\377' >padding.bin
on_ranks 2 "$bench" exchange "${tiny[@]}" --tokens padding.bin --token-dtype i32 \
  --tokens-per-rank 8
check "nothing but padding: exit code $code" [ "$code" = 0 ]

# Workloads by name and by number, of routing that is their own; a size that is not the default one.
for workload in W0 hot-rank W3 w4; do
  bench_on 3 exchange "${tiny[@]}" -b 8 -e 37 -f 4 --workload $workload --top-k 2 --transport mpi
  check "$workload: #wrong is $(column 12)" [ "$(column 12)" = 0 ]
done
check "name of w4" grep -q 'workload zero-load$' stdout.txt
bench_on 2 exchange "${tiny[@]}" --workload text --tokens ids.bin --token-dtype i32 --router bigram \
  --seed 7 --tokens-per-rank 31 --transport mpi
check "name of text" grep -q 'workload text$' stdout.txt

# Without checks nothing is claimed.
on_ranks 2 "$bench" exchange "${tiny[@]}" --tokens-per-rank 8 -c 0
check "-c 0: #wrong is $(column 12)" [ "$(column 12)" = N/A ]
check "-c 0: footer" grep -qx '# Out of bounds values : not checked' stdout.txt

# Layers: names and ways of planning are columns 1 and 2, 3 is the transport.
for np in 1 2; do
  bench_on $np layer "${tiny[@]}" --tokens-per-rank 64 --ffn-size 40,24 --top-k 2 \
    --dtype fp32,bf16 --score sqrtsoftplus
  check "np=$np: ratios" [ "$(grep -c '^# layer / gemm_alone: [0-9.]* ' stdout.txt)" = 4 ]
  check "np=$np: planned $(column 2)" [ "$(column 2)" = "- ahead" ]
done
bench_on 3 layer --num-experts 2 --hidden-size 24 -n 3 -w 0 --tokens-per-rank 5 --ffn-size 16 \
  --activation relu --score sqrtsoftplus --workload zipf --planning inline
check "planned $(column 2)" [ "$(column 2)" = "- inline" ]
bench_on 2 layer "${tiny[@]}" --tokens-per-rank 24 --ffn-size 16 --score sqrtsoftplus \
  --num-layers 3 --num-shared-experts 1 --transport all --planning both --placement balanced \
  --router bigram --workload zipf
check "transports are $(column 3)" [ "$(column 3)" = "- hier mpi shm" ]
check "planned $(column 2)" [ "$(column 2)" = "- ahead at_hand inline" ]
check "rows are $(column 1)" [ "$(column 1)" = \
  "combine copy_bound dispatch experts gate gemm_alone layer plan route shared_experts" ]
check "planning compared" [ "$(grep -c '^# planning on the critical path, by' stdout.txt)" = 6 ]

for workload in rotating burst; do
  bench_on 2 layer "${tiny[@]}" --tokens-per-rank 20 --ffn-size 16 --workload $workload \
    --score sqrtsoftplus
done

# What planning costs: of one process, and the exchange over ranks.
plan=(plan --num-experts "8,16" -n 2 -w 0 -J out/r.json)
on_ranks 1 "$bench" "${plan[@]}" --router table,previous --top-k 1,3 --ep-size 1,5 \
  --tokens-per-rank 1K --vocab-size 100
check "plan: exit code $code" [ "$code" = 0 ]
check "plan: result JSON" "$check_json" plan out/r.json 1
check "plan: lines" [ "$(grep -c '^planning .* E 16 R 5 ' stdout.txt)" = 4 ]
for np in 1 3; do
  on_ranks $np "$bench" "${plan[@]}" --exchange --num-layers 1,4 --deadline 60
  check "np=$np: plan --exchange: exit code $code" [ "$code" = 0 ]
  check "np=$np: plan --exchange: result JSON" "$check_json" plan out/r.json $np
  check "np=$np: plan --exchange: lines" [ "$(grep -c '^exchange ' stdout.txt)" = 4 ]
done

# bad N TEXT ARGS...: refused with one line that holds TEXT, and nothing left behind.
bad() {
  rm -rf out/*
  on_ranks "$1" "$bench" "${@:3}" -J out/r.json
  check "np=$1: ${*:3}: exit code $code, expected 2" [ "$code" = 2 ]
  check "np=$1: ${*:3}: expected one error line with '$2'" one_error_with "$2"
  check "np=$1: ${*:3}: left $(ls -A out)" nothing_left
}
printf '\377\177' >beyond.bin  # id 32767
on_ranks 2 "$bench" exchange "${tiny[@]}" --tokens beyond.bin --padding-id 32767 --tokens-per-rank 8
check "an id that is padding: exit code $code" [ "$code" = 0 ]
perl -e 'print pack("l<*", map { $_ % 512 } 0 .. 999)' >wide.bin
for np in 1 2; do
  bad $np "known transports are" exchange --transport udp
  bad $np "not in this build" exchange --transport mpi,nccl
  bad $np "this build has no CUDA" exchange --device cuda
  bad $np "nosuch.bin" exchange --tokens nosuch.bin
  bad $np "beyond.bin: token 0 has id 32767" exchange --tokens beyond.bin --vocab-size 100 \
    --tokens-per-rank 4
  bad $np "-b" exchange -b 0
  bad $np "-e 4 is less than -b 8" exchange -b 8 -e 4
  bad $np "wide.bin: looks like ids of 32 bits" exchange --tokens wide.bin
  bad $np "wide.bin: u16, the default, cannot hold" layer --tokens wide.bin --vocab-size 100000
  bad $np "nosuch.bin" layer --tokens nosuch.bin
  bad $np "known transports are" layer --transport udp
  for planning in ahead inline; do
    bad $np "id 32767" layer --tokens beyond.bin --vocab-size 100 --tokens-per-rank 4 \
      --hidden-size 24 --ffn-size 16 --planning $planning
  done
done
bad 1 "-f" exchange -b 8 -e 16 -f 1
bad 1 "min-tokens" exchange -e 8
bad 1 "min-tokens" exchange -b 8 --tokens-per-rank 8
bad 1 "all goes with no other" exchange --transport all,mpi
bad 1 "--top-k" exchange --top-k 17
bad 1 "--tokens-per-rank" exchange --tokens-per-rank 2G
bad 2 "at most" exchange --tokens-per-rank 1G --top-k 64 --num-experts 64
bad 1 "--dtype" exchange --dtype fp16
bad 1 "--device" exchange --device tpu
bad 1 "--workload" exchange --workload normal
bad 2 "W7 needs --tokens" exchange --workload W7
bad 1 "has ids of its own" layer --workload W0 --tokens beyond.bin
bad 1 "has routing of its own" exchange --workload W5 --router token
bad 1 "--router table needs --table" exchange --router table
bad 2 "ranks with load" exchange --workload W4 --num-experts 2 --top-k 2
bad 1 "--top-k 9" plan --top-k 9 --num-experts 8
bad 1 "--num-layers" plan --num-layers 2
bad 2 "--top-k" plan --exchange --top-k 2
bad 1 "--deadline" exchange --deadline 0
bad 1 "-c" exchange -c 2
bad 1 "--ffn-size" layer --ffn-size 0
bad 1 "--activation" layer --activation tanh
bad 1 "--planning later: known are ahead, inline, both" layer --planning ahead,later
bad 1 "--placement" layer --placement random
bad 1 "--num-layers" layer --num-layers 257
bad 1 "all goes with no other" layer --transport all,mpi
bad 2 "--router table needs --table" layer --router table
bad 1 "--table goes with --router table" layer --router bigram --table t.npy
bad 2 "nosuch.npy" layer --table nosuch.npy
bad 2 "--bogus" exchange --bogus 3
on_ranks 2 "$bench" walk
check "unknown command: exit code $code" [ "$code" = 2 ]
check "unknown command: one line" one_error_with "subcommand"
on_ranks 2 "$bench" exchange -J out/no/r.json
check "no folder for the JSON: exit code $code" [ "$code" = 2 ]
check "no folder for the JSON: one line" one_error_with "out/no/r.json"

# --help comes from one rank, and says what the columns mean.
on_ranks 2 "$bench" exchange --help
check "--help: exit code $code" [ "$code" = 0 ]
check "--help: columns" [ "$(grep -c '^# busbw' stdout.txt)" = 1 ]
on_ranks 1 "$bench" layer --help
check "layer --help: columns" [ "$(grep -c '^# planning ' stdout.txt)" = 1 ]

finish

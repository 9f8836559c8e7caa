#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hashep-bench fit, check-model and scale --predict as a user starts them, on the recorded results:
# what they print and write, that they finish in time, and that bad input is refused.
# shellcheck disable=SC2154 # set by the library
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
bench=$hashep
recorded=$here/../../benchmarks/results
machines=$here/../../benchmarks/machines

# good ARGS...: must be well and say nothing on stderr.
good() {
  on_ranks 1 "$bench" "$@"
  check "$1: exit code $code" [ "$code" = 0 ]
  check "$1: wrote to stderr" [ ! -s stderr.txt ]
}

# bad TEXT ARGS...: one line of error with TEXT, and no file.
bad() {
  on_ranks 1 "$bench" "${@:2}"
  check "${*:2}: exit code $code" [ "$code" = 2 ]
  check "${*:2}: not one line with '$1'" one_error_with "$1"
  check "${*:2}: left a file" nothing_left
}

# error_of KIND: the median error of that kind that was printed, in percent.
error_of() {
  sed -n "s/^# median |error|, $1  *all  *\([0-9.]*\)% .*/\1/p" stdout.txt
}

exchange=$recorded/exchange-64-2-ranks-amd-epyc-milan.json
layer=$recorded/layer-2-ranks-amd-epyc-milan.json
profile=$machines/amd-epyc-milan.json
bad "overlaps" fit --base "$machines/h100-8.json" --results "$exchange" --output out/p.json
bad "1 to 65536 exchanges" fit --base "$profile" --results "$layer" --output out/p.json
bad "args: is missing" fit --base "$profile" --results "$profile" --output out/p.json
bad "out/no/p.json" fit --base "$profile" --results "$exchange" --output out/no/p.json
bad "nosuch.json" check-model --machine nosuch.json --results "$exchange"
bad "either --results" check-model --machine "$profile"
bad "no GEMM speeds" check-model --machine "$machines/h800-8.json" --results "$layer"
# Sizes that no memory holds are refused before it is taken, by file and key.
published=$machines/published-h100.json
for case in ranks:2147483648 ranks_per_node:2147483648 tokens_per_rank:1099511627776 num_experts:2147483648 \
  top_k:2147483648 hidden_size:9223372036854775808 top_groups:18446744073709551616; do
  sed -E "0,/\"${case%:*}\": [0-9]+/s//\"${case%:*}\": ${case#*:}/" "$published" >large.json
  bad "large.json: entry 0: ${case%:*}: " check-model --machine "$machines/h100-8.json" --published large.json
done
for case in ranks:2147483648 num_experts:2147483648 top_k:2147483648 tokens_per_rank:1099511627776; do
  sed -E "s/\"${case%:*}\": [0-9]+/\"${case%:*}\": ${case#*:}/" "$exchange" >large.json
  bad "large.json: " check-model --machine "$profile" --results large.json
  check "$case: the key is named" one_error_with "${case%:*}: "
done
sed -E 's/"ranks_per_node": [0-9]+/"ranks_per_node": 4611686018427387904/' "$profile" >large.json
bad "large.json: ranks_per_node: " check-model --machine large.json --results "$exchange"
bad "--machine FILE" scale --predict 4
bad "not expected" scale --machine "$profile"
bad "do not share a node" scale --predict 4 --machine "$profile" --transport shm -J out/p.json
bad "nosuch.bin" scale --predict 4 --machine "$profile" --tokens nosuch.bin -J out/p.json
bad "routing of its own" scale --predict 4 --machine "$profile" --workload W1 --router bigram
bad "known are uniform" scale --predict 4 --machine "$profile" --workload W9 -J out/p.json
bad "needs --table" scale --predict 4 --machine "$profile" --router table -J out/p.json
bad "as many for each of 3" scale --predict 2,3 --machine "$profile" --workload w2 --scaling strong \
  --tokens-per-rank 2 -J out/p.json
bad "--top-k 17" scale --predict 4 --machine "$profile" --top-k 17

good fit --base "$profile" --results "$exchange" "$recorded/experts-amd-epyc-milan.json" \
  --output out/fitted.json --holdout 2 -J out/fit.json
good check-model --machine out/fitted.json --results "$exchange" "$layer" --holdout 2
check "no held-out error" [ -n "$(error_of 'held out')" ]
check "no fitted error" [ -n "$(error_of fitted)" ]

# What docs/cost-model.md promises of other libraries' figures.
for machine in h800 h100; do
  good check-model --machine "$machines/$machine-8.json" \
    --published "$machines/published-$machine.json"
  check "$machine: published figures are off by '$(error_of published)' %" \
    awk "BEGIN { exit !($(error_of published) < 10) }"
done

# And of the simulation that is recorded.
good check-model --machine "$here/../../benchmarks/sim/h100-node.json" \
  --results "$recorded/simulation-h100-node.json"
check "simulated times are off by '$(error_of simulated)' %" \
  awk "BEGIN { exit !($(error_of simulated) < 10) }"

good scale --predict 8,512 --machine "$machines/h100-8.json" --tokens-per-rank 64 --num-experts 256 \
  --top-k 6 --dtype bf16 -J out/p.json
check "lines of predictions" [ "$(grep -cE '^ (weak|strong) ' stdout.txt)" = 4 ]
check "rows of predictions" [ "$(grep -c '"name": "predicted"' out/p.json)" = 16 ]
good scale --predict 2 --machine "$machines/h100-8.json" --tokens-per-rank 64 --dtype bf16 \
  --workload W2 --scaling weak -J out/p.json
check "rows name the workload" [ "$(grep -c '"workload": "hot-rank"' out/p.json)" = 4 ]
finish

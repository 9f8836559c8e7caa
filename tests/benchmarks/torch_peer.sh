#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# benchmarks/peers at tiny sizes: PyTorch computes what hashep-bench layer --dump wrote, outputs are
# equal, and where they are not it says so.
# shellcheck disable=SC2154 # set by the library
# shellcheck source=tests/benchmarks/dump_lib.sh
. "$(dirname "$0")/dump_lib.sh"
need torch.distributed "./launch/install_dependencies.sh peers"
peers=$here/../../benchmarks/peers
speaker=torch_ranks

# compared N ARGS...: torch_ranks.py on out/dump.
compared() {
  on_ranks "$1" "$python" "$peers/torch_ranks.py" --input out/dump --deadline 60 -n 1 "${@:2}"
}

for np in 1 2 3; do
  dump $np
  compared $np --layout packed
  check "np=$np: exit code $code" [ "$code" = 0 ]
  check "np=$np: $(cat stdout.txt)" grep -qE '"relative_error": [0-9.]+e-0[6-9]' stdout.txt
done
dump 2
plant
compared 2 --layout stored
check "a planted weight: exit code $code" [ "$code" = 1 ]
check "a planted weight: one line" one_error_with "outputs differ from HashEP's"

# The same of forward and backward, by autograd.
for np in 1 3; do
  for activation in relu gelu silu; do
    rm -rf out/*
    mkdir out/dump
    on_ranks $np "$bench" layer --backward --num-experts 6 --hidden-size 24 --ffn-size 40 \
      --tokens-per-rank 37 --vocab-size 512 --activation $activation --deadline 60 -n 1 -w 0 \
      --dump out/dump
    check "np=$np: --backward --dump: exit code $code" [ "$code" = 0 ]
    compared $np --backward
    check "np=$np: $activation, backward: exit code $code" [ "$code" = 0 ]
    check "np=$np: $activation, backward: $(cat stdout.txt)" \
      grep -qE '"relative_error": [0-9.]+e-0[6-9]' stdout.txt
  done
done
planted=gradient
plant
compared 3 --backward
check "a planted gradient: exit code $code" [ "$code" = 1 ]
check "a planted gradient: one line" one_error_with "outputs or gradients differ from HashEP's"

# peers_run ARGS...: the one command, its result in out/peers.json.
peers_run() {
  rm -rf out/*
  code=0
  HASHEP_BENCH=$bench HASHEP_PYTHON=$python timeout 120 "$peers/run.sh" --folder out \
    --json out/peers.json "$@" </dev/null >stdout.txt 2>stderr.txt || code=$?
}
peers_run --quick --case bf16 --rounds 2 --samples 2
check "run.sh: exit code $code" [ "$code" = 0 ]
check "run.sh: $(cat stdout.txt)" [ "$(grep -cE '^bf16 +bf16 ' stdout.txt)" = 1 ]
check "run.sh: left $(ls out)" [ "$(ls out)" = peers.json ]
check "run.sh: result JSON" "$python" - out/peers.json <<'JSON'
import json, sys
with open(sys.argv[1]) as file:
    results = json.load(file)["results"]
for name in "layer", "torch":
    rows = [row for row in results if row["name"] == name]
    assert [row["case"] for row in rows] == ["bf16"], rows
    assert all(len(row["samples_us"]) == 4 and row["median_us"] > 0 and row["wrong"] == 0
               and row["tokens_per_s"] > 0 for row in rows), rows
assert all(len(row["ratio_to_layer_by_round"]) == 2 for row in rows), rows
JSON

peers_run --quick --backward --case wide --rounds 2 --samples 2
check "run.sh --backward: exit code $code" [ "$code" = 0 ]
check "run.sh --backward: $(cat stdout.txt)" [ "$(grep -cE '^wide +fp32 ' stdout.txt)" = 1 ]

speaker=peers
peers_run --case nosuch
check "an unknown case: exit code $code" [ "$code" = 2 ]
check "an unknown case: one line" one_error_with "nosuch"

finish

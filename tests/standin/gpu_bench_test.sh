#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gpu_bench_test.sh HASHEP_BENCH_GPU MAKE_MODEL CHECK_JSON: hashep-bench-gpu, its GPU being the
# stand-in: every row is there, each that computes is checked, and nothing is wrong. Times mean
# nothing here.
# shellcheck disable=SC2034,SC2154 # what the library reads and sets
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
bench=$hashep
speaker="hashep-bench-gpu"
python=$(python_with json)
layer=(--tokens 40 --hidden-size 64 --ffn-size 48 --num-experts 5 --top-k 2)

# bench_says ARGS...: it ends well. Its rows are left in rows.txt: name, workload, wrong.
bench_says() {
  on_ranks 1 "$bench" "$@" -n 2 -w 1 -J out/r.json
  check "$*: exit code $code" [ "$code" = 0 ]
  check "$*: wrote to stderr" [ -z "$(own_lines)" ]
  "$python" -c '
import json
for row in json.load(open("out/r.json"))["results"]:
    print(row["name"], row["workload"].replace(" ", "_"), row["wrong"])' >rows.txt
  check "$*: something is wrong: $(cat rows.txt)" [ -z "$(awk '$3 != 0 && $3 != "None"' rows.txt)" ]
}

# unchecked NAMES: just these rows hold nothing that could be wrong.
unchecked() {
  local names
  names=$(awk '$3 == "None" { print $1 }' rows.txt | sort -u | paste -sd ' ')
  check "not checked: $names" [ "$names" = "$1" ]
}

bench_says layer "${layer[@]}" --lanes 1,3 --dump out/layer.safetensors
for lanes in 1 3; do
  for name in dense_gemm dense_gemm_bf16_output gemm_alone layer; do
    check "no row $name, lanes $lanes" grep -q "^$name lanes_$lanes 0$" rows.txt
  done
done
unchecked ""
check "no layer, grouped" grep -q "^layer grouped 0$" rows.txt

bench_says rows --tokens 30 --hidden-size 24 --num-experts 9 --top-k 1,6
check "rows are $(cut -d ' ' -f 1 rows.txt | sort -u | paste -sd ' ')" \
  [ "$(cut -d ' ' -f 1 rows.txt | sort | uniq -c | awk '{ print $1, $2 }' | paste -sd ' ')" = \
  "4 combine 4 copy_bound 4 dispatch 4 gate" ]
unchecked copy_bound

bench_says launch "${layer[@]}" --num-layers 2
check "no launch of graphs" grep -q "^launch_graph .* 0$" rows.txt

finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bytes on the wire between hosts: with transport hier a token's row goes to a host once, however many
# of its experts are there, and little else goes.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

slots=2,2
first=5  # steps
last=25
tokens=(--num-layers 2 --num-experts 64 --top-k 6 --vocab-size 1000 --batch-tokens 256 --seq-len 64
  --seed 7)
row_bytes=4096  # of fp32
model=(--hidden-size 1024 --ffn-size 16 --dtype fp32 --threads 1 --deadline 60 --progress off)

# run_steps STEPS OPTIONS...: leaves the bytes that hosts sent in sent.json.
run_steps() {
  on_cluster --rate none --mtu 9000 --slots $slots --count-bytes sent.json -- \
    "$hashep" run "${tokens[@]}" "${model[@]}" --plan-depth 1 --steps "$@"
  check "$*: exit code $code" [ "$code" = 0 ]
  check "$*: frames dropped" [ "$(of node1 tx_drops)$(of node2 tx_drops)" = 00 ]
}

# sends_per_mille NAME HOST BYTES ROWS MOST: BYTES are those of ROWS and at most MOST thousandths of
# them more.
sends_per_mille() {
  local rows=$(($4 * row_bytes))
  printf '%s: %s sent %d bytes, rows are %d: %s\n' "$1" "$2" "$3" "$rows" \
    "$(awk -v sent="$3" -v rows=$rows 'BEGIN { printf "%.4f", sent / rows }')"
  check "$1, $2: no rows" [ $rows -gt 1000000 ]
  check "$1, $2: fewer bytes than rows" [ "$3" -ge $rows ]
  check "$1, $2: too many bytes" [ $(($3 * 1000)) -le $((rows * (1000 + $5))) ]
}

# The difference of two runs is the bytes of the steps between: what mpirun and set-up send is in both.
"$expected_traffic" --slots $slots --steps $first,$last "${tokens[@]}" >expected.txt || exit 1

# measure MOST COLUMN OPTIONS...: what comes back is in this column of expected.txt.
measure() {
  local most=$1 column=$2 host dispatched returned
  shift 2
  declare -A before
  run_steps $first "$@"
  for host in node1 node2; do before[$host]=$(of $host tx_bytes); done
  run_steps $last "$@"
  for host in node1 node2; do
    dispatched=$(awk -v host=$host '$1 == host { print $2 }' expected.txt)
    returned=$(awk -v host=$host -v column="$column" '$1 == host { print $column }' expected.txt)
    sends_per_mille "$*" $host $(($(of $host tx_bytes) - before[$host])) $((dispatched + returned)) "$most"
  done
}
measure 20 3 --transport hier
measure 20 4 --transport hier --node-reduce

check "processes left" within 5 [ -z "$(cluster_processes)" ]
finish

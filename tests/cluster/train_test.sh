#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hashep train` on several hosts: the curve of one rank alone; and what hosts of one number leave,
# those of another go on from.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

for ((i = 0; i < 3000; ++i)); do
  printf '%b' "\\x$(printf %02x $(((i * i + 5 * i) % 61)))\\x00"
done >ids.bin
text=(--tokens ids.bin --vocab-size 64 --seq-len 100 --hidden-size 48 --ffn-size 32 --num-layers 2
  --num-experts 11 --top-k 3 --batch-tokens 300 --gradient-block 32 --held-out 200 --evaluate-every 3
  --warmup 2 --steps 6 --threads 1 --progress off --deadline 60)

for options in "--router token --num-shared-experts 1" "--router learned --dtype bf16"; do
  read -ra words <<<"$options"
  on_ranks 1 "$hashep" train "${text[@]}" "${words[@]}" --csv one.csv
  check "$options, one rank: exit code $code" [ "$code" = 0 ]
  for slots in 2,1 1,2,1; do
    on_cluster --rate none --slots $slots --count-bytes sent.json -- "$hashep" train "${text[@]}" \
      "${words[@]}" --csv many.csv --save "saved" --save-every 4 --transport hier
    check "$options, $slots: exit code $code" [ "$code" = 0 ]
    check "$options, $slots: hardly anything went over the links" [ "$(of node1 tx_bytes)" -gt 50000 ]
    check "$options, $slots: another curve" cmp -s one.csv many.csv
    ln -sfn step-4 saved/latest
    rm -f many.csv
    on_ranks 2 "$hashep" train "${text[@]}" "${words[@]}" --csv many.csv --save saved --resume
    check "$options, resumed on one host: exit code $code" [ "$code" = 0 ]
    check "$options, resumed on one host: another curve" cmp -s one.csv many.csv
    rm -rf saved many.csv
  done
done
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hosts_test.sh HASHEP MAKE_MODEL CHECK_JSON: `hashep run --device cuda` on several virtual hosts, each
# with GPUs of the stand-in: the bits of one rank, whatever the hosts. Exit code 77: they cannot be had.
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/../cluster/lib.sh"

export HASHEP_STANDIN_GPUS=3
model=(--device cuda --hidden-size 48 --ffn-size 32 --num-layers 2 --num-experts 11 --top-k 3 --num-shared-experts 1
  --vocab-size 300 --batch-tokens 101 --seq-len 17 --steps 3 --score sqrtsoftplus --threads 1 --deadline 60
  --progress off --check)

for dtype in fp32 bf16; do
  ranks 1 "${model[@]}" --dtype $dtype --output one.safetensors
  check "$dtype, one rank: exit code $code" [ "$code" = 0 ]
  while read -r slots transport said; do
    name="$dtype, hosts of $slots, $transport"
    rm -f many.safetensors
    on_cluster --rate none --slots "$slots" -- "$hashep" run "${model[@]}" --dtype $dtype --transport "$transport" \
      --output many.safetensors
    check "$name: exit code $code" [ "$code" = 0 ]
    check "$name: not '$said': $(head -n 1 stdout.txt)" grep -qF ", $said, " <(head -n 1 stdout.txt)
    check "$name: a rank is not on the first GPU of its host" \
      [ "$(grep -cE '^rank [0-9]+: host node[0-9], GPU 0 ' stdout.txt)" = "$(awk -F, '{print NF}' <<<"$slots")" ]
    check "$name: not the bits of one rank" cmp one.safetensors many.safetensors
  done <<'HOSTS'
2,2 auto 2 nodes of 2, 2 ranks, transport hier (auto)
1,1,1 auto 3 nodes of 1, 1, 1 ranks, transport hier (auto)
3,1 hier 2 nodes of 3, 1 ranks, transport hier
1,2 nccl 2 nodes of 1, 2 ranks, transport nccl
HOSTS
done

finish

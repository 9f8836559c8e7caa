#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# program_test.sh HASHEP MAKE_MODEL CHECK_JSON: `hashep run --device cuda`, its GPU being the
# stand-in: options, results against the CPU's and the oracle, table, JSON, errors.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"

model=(--num-layers 2 --hidden-size 32 --ffn-size 48 --num-experts 10 --vocab-size 512 --threads 1
  --batch-tokens 97 --seq-len 16 --top-k 6 --score sqrtsoftplus --num-shared-experts 1
  --swiglu-limit 1.5 --steps 4 --progress off --deadline 60)

# good ARGS...: one rank, and all went well.
good() {
  ranks 1 "${model[@]}" "$@"
  check "$*: exit code $code" [ "$code" = 0 ]
  check "$*: wrote to stderr" [ -z "$(own_lines)" ]
}

for dtype in fp32 bf16; do
  for gemm in per-expert grouped fused; do
    if [ $dtype-$gemm = fp32-fused ]; then continue; fi
    for graph in off auto on; do
      good --device cuda --dtype $dtype --expert-gemm $gemm --graph $graph --check \
        --output out/$gemm.$graph.safetensors
      check "$dtype $gemm $graph: other bits than without graphs" \
        cmp -s out/$gemm.off.safetensors out/$gemm.$graph.safetensors
    done
  done
done

# A run of several steps, planned none, one and three batches ahead, gives the table and the JSON.
for depth in 0 1 3; do
  good --device cuda --plan-depth $depth --json out/run.json --trace out/trace.json
  for phase in gate dispatch experts shared_experts combine step; do
    check "depth $depth: no line for $phase" grep -qE "^  $phase +[0-9.]+" stdout.txt
  done
  check "depth $depth: steps timed" [ "$(awk '$1 == "step" {print $5}' stdout.txt)" = 4 ]
  check "depth $depth: experts timed" [ "$(awk '$1 == "experts" {print $5}' stdout.txt)" = 8 ]
  check "no memory of the GPU" grep -qE "^  GPU memory +[0-9.]+ " stdout.txt
  check "device not said" grep -q "^device: stand-in" stdout.txt
  check "device not in the JSON" grep -q '"device": "cuda"' out/run.json
  check "GPU not in the JSON" grep -qE '"gpu": "stand-in' out/run.json
  check "result JSON" "$check_json" result out/run.json 1
  check "trace" "$check_json" trace out/trace.json 1
  check "no row of dispatch in the trace" grep -q '"rank 0, exchange"' out/trace.json
  check "no events in the trace" [ "$(grep -o '"name": *"experts' out/trace.json | wc -l)" = 8 ]
done

# Where the rank runs, and what is near to its GPU.
place="rank 0: host $(hostname), GPU 0 stand-in, PCI 0000:1b:00.0, NUMA node"
HASHEP_STANDIN_GPUS=4 good --device cuda --json out/run.json
check "GPU of the rank" grep -qE "^$place [-0-9]+, NIC [-a-z0-9_]+$" stdout.txt
check "rank is bound" [ "$(grep -c '^note:' stdout.txt)" = 0 ]
check "GPU of the rank, JSON" grep -q '"pci": "0000:1b:00.0"' out/run.json
HWLOC_XMLFILE=$here/machines/two_sockets.xml good --device cuda --share-gpu --bind-cpu off
check "NUMA node and network interface" grep -qx "$place 0, NIC mlx5_1" stdout.txt

good --device auto
check "--device auto does not take the GPU" grep -q "^device: stand-in" stdout.txt
good --device cpu
check "--device cpu says device" [ "$(grep -cE '^(device|rank 0):' stdout.txt)" = 0 ]

# bad TEXT ARGS...: exit code 2 and one line that holds TEXT.
bad() {
  local text=$1
  shift
  ranks 1 "${model[@]}" "$@"
  check "$*: exit code $code" [ "$code" = 2 ]
  check "$*: not one line: $(own_lines)" [ "$(own_lines | wc -l)" = 1 ]
  check "$*: no '$text'" grep -qF -- "$text" stderr.txt
}
bad "--transport shm" --device cuda --transport shm
bad "--graph" --graph maybe
bad "--expert-gemm" --expert-gemm all
bad "--bind-cpu" --bind-cpu yes
bad "fused expert GEMMs are for bf16" --device cuda --dtype fp32 --expert-gemm fused

# Several ranks, a GPU each, give the bits of one: by every transport.
good --device cuda --output out/1.safetensors
export HASHEP_STANDIN_GPUS=3
for transport in auto ipc nccl hier; do
  ranks 3 "${model[@]}" --device cuda --transport $transport --check --output out/3.safetensors
  check "3 ranks, $transport: exit code $code" [ "$code" = 0 ]
  check "3 ranks, $transport: other bits" cmp -s out/1.safetensors out/3.safetensors
done

finish

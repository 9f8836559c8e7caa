#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what run.sh has set
# The parts of run.sh with several ranks. Sourced by it.

small=(run --num-layers 2 --hidden-size 64 --ffn-size 128 --num-experts 8 --top-k 2 --vocab-size 1000
  --batch-tokens 512 --steps 3 --check)
# NCCL between ranks that share a GPU takes them for hosts: it is to stay on this one. From 2.30.3 on
# it can also be told.
shared=(env NCCL_SOCKET_IFNAME=lo NCCL_IB_DISABLE=1 NCCL_MULTI_RANK_GPU_ENABLE=1)
gpu_count=0
if [ -n "$gpu" ]; then gpu_count=$(nvidia-smi --list-gpus | grep -c .); fi

# on_ranks NAME LIMIT PROGRAM NEEDS_GPU COMMAND...: a part that needs a program that was built.
on_ranks() {
  local name=$1 limit=$2 program=$3 needs_gpu=$4
  shift 4
  if [ ! -x "$bin/$program" ]; then
    row FAILED "$name" 0 "$program was not built"
  elif [ "$needs_gpu" = yes ] && [ -z "$gpu" ]; then
    row skipped "$name" 0 "needs a GPU"
  else
    part "$name" "$limit" "${with_deps[@]}" "$@"
  fi
}

# Ranks on GPUs of their own where there are so many, else sharing them.
ranks_correct() {
  for ranks in 2 4 1; do
    on_ranks "exchange-$ranks" 90 exchange_gpu_test no "${shared[@]}" tests/gpu/test_on_ranks.sh $ranks \
      "$bin/exchange_gpu_test"
  done
  for transport in ipc nccl hier; do
    on_ranks "hashep run, 2 ranks, $transport" 40 hashep yes "${shared[@]}" launch/mpirun.sh 2 "$bin/hashep" \
      "${small[@]}" --device cuda --share-gpu --transport $transport
  done
  on_ranks "hashep run on a GPU" 40 hashep yes "$bin/hashep" "${small[@]}" --device cuda
  on_ranks "hashep run, 2 CPU ranks" 40 hashep no launch/mpirun.sh 2 "$bin/hashep" "${small[@]}" --device cpu \
    --transport mpi
}

# Processes that share a GPU take turns on it, so that waits for each other cost whole turns: under MPS
# they run at once.
ranks_measured() {
  local exchange_bench=("$bin/hashep-bench" exchange --device cuda --tokens-per-rank 8192 --hidden-size 4096 --dtype bf16)
  on_ranks "ipc-bench" 60 hashep-bench yes "${shared[@]}" launch/mpirun.sh 2 "${exchange_bench[@]}" --transport ipc \
    --share-gpu -J "$out/ipc-shared.json"
  on_ranks "ipc-bench under MPS" 60 hashep-bench yes "${shared[@]}" tests/gpu/with_mps.sh launch/mpirun.sh 2 \
    "${exchange_bench[@]}" --transport ipc --share-gpu -J "$out/ipc-mps.json"
  for ranks in 2 4 8; do
    if [ -z "$gpu" ]; then
      row skipped "$ranks GPUs" 0 "needs $ranks GPUs"
    elif ((gpu_count < ranks)); then
      row skipped "$ranks GPUs" 0 "this machine has $gpu_count"
    else
      on_ranks "$ranks GPUs" 60 hashep-bench yes launch/mpirun.sh $ranks "${exchange_bench[@]}" --transport all \
        -J "$out/gpus-$ranks.json"
    fi
  done

  on_ranks "killed-peer" 200 hashep yes "${shared[@]}" tests/launch/lost_ranks.sh "$bin/hashep" 20 5 2 --share-gpu
}

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what run.sh has set
# The parts of run.sh with several ranks. Sourced by it.

# Ranks that wait longer for each other say so and end, before their part's limit does it without a word.
waits=(--deadline 20)
small=(run --num-layers 2 --hidden-size 64 --ffn-size 128 --num-experts 8 --top-k 2 --vocab-size 1000
  --batch-tokens 512 --steps 3 --check "${waits[@]}")
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

exchange_on() {
  on_ranks "exchange-$1" "$2" exchange_gpu_test no "${shared[@]}" tests/gpu/test_on_ranks.sh "$1" "$bin/exchange_gpu_test"
}

# ipc_bench RESULT TOP_K COMMAND...: 2 processes exchange on one GPU, begun by the command.
ipc_bench() {
  local result=$1 top_k=$2 name="ipc-bench"
  shift 2
  if [ "$result" = mps ]; then name+=" under MPS"; fi
  on_ranks "$name, top-$top_k" 40 hashep-bench yes "${shared[@]}" "$@" launch/mpirun.sh 2 "$bin/hashep-bench" \
    "${exchange_bench[@]}" --top-k "$top_k" --transport ipc --share-gpu -J "$out/ipc-$result-top$top_k.json"
}
exchange_bench=(exchange --device cuda --tokens-per-rank 8192 --hidden-size 4096 --dtype bf16 "${waits[@]}")

# Ranks on GPUs of their own where there are so many, else sharing them.
ranks_correct() {
  local transport
  exchange_on 2 45
  exchange_on 4 55
  if [ -z "$gpu" ]; then
    on_ranks "hashep run, 2 CPU ranks" 30 hashep no launch/mpirun.sh 2 "$bin/hashep" "${small[@]}" --device cpu \
      --transport mpi
  fi
  for transport in ipc nccl hier; do
    on_ranks "hashep run, 2 ranks, $transport" 31 hashep yes "${shared[@]}" launch/mpirun.sh 2 "$bin/hashep" \
      "${small[@]}" --device cuda --share-gpu --transport $transport
  done
}

# Processes that share a GPU take turns on it, so that waits for each other cost whole turns: under MPS
# they run at once.
ranks_measured() {
  local ranks top_k
  ipc_bench shared 1
  exchange_on 1 30
  on_ranks "hashep run on a GPU" 30 hashep yes "$bin/hashep" "${small[@]}" --device cuda
  ipc_bench shared 6
  for top_k in 1 6; do ipc_bench mps $top_k tests/gpu/with_mps.sh --try "$work/probes/gpu"; done
  for ranks in 2 4 8; do
    if [ -z "$gpu" ]; then
      row skipped "$ranks GPUs" 0 "needs $ranks GPUs"
    elif ((gpu_count < ranks)); then
      row skipped "$ranks GPUs" 0 "this machine has $gpu_count"
    else
      on_ranks "$ranks GPUs" 60 hashep-bench yes launch/mpirun.sh $ranks "$bin/hashep-bench" "${exchange_bench[@]}" \
        --transport all -J "$out/gpus-$ranks.json"
    fi
  done
}

ranks_lost() {
  on_ranks "killed-peer${no_ipc:+, nccl alone}" 200 hashep yes "${shared[@]}" ${no_ipc:+TRANSPORTS=nccl} \
    tests/launch/lost_ranks.sh "$bin/hashep" 20 5 2 --share-gpu
}

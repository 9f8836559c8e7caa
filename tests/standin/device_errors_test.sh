#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# device_errors_test.sh HASHEP MAKE_MODEL CHECK_JSON: ranks on GPUs, the stand-in's, of which one meets
# an error of CUDA or NCCL, or an exchange without an end: the job ends in time, with one line that
# says which rank, where, and what.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
# shellcheck source=tests/launch/failing_jobs.sh
. "$here/failing_jobs.sh"

export HASHEP_STANDIN_GPUS=3
options=(--device cuda --num-layers 2 --batch-tokens 200 --threads 1 --deadline "$deadline" --progress off
  --num-experts 9 --top-k 2 --hidden-size 32 --ffn-size 32 --vocab-size 512 --steps 6)

# fails NAME VARIABLE=VALUE PATTERN RANKS ARGS...: a failure on purpose ends a run with an error that
# matches.
fails() {
  local begin=$SECONDS
  name=$1
  export "${2?}"
  ranks "$4" "${options[@]}" "${@:5}"
  unset "${2%%=*}"
  check "$name: exit code $code" [ "$code" = 1 ]
  check "$name: took $((SECONDS - begin)) s" [ $((SECONDS - begin)) -le $((deadline + slack)) ]
  check "$name: one line that says so" one_error "$3"
  printf '%s: %s\n' "$name" "$(own_lines)"
}

# Out of memory on one rank: in set-up, where buffers grow for a step, nowhere.
in_setup=0
in_plan=0
for ((n = 0; n < 200; n += 1 + n / 8)); do
  HASHEP_STANDIN_FAIL="1:cudaMalloc:2@$n" ranks 2 "${options[@]}" --transport ipc
  if [ "$code" = 0 ]; then break; fi
  name="cudaMalloc $n of rank 1 fails"
  check "$name: exit code $code" [ "$code" = 1 ]
  check "$name: one line that says so" one_error 'rank 1 in (setup|plan, step [0-5]): .*out of GPU memory: '
  printf '%s: %s\n' "$name" "$(own_lines)"
  if one_error 'rank 1 in setup'; then in_setup=1; else in_plan=1; fi
done
check "out of memory, nowhere: exit code $code" [ "$code" = 0 ]
check "out of memory in set-up" [ $in_setup = 1 ]
check "out of memory where buffers grow" [ $in_plan = 1 ]

# Whatever fails: which rank, where, in which call, with which code.
layer_of_step='layer [01], step [0-5]'
fails "a kernel" HASHEP_STANDIN_FAIL=1:kernel:719@20 \
  "rank 1 in [a-z_]+(, layer [01])?, step [0-5]: .* failed with .* \\(719\\)" 2 --transport ipc
fails "a GEMM" HASHEP_STANDIN_FAIL=0:cublasLtMatmul:13@30 \
  "rank 0 in (shared_)?experts, $layer_of_step: cublasLtMatmul failed with .*13" 3 --transport nccl
fails "a mapping" HASHEP_STANDIN_FAIL=1:cudaIpcOpenMemHandle:201@2 \
  "rank 1 in (setup|plan, step [0-5]): cudaIpcOpenMemHandle failed with .* \\(201\\)" 2 --transport ipc
fails "a message" HASHEP_STANDIN_FAIL=1:ncclSend:3@9 \
  "rank 1 in (dispatch|experts), $layer_of_step: ncclSend to rank [02] failed with code 3: " 3 --transport nccl
fails "the end of a group" HASHEP_STANDIN_FAIL=2:ncclGroupEnd:2@5 \
  "rank 2 in (dispatch|experts), $layer_of_step: ncclGroupEnd failed with code 2: " 3 --transport nccl
fails "NCCL's set-up" HASHEP_STANDIN_FAIL=0:ncclCommInitRankConfig:2@0 \
  "rank 0 in setup: ncclCommInitRankConfig failed with code 2: " 2 --transport hier
fails "NCCL's own error" HASHEP_STANDIN_NCCL=0:async_error:6@3 \
  "rank 0 in [a-z_]+(, layer [01])?, step [0-5]: .* failed with code 6: remote process exited" 2 --transport nccl
# Nobody is lost, and every rank says where it is: also one that needs memory while a step is stuck.
for n in 1 3 6 9 14; do
  fails "exchange $n without an end" HASHEP_STANDIN_NCCL=1:never_complete:0@$n \
    "${in_a_step}no progress for $deadline s for (the GPU|stand-in)(; rank [0-9] is in [^;]*)*$" 3 \
    --transport nccl --overlap off
done

finish

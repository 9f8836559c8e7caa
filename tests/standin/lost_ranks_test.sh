#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lost_ranks_test.sh HASHEP MAKE_MODEL CHECK_JSON ROUNDS: ranks on GPUs, the stand-in's, of which one
# is killed or stopped in a step: the job ends in time, with one line that names it and says where.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"
# shellcheck source=tests/launch/failing_jobs.sh
. "$here/failing_jobs.sh"

rounds=$4  # one rank killed and one stopped in each
export HASHEP_STANDIN_GPUS=3
options=(--device cuda --num-layers 2 --batch-tokens 200 --threads 1 --deadline "$deadline" --progress off
  --num-experts 9 --top-k 2 --hidden-size 32 --ffn-size 32 --vocab-size 512)
endless=("${options[@]}" --steps 1G --json "$work/out/r.json" --trace "$work/out/t.json")

# lost_rank RANKS TRANSPORT VICTIM: one is killed, then one is stopped, in a step.
lost_rank() {
  local count=$1 transport=$2 victim=$3
  name="rank $victim of $count killed, $transport"
  start "$count" "${endless[@]}" --transport "$transport"
  reach in_steps
  sleep 0.$((round * 7 % 10))
  signal KILL "$victim"
  ends "$name" $((deadline + slack))
  check "$name: one line that says so" one_error "$in_a_step.*$no_answer_from${victim}[ ,]"

  name="rank $victim of $count stopped, $transport"
  start "$count" "${endless[@]}" --transport "$transport"
  reach in_steps
  sleep 0.$((round * 3 % 10))
  signal STOP "$victim"
  ends "$name" $((deadline + slack))
  check "$name: exit code $code" [ "$code" = 1 ]
  check "$name: one line that says so" \
    one_error "${in_a_step}no progress for $deadline s(, waiting for [^;]+| for [^;]+)?; $no_answer_from${victim}[ ,]"
}

transports=(ipc nccl hier)
for ((round = 0; round < rounds; ++round)); do
  ranks=$((2 + round % 2))
  lost_rank $ranks "${transports[round % 3]}" $((round / 2 % ranks))
done

finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lost_ranks.sh HASHEP KILLS STOPS MOST_RANKS [OPTION...]: `hashep run --device cuda OPTION...` on 2 to
# MOST_RANKS ranks, of which one is killed or stopped in a step: the job ends in time, with one line
# that names it and says where. On GPUs, or with the program on the stand-in. TRANSPORTS (ipc nccl hier)
# are taken in turn.
# shellcheck disable=SC2317 # functions are passed by name
if [ $# -lt 4 ]; then
  echo "Usage: ${0##*/} HASHEP KILLS STOPS MOST_RANKS [OPTION...]" >&2
  exit 2
fi
hashep_path=$(realpath "$1")
kills=$2
stops=$3
most_ranks=$4
more=("${@:5}")
read -ra transports <<<"${TRANSPORTS:-ipc nccl hier}"
set -- "$hashep_path" '' ''
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/launch/failing_jobs.sh
. "$here/failing_jobs.sh"

endless=(--device cuda --num-layers 2 --batch-tokens 200 --threads 1 --deadline "$deadline" --progress off
  --num-experts 9 --top-k 2 --hidden-size 32 --ffn-size 32 --vocab-size 512 --steps 1G
  --json "$work/out/r.json" --trace "$work/out/t.json" "${more[@]}")

# lose SIGNAL WORD ROUND: a rank gets it in a step; each round with other ranks and another transport.
lose() {
  local count=$((2 + $3 % (most_ranks - 1)))
  local transport=${transports[$3 % ${#transports[@]}]}
  victim=$(($3 / 2 % count))
  name="rank $victim of $count $2, $transport"
  start "$count" "${endless[@]}" --transport "$transport"
  reach in_steps
  sleep 0.$(($3 * 7 % 10))
  signal "$1" "$victim"
  ends "$name" $((deadline + slack))
}

for ((round = 0; round < kills; ++round)); do
  lose KILL killed $round
  check "$name: one line that says so" told "$in_a_step.*$no_answer_from${victim}[ ,]" "$victim"
done
for ((round = 0; round < stops; ++round)); do
  lose STOP stopped $round
  check "$name: exit code $code" [ "$code" = 1 ]
  check "$name: one line that says so" one_error \
    "${in_a_step}no progress for $deadline s(, waiting for [^;]+| for [^;]+)?; $no_answer_from${victim}[ ,]"
done

finish

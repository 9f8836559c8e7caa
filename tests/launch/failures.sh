#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that dies or stalls, and stop signals: the job ends in time, with one line that says what
# happened and where, and leaves nothing behind, in shared memory neither. FAILURE_ROUNDS=20 repeats
# each case as often, but those of a step with --transport mpi every third time: ranks share memory
# unless told.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/launch/failing_jobs.sh
. "$here/failing_jobs.sh"

rounds=${FAILURE_ROUNDS:-3}
options=(--num-layers 2 --batch-tokens 300 --threads 1 --deadline "$deadline" --steps 1G
  --progress off --json "$work/out/r.json" --trace "$work/out/t.json")
endless=("${options[@]}" --num-experts 9 --hidden-size 64 --ffn-size 64)
# Some seconds of making weights, 300 MB of them on each rank, one small expert after the other.
slow_setup=("${options[@]}" --num-experts 150 --hidden-size 512 --ffn-size 512)

# in_steps_of TRANSPORT: $victim is killed or stopped in a step.
in_steps_of() {
  name="rank $victim killed, $1"
  start 3 "${endless[@]}" --transport "$1"
  reach in_steps
  check "$name: shares no memory" [ ${#shared_files[@]} -ge 3 ]
  sleep 0.$((round * 7 % 10))
  signal KILL $victim
  ends "$name" $((deadline + slack))
  check "$name: one line that says so" told "$in_a_step.*$no_answer_from${victim}[ ,]" $victim

  name="rank $victim stopped, $1"
  start 3 "${endless[@]}" --transport "$1"
  reach in_steps
  sleep 0.$((round * 3 % 10))
  signal STOP $victim
  ends "$name" $((deadline + slack))
  check "$name: exit code" [ "$code" = 1 ]
  check "$name: one line that says so" \
    one_error "${in_a_step}no progress for $deadline s(, waiting for [^;]+)?; $no_answer_from${victim}[ ,]"
}

for ((round = 1; round <= rounds; ++round)); do
  victim=$((round % 3))

  in_steps_of auto
  check "$name: not shm: $(head -n 1 stdout.txt)" grep -qF ", transport shm (auto), " stdout.txt
  if [ $victim = 1 ]; then in_steps_of mpi; fi

  name="rank $victim stopped in set-up"
  start 3 "${slow_setup[@]}"
  reach in_setup $victim
  signal STOP $victim
  ends "$name" $((deadline + slack + 60))
  check "$name: one line that says so" \
    one_error "rank [0-9] in setup: no progress for $deadline s; $no_answer_from${victim}[ ,]"

  name="rank $victim killed in set-up"
  start 3 "${slow_setup[@]}"
  reach in_setup $victim
  signal KILL $victim
  ends "$name" $((deadline + slack))
  check "$name: one line that says so" \
    told "rank [0-9] in setup: .*$no_answer_from${victim}[ ,]" $victim

  for signal in TERM INT; do
    name="mpirun gets SIG$signal"
    start 3 "${endless[@]}"
    reach in_steps
    kill -$signal "$job"
    ends "$name" $slack
    check "$name: one line that says so" told "${in_a_step}stopped by signal " '[0-9]+'

    name="a run alone gets SIG$signal"
    start 1 "${endless[@]}"
    reach in_steps
    kill -$signal "$job"
    ends "$name" $slack
    check "$name: exit code" [ "$code" = 1 ]
    check "$name: one line that says so" one_error "${in_a_step}stopped by signal "
  done

  name="rank $victim gets SIGTERM"
  start 3 "${endless[@]}"
  reach in_steps
  signal TERM $victim
  ends "$name" $slack
  check "$name: one line that says so" one_error "${in_a_step}stopped by signal Terminated"

  name="a run alone gets SIGINT in set-up"
  start 1 "${slow_setup[@]}"
  reach in_setup 0
  kill -INT "$job"
  ends "$name" $slack
  check "$name: exit code" [ "$code" = 1 ]
  check "$name: one line that says so" one_error "rank 0 in setup: stopped by signal Interrupt"
done

finish

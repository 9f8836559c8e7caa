#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How a job starts and ends: ranks that are stopped before, in and after MPI_Init, ranks that are
# killed, and set-up that takes long. START_ROUNDS=20 repeats the stops as often.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/launch/failing_jobs.sh
. "$here/failing_jobs.sh"
bench=$(dirname "$hashep")/hashep-bench
bench_run=(exchange --tokens-per-rank 32 --hidden-size 16 --num-experts 4 -n 1 -w 0)

# A rank that is stopped before main, or some time after it has begun; where it is then, it cannot be
# known here. The deadline counts from the start.
cat >stopped.sh <<'STOPPED'
#!/usr/bin/env bash
# stopped.sh RANK SECONDS PROGRAM...
rank=$1 delay=$2
shift 2
if [ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = "$rank" ]; then
  # What goes on here when the launcher ends the job is too late to begin.
  if [ "$delay" = 0 ]; then kill -STOP $$; exit 1; else (sleep "$delay"; kill -STOP $$) & fi
fi
exec "$@"
STOPPED
chmod +x stopped.sh

# stopped_after RANK SECONDS PATTERN ARGS...
stopped_after() {
  local name="rank $1 stopped after $2 s" begin=$SECONDS
  shared_files=()
  rm -f pid.*
  : >stdout.txt
  "$here/../../launch/mpirun.sh" 3 ./rank.sh "$PWD/stopped.sh" "$1" "$2" "${@:4}" </dev/null >stdout.txt 2>stderr.txt &
  job=$!
  ends "$name" $((deadline + slack))
  check "$name: one line that says so" one_error "$3"
}
a_place="rank [0-9] in ([a-zA-Z_]+)(, layer [0-9]+)?(, step [0-9]+)?"
for ((round = 0; round < ${START_ROUNDS:-1}; ++round)); do
  victim=$((round % 3))
  endless=("$hashep" run --hidden-size 64 --ffn-size 64 --num-experts 9 --threads 1 --steps 1G --progress off
    --deadline "$deadline" --json out/r.json)
  stopped_after $victim 0 "rank [0-9] in MPI_Init: no progress for $deadline s; another rank is stopped or dead" \
    "${endless[@]}"
  for delay in 0.0$((3 + round % 7)) 0.1$((round % 10)) 0.3$((round % 10)); do
    stopped_after $victim "$delay" "$a_place: no progress for $deadline s" "${endless[@]}"
  done
  speaker="hashep-bench"
  stopped_after $victim 0 "rank [0-9] in MPI_Init: no progress for $deadline s" \
    "$bench" "${bench_run[@]}" --deadline $deadline
  speaker=hashep
done

# A rank that is killed: the job ends, and mpirun says which one it was (MPICH's: which process). Whether
# we can speak, too, depends on the MPI (docs/launching.md).
for victim in 0 1; do
  name="rank $victim killed"
  start 3 --hidden-size 64 --ffn-size 64 --num-experts 9 --threads 1 --steps 1G --progress off --deadline "$deadline"
  reach in_steps
  signal KILL $victim
  ends "$name" $((deadline + slack))
  check "$name: named by nobody" \
    grep -aqE "process rank $victim with PID|PID $(cat pid.$victim) RUNNING AT" stderr.txt
done

# Set-up that takes longer than the deadline, on one rank alone: the others hear that it is alive.
cat >slow.sh <<'SLOW'
#!/usr/bin/env bash
# slow.sh PROGRAM...: rank 1 has a small part of a core.
if [ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 1 ]; then
  me=$$
  (while kill -STOP $me 2>/dev/null; do sleep 0.6; kill -CONT $me; sleep 0.05; done) >/dev/null 2>&1 &
fi
exec "$@"
SLOW
chmod +x slow.sh
patience=8
slow=("$PWD/slow.sh" "$hashep" run --num-layers 2 --num-experts 75 --hidden-size 512 --ffn-size 512
  --batch-tokens 64 --threads 1 --steps 1 --deadline "$patience")
begin=$SECONDS
on_ranks 3 "${slow[@]}"
check "slow set-up: exit code $code" [ "$code" = 0 ]
check "slow set-up: only $((SECONDS - begin)) s" [ $((SECONDS - begin)) -gt $patience ]
on_ranks 3 "${slow[@]}" --setup-deadline 3
check "--setup-deadline: exit code $code" [ "$code" = 1 ]
check "--setup-deadline: one line that says so" \
  one_error "rank [0-9] in setup: set-up is not done after 3 s;.* rank 1 is at work"

finish

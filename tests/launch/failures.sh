#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that dies or stalls, and stop signals: the job ends in time, with one line that says what
# happened and where, and leaves nothing behind, in shared memory neither. FAILURE_ROUNDS=20 repeats
# each case as often, but those of a step with --transport mpi every third time: ranks share memory
# unless told.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

rounds=${FAILURE_ROUNDS:-3}
deadline=5  # seconds: longer than ranks that outnumber cores are ever kept from running
options=(--num-layers 2 --batch-tokens 300 --threads 1 --deadline "$deadline" --steps 1G
  --progress off --json "$work/out/r.json" --trace "$work/out/t.json")
endless=("${options[@]}" --num-experts 9 --hidden-size 64 --ffn-size 64)
# Some seconds of making weights, 300 MB of them on each rank, one small expert after the other.
slow_setup=("${options[@]}" --num-experts 150 --hidden-size 512 --ffn-size 512)

# Each rank notes its process id before it becomes the program.
cat >rank.sh <<'RANK'
#!/usr/bin/env bash
echo $$ >pid.tmp.$$
mv pid.tmp.$$ "pid.${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}"
exec "$@"
RANK
chmod +x rank.sh

# start N ARGS...: begins a run on N ranks. The process id of mpirun, or of the program where N = 1,
# is left in $job.
start() {
  local count=$1
  shift
  rm -f pid.*
  : >stdout.txt
  if [ "$count" = 1 ]; then
    ./rank.sh "$hashep" run "$@" </dev/null >stdout.txt 2>stderr.txt &
  else
    "$here/../../launch/mpirun.sh" "$count" ./rank.sh "$hashep" run "$@" </dev/null >stdout.txt \
      2>stderr.txt &
  fi
  job=$!
}

# reach CONDITION...: the run comes this far. What its ranks then share memory by is left in
# $shared_files.
reach() {
  check "$name: not $1" within 60 "$@"
  local maps
  mapfile -t maps < <(sed 's|.*|/proc/&/maps|' pid.*)
  mapfile -t shared_files < <(sed -n 's|.* \(/dev/shm/[^ ]*\).*|\1|p' "${maps[@]}" | sort -u)
}

no_shared_file_left() {
  local file
  for file in "${shared_files[@]}"; do
    [ ! -e "$file" ] || return 1
  done
}

# The first line of output comes when set-up is done.
in_steps() {
  grep -q '^tokens: ' stdout.txt
}

# Rank $1 holds 100 MB more than a process of MPI: it is reading weights.
in_setup() {
  [ -e "pid.$1" ] && awk '/^VmRSS/ { found = $2 > 150000 } END { exit !found }' \
    "/proc/$(cat "pid.$1")/status" 2>/dev/null
}

has_ended() {
  ! kill -0 "$job" 2>/dev/null
}

no_rank_left() {
  local file
  for file in pid.*; do
    if kill -0 "$(cat "$file")" 2>/dev/null; then return 1; fi
  done
}

# ends TEXT SECONDS: the job ends within SECONDS, not well; its exit code is left in $code.
ends() {
  local begin=$SECONDS
  if ! within "$2" has_ended; then
    complain "$1: still there after $2 s"
    # shellcheck disable=SC2046 # one id per line
    kill -KILL $(cat pid.*) 2>/dev/null
    kill -TERM "$job"
  fi
  code=0
  wait "$job" || code=$?
  check "$1: exit code 0" [ "$code" != 0 ]
  check "$1: left $(ls -A out)" nothing_left
  check "$1: ranks live on" within 5 no_rank_left
  check "$1: shared memory left: $(ls -l "${shared_files[@]}" 2>&1)" within 5 no_shared_file_left
  rm -f out/*
  printf '%s: %d s, exit code %d: %s\n' "$1" $((SECONDS - begin)) "$code" "$(own_lines)"
}

# signal NAME RANK
signal() {
  kill "-$1" "$(cat "pid.$2")"
}

in_a_step='rank [0-9]+ in [a-z_]+(, layer [0-9]+)?, step [0-9]+: '
# Ranks that compute may not answer in time either.
no_answer_from='no answer from (rank [0-9], )*rank '
slack=8  # seconds for mpirun, and for ranks that have to wait for a core

# in_steps_of TRANSPORT: $victim is killed or stopped in a step.
in_steps_of() {
  name="rank $victim killed, $1"
  start 3 "${endless[@]}" --transport "$1"
  reach in_steps
  check "$name: shares no memory" [ ${#shared_files[@]} -ge 3 ]
  sleep 0.$((round * 7 % 10))
  signal KILL $victim
  ends "$name" $((deadline + slack))
  check "$name: one line that says so" one_error "$in_a_step.*$no_answer_from${victim}[ ,]"

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
  check "$name: one line that says so" one_error "rank [0-9] in setup: .*$no_answer_from${victim}[ ,]"

  for signal in TERM INT; do
    name="mpirun gets SIG$signal"
    start 3 "${endless[@]}"
    reach in_steps
    kill -$signal "$job"
    ends "$name" $slack
    check "$name: one line that says so" one_error "${in_a_step}stopped by signal "

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

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2154 # what its users use, and what lib.sh gives
# Jobs that are to fail, for tests of the program: sourced after lib.sh.
deadline=5  # seconds: longer than ranks that outnumber cores are ever kept from running

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

# Open MPI 5 itself leaves its sm_segment files behind where a job does not end well.
no_shared_file_left() {
  local file
  for file in "${shared_files[@]}"; do
    if [[ $file == */sm_segment.* ]]; then rm -f "$file"; fi
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

# told PATTERN RANK: one error line that matches. Or none, from Open MPI 5: its mpirun ends the job by
# itself where a rank was killed, and where mpirun is stopped prints nothing more of what ranks say.
# Then its own words name RANK, a pattern.
told() {
  one_error "$1" && return
  [[ $(mpirun --version 2>&1) == *"(Open MPI) 5."* ]] && [ -z "$(own_lines)" ] &&
    grep -qaE "(noticed that process|invoked on) rank $2 " stderr.txt
}

# signal NAME RANK
signal() {
  kill "-$1" "$(cat "pid.$2")"
}

slack=8  # seconds for mpirun, and for ranks that have to wait for a core
in_a_step='rank [0-9]+ in [a-z_]+(, layer [0-9]+)?, step [0-9]+: '
# Ranks that compute may not answer in time either.
no_answer_from='no answer from (rank [0-9], )*rank '

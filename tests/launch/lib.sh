#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # what the tests use
# Helpers of the tests of the program, sourced by them: SCRIPT HASHEP MAKE_MODEL CHECK_JSON.
set -uo pipefail

hashep=$1
speaker=$(basename "${hashep%_on_standin}")  # whose error lines are expected
make_model=$2
check_json=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mpirun=$here/../support/mpirun.sh
# Leaks are for the unit and MPI tests to find: here the slow unwinding that Open MPI's own leaks ask
# for would take many minutes.
export ASAN_OPTIONS=detect_leaks=0:fast_unwind_on_malloc=1
# shellcheck source=tests/support/sanitizers.sh
. "$here/../support/sanitizers.sh"

work=$(mktemp -d) || exit 1
trap '[ $BASHPID != $$ ] || rm -rf "$work"' EXIT  # not where a background job is stopped
cd "$work" || exit 1
mkdir out

# A run of milliseconds.
small=(--hidden-size 16 --ffn-size 16 --num-experts 4 --vocab-size 64 --batch-tokens 32 --seq-len 8
  --steps 2 --threads 1 --deadline 60)

# is_open_mpi: whether the launcher is Open MPI's. Not by a pipe into grep -q, which ends first: the
# launcher is then killed, and pipefail takes that for a no.
is_open_mpi() {
  [[ $(mpirun --version 2>&1) =~ Open\ MPI|OpenRTE ]]
}

checks=0
failures=0

# complain TEXT: a check failed; shows what the program said last.
complain() {
  failures=$((failures + 1))
  printf 'FAILED: %s\n' "$1"
  tr -d '\0' <stderr.txt | sed 's/^/    stderr: /'
}

# check TEXT COMMAND...: counts a check, which COMMAND tells the outcome of.
check() {
  local text=$1
  shift
  checks=$((checks + 1))
  "$@" || complain "$text"
}

# with ARGS...: leaves in $run the small run's options, less those that ARGS name, and ARGS.
with() {
  run=()
  local i
  for ((i = 0; i < ${#small[@]}; i += 2)); do
    case " $* " in
      *" ${small[i]} "* | *" ${small[i]}="*) ;;
      *) run+=("${small[i]}" "${small[i + 1]}") ;;
    esac
  done
  run+=("$@")
}

# on_ranks N COMMAND...: runs it on N ranks, N = 1 being without mpirun. The exit code is left in
# $code, the output in stdout.txt and stderr.txt.
on_ranks() {
  local count=$1
  shift
  code=0
  if [ "$count" = 1 ]; then
    timeout --kill-after=10 120 "$@" </dev/null >stdout.txt 2>stderr.txt || code=$?
  else
    HASHEP_MPI_TIMEOUT=120 "$mpirun" "$count" "$@" >stdout.txt 2>stderr.txt || code=$?
  fi
}

# ranks N ARGS...: `hashep run ARGS` on N ranks.
ranks() {
  on_ranks "$1" "$hashep" run "${@:2}"
}

# apart ARGS_OF_RANK_0 -- ARGS_OF_RANK_1: `hashep run` on two ranks, each in a folder of its own, a and
# b. By a script, as the mpirun of Open MPI 5 crashes on two programs with a -wdir each.
apart() {
  local of_rank_0=()
  while [ "$1" != -- ]; do
    of_rank_0+=("$1")
    shift
  done
  shift
  {
    # shellcheck disable=SC2016 # each rank expands it
    printf '#!/usr/bin/env bash\ncase ${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}} in\n'
    printf '0) cd a && exec %s ;;\n' "${hashep@Q} run ${of_rank_0[*]@Q}"
    printf '1) cd b && exec %s ;;\nesac\n' "${hashep@Q} run ${*@Q}"
  } >apart.sh
  chmod +x apart.sh
  on_ranks 2 ./apart.sh
}

# What the program itself wrote to stderr: all but mpirun's banners between lines of dashes, which
# Open MPI 5 ends with a NUL, its one-line notes, and what MPICH says of an MPI_Abort.
own_lines() {
  tr -d '\0' <stderr.txt | awk '/^-----------/ { banner = !banner; next }
       banner || /^\[([^]]*:[0-9]+|warn)\] / || /^(mpirun|prterun): / || /^Abort\([0-9]+\) on node / || /^$/ { next }
       { print }'
}

# Exactly one line, an error, that holds TEXT.
one_error_with() {
  local lines
  mapfile -t lines < <(own_lines)
  [ "${#lines[@]}" = 1 ] && [[ ${lines[0]} == "$speaker: error: "* ]] && [[ ${lines[0]} == *"$1"* ]]
}

# one_error PATTERN: exactly one line, an error that matches.
one_error() {
  local lines
  mapfile -t lines < <(own_lines)
  [ "${#lines[@]}" = 1 ] && [[ ${lines[0]} =~ ^"$speaker: error: "$1 ]]
}

# within SECONDS COMMAND...: waits until COMMAND succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# python_with MODULE: prints the name of a Python that has it: the first in PATH, or the system's.
python_with() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c "import $1" 2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

# went_well TEXT: what ran last did.
went_well() {
  check "$1: exit code $code" [ "$code" = 0 ]
  check "$1: wrote to stderr" [ -z "$(own_lines)" ]
}

nothing_left() {
  [ -z "$(ls -A out)" ]
}

finish() {
  printf '%d checks, %d failed\n' "$checks" "$failures"
  [ "$failures" = 0 ] && [ "$checks" -gt 0 ]
  exit
}

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# slurm.sh OPTIONS -- PROGRAM [ARGS...]: fills in launch/job.sbatch.in and submits it with sbatch.
set -euo pipefail
program=${0##*/}
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/options.sh
. "$here/options.sh"

usage() {
  cat <<USAGE
Usage: $program --nodes N --ranks-per-node G [OPTIONS] -- PROGRAM [ARGS...]

  --gpus-per-node N       GPUs for each node; each rank takes one (none: a job on CPUs)
  --cpus-per-rank N       cores for each rank (1)
  --time TIME             the job's limit, in Slurm's words: MINUTES, HH:MM:SS, D-HH (01:00:00)
  --partition P           where it runs; by default as Slurm says
  --account A             whose time it takes
  --name NAME             of the job, and of its output NAME-JOBID.out (hashep)
  --mpi KIND              how ranks find each other; srun --mpi=list tells what there is (pmix for
                          programs built with Open MPI, pmi2 for MPICH)
  --env NAME[=VALUE]      an environment variable that the ranks are to have; may be given again
  --dry-run               print the job and the command, and submit nothing
  --output FILE           write the job, and submit nothing
USAGE
}

nodes='' ranks_per_node='' gpus_per_node='' cpus_per_rank=1 time=01:00:00 partition='' account=''
name=hashep mpi='' environment='' dry_run='' output=''
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --dry-run) dry_run=1; shift; continue ;;
    --) shift; break ;;
    -*) [ $# -gt 1 ] || fail "$1 is missing its value, or is unknown (--help lists all)" ;;
    *) fail "'$1': -- is expected before the program (--help tells how)" ;;
  esac
  case $1 in
    --nodes) need_count "$1" "$2"; nodes=$2 ;;
    --ranks-per-node) need_count "$1" "$2"; ranks_per_node=$2 ;;
    --gpus-per-node) need_count "$1" "$2"; gpus_per_node=$2 ;;
    --cpus-per-rank) need_count "$1" "$2"; cpus_per_rank=$2 ;;
    --time) need_word "$1" "$2"; time=$2 ;;
    --partition) need_word "$1" "$2"; partition=$2 ;;
    --account) need_word "$1" "$2"; account=$2 ;;
    --name) need_word "$1" "$2"; name=$2 ;;
    --mpi) need_word "$1" "$2"; mpi=$2 ;;
    --env)
      need_variable "$2"
      environment+=" $variable=$(quoted "$value")"
      ;;
    --output) output=$2 ;;
    *) fail "unknown option $1 (--help lists all)" ;;
  esac
  shift 2
done
[ -n "$nodes" ] || fail "--nodes is missing"
[ -n "$ranks_per_node" ] || fail "--ranks-per-node is missing"
[ $# -gt 0 ] || fail "-- PROGRAM is missing"
if [ "$ranks_per_node" -gt "${gpus_per_node:-$ranks_per_node}" ] && [[ " $* " != *" --share-gpu "* ]]; then
  fail "--ranks-per-node $ranks_per_node: more than $gpus_per_node GPUs; a rank takes one; --share-gpu lets ranks share"
fi

# With the wrong one each rank takes itself to be alone.
note=''
if [ -z "$mpi" ]; then
  case $(mpi_of "$@") in
    openmpi) mpi=pmix ;;
    mpich) mpi=pmi2 ;;
    *)
      mpi=pmix
      note="$program: note: cannot tell which MPI $1 was built with: --mpi=pmix, as for Open MPI (MPICH: --mpi pmi2)"
      ;;
  esac
fi

say_note() {
  if [ -n "$note" ]; then echo "$note" >&2; fi
}

binding=--cpu-bind=cores
if [ -n "$gpus_per_node" ]; then binding='--gpu-bind=none --cpu-bind=none'; fi
command=$(quoted "$@")
declare -A filled=(
  [NAME]=$name [NODES]=$nodes [RANKS_PER_NODE]=$ranks_per_node [CPUS_PER_RANK]=$cpus_per_rank
  [GPUS_PER_NODE]=$gpus_per_node [TIME]=$time [PARTITION]=$partition [ACCOUNT]=$account [MPI]=$mpi
  [ENVIRONMENT]=${environment# } [BINDING]=$binding [COMMAND]=$command)

# fill_in: the template from stdin, less its notes and the lines whose option was not given.
fill_in() {
  local line
  while IFS= read -r line; do
    if [[ $line == '#@'* ]]; then continue; fi
    if [[ $line =~ ^([^@]*)@([A-Z_]+)@(.*)$ ]]; then
      if [ -z "${filled[${BASH_REMATCH[2]}]}" ]; then continue; fi
      line=${BASH_REMATCH[1]}${filled[${BASH_REMATCH[2]}]}${BASH_REMATCH[3]}
    fi
    printf '%s\n' "$line"
  done
}
job=$(fill_in <"$here/job.sbatch.in")

if [ -n "$output" ]; then
  temporary=$output.tmp
  trap 'rm -f "$temporary"' EXIT
  printf '%s\n' "$job" 2>/dev/null >"$temporary" || fail "--output $output: cannot be written"
  mv "$temporary" "$output"
  say_note
  echo "$program: wrote $output; sbatch $(quoted "$output") submits it"
  exit 0
fi
if [ -n "$dry_run" ]; then
  say_note
  printf '%s\n' "sbatch <<'JOB'" "$job" JOB
  exit 0
fi
if ! command -v sbatch >/dev/null; then
  echo "$program: error: there is no sbatch here; --output FILE writes the job for where there is" >&2
  exit 1
fi
say_note
exec sbatch <<<"$job"

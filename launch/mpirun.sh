#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mpirun.sh [OPTIONS] RANKS PROGRAM [ARGS...]: runs a program with the flags that the installed MPI
# needs (Open MPI 4 or 5, or MPICH), by the mpirun of the MPI that it was built with where there are
# both. The one place that knows them. Under Slurm: launch/slurm.sh.
set -euo pipefail
program=${0##*/}
# shellcheck source=launch/options.sh
. "$(dirname "${BASH_SOURCE[0]}")/options.sh"

usage() {
  cat <<USAGE
Usage: $program [OPTIONS] RANKS PROGRAM [ARGS...]

  --per none|core|numa|gpu  who has what (none):
                            none  ranks may outnumber the cores, and are not bound to any
                            core  a core for each rank
                            numa  a NUMA node for each rank, bound to its cores
                            gpu   a GPU for each rank: as many ranks on each node as it has slots in
                                  --hosts or --ranks-per-node says; not bound, as hashep goes to the
                                  cores near its GPU by itself
  --hosts A:8,B:8           on these hosts, with so many ranks on each
  --ranks-per-node N        so many on each node
  --env NAME[=VALUE]        an environment variable that the ranks are to have; may be given again
  --dry-run                 print the command, and run nothing
USAGE
}

per=none
hosts=''
ranks_per_node=''
variables=()
dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    --per | --hosts | --ranks-per-node | --env) [ $# -gt 1 ] || fail "$1 is missing its value" ;;&
    --per) per=$2; shift ;;
    --hosts) hosts=$2; shift ;;
    --ranks-per-node) ranks_per_node=$2; shift ;;
    --env) variables+=("$2"); shift ;;
    --dry-run) dry_run=1 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    -*) fail "unknown option $1 (--help lists them)" ;;
    *) break ;;
  esac
  shift
done
if [ $# -lt 2 ]; then
  usage >&2
  exit 2
fi
ranks=$1
shift
need_count RANKS "$ranks"
[[ $per =~ ^(none|core|numa|gpu)$ ]] || fail "--per $per: known are none, core, numa, gpu"

# Slots of the hosts, and how many ranks the fullest node has.
on_a_node=$ranks
if [ -n "$hosts" ]; then
  need_word --hosts "$hosts"
  slots=0 most=0 least=''
  IFS=, read -ra list <<<"$hosts"
  for host in "${list[@]}"; do
    [[ $host =~ ^[^:]+:[1-9][0-9]{0,5}$ ]] || fail "--hosts $hosts: HOST:RANKS,... is expected"
    count=${host##*:}
    slots=$((slots + count))
    if [ "$count" -gt "$most" ]; then most=$count; fi
    if [ -z "$least" ] || [ "$count" -lt "$least" ]; then least=$count; fi
  done
  [ "$slots" -ge "$ranks" ] || fail "--hosts $hosts: room for $slots ranks, $ranks are asked for"
  on_a_node=$most
  if [ "$per" = gpu ] && [ -z "$ranks_per_node" ]; then
    [ "$most" = "$least" ] || fail "--per gpu --hosts $hosts: as many on each host are expected"
    ranks_per_node=$most
  fi
fi
if [ "$per" = gpu ] && [ -z "$ranks_per_node" ]; then ranks_per_node=$ranks; fi
if [ -n "$ranks_per_node" ]; then
  need_count --ranks-per-node "$ranks_per_node"
  [[ $per != core && $per != numa ]] || fail "--ranks-per-node does not go with --per $per"
  on_a_node=$ranks_per_node
fi

if ! command -v mpirun >/dev/null; then
  echo "$program: error: there is no mpirun; ./launch/install_dependencies.sh installs one" >&2
  exit 1
fi

# Not where --hosts or a resource manager says which hosts there are.
on_one_host() {
  [ -z "$hosts${SLURM_JOB_ID:-}${PBS_JOBID:-}${LSB_JOBID:-}${PE_HOSTFILE:-}" ]
}

# The command, and before it what has to be in its environment.
environment=()
open_mpi() {
  # Containers have no other user; Open MPI wants to hear twice that this is meant.
  if [ "$(id -u)" = 0 ]; then
    environment+=(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
  fi
  # Ranks that spin while they outnumber the cores wait for scheduler ticks of milliseconds. nproc
  # would tell OMP_NUM_THREADS where that is set.
  if [ "$on_a_node" -gt "$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)" ]; then
    environment+=(OMPI_MCA_mpi_yield_when_idle=1)
  fi
  command=("$mpirun")
  if [ -n "$hosts" ]; then command+=(--host "$hosts"); fi
  local by_node=${ranks_per_node:+ppr:$ranks_per_node:node}
  case $per in
    # Not bound: a rank's OpenMP threads share the cores, and containers may forbid binding.
    none) command+=(--map-by "${by_node:-slot}:OVERSUBSCRIBE" --bind-to none) ;;
    gpu) command+=(--map-by "$by_node" --bind-to none) ;;
    core) command+=(--map-by core --bind-to core) ;;
    numa) command+=(--map-by ppr:1:numa --bind-to numa) ;;
  esac
  for each in "${variables[@]}"; do
    need_variable "$each"
    command+=(-x "$each")
  done
  # Open MPI 5 warns, rank by rank, of IPv6 addresses that do not reach each other, also on one host,
  # where no row and no message takes them.
  if on_one_host && [ -z "${OMPI_MCA_btl_tcp_disable_family:-}" ] &&
    [[ $("${command[0]}" --version 2>&1) == *"(Open MPI) 5."* ]]; then
    environment+=(OMPI_MCA_btl_tcp_disable_family=6)
  fi
  command+=(-np "$ranks")
}
mpich() {
  command=("$mpirun")
  if [ -n "$hosts" ]; then command+=(-hosts "$hosts"); fi
  if [ -n "$ranks_per_node" ]; then command+=(-ppn "$ranks_per_node"); fi
  case $per in
    core | numa) command+=(-bind-to "$per" -map-by "$per") ;;
  esac
  for each in "${variables[@]}"; do
    need_variable "$each"
    command+=(-genv "$variable" "$value")
  done
  command+=(-n "$ranks")
}

# kind_of MPIRUN: openmpi or mpich.
kind_of() {
  case $("$1" --version 2>&1) in
    *"Open MPI"* | *OpenRTE*) echo openmpi ;;
    *) echo mpich ;;
  esac
}
# Started by the other MPI's mpirun, each rank would take itself to be alone.
mpirun=mpirun
kind=$(kind_of mpirun)
wanted=$(mpi_of "$@")
if [ "${wanted:-$kind}" != "$kind" ]; then
  mpirun=mpirun.$wanted
  kind=$wanted
  command -v "$mpirun" >/dev/null ||
    fail "$1 was built with $wanted, and mpirun is another MPI's: put $wanted's first in PATH"
fi
case $kind in
  openmpi) open_mpi ;;
  mpich) mpich ;;
esac
command+=("$@")

if [ -n "$dry_run" ]; then
  quoted "${environment[@]}" "${command[@]}"
  echo
  exit 0
fi
if [ ${#environment[@]} -gt 0 ]; then export "${environment[@]}"; fi
exec "${command[@]}"

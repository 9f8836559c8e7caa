#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mpirun.sh RANKS PROGRAM [ARGS...]: runs a program on this machine with the flags that the
# installed MPI needs (Open MPI 4 or 5, or MPICH). The one place that knows them. On a cluster use
# your own mpirun or srun instead.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "Usage: ${0##*/} RANKS PROGRAM [ARGS...]" >&2
  exit 2
fi
ranks=$1
shift

if ! command -v mpirun >/dev/null; then
  echo "${0##*/}: error: there is no mpirun; ./launch/install_dependencies.sh installs one" >&2
  exit 1
fi

if [[ $(mpirun --version 2>&1) != *"Open MPI"* && $(mpirun --version 2>&1) != *OpenRTE* ]]; then
  exec mpirun -n "$ranks" "$@"
fi

# Containers have no other user; Open MPI wants to hear twice that this is meant.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# Ranks that spin while they outnumber the cores wait for scheduler ticks of milliseconds.
if [ "$ranks" -gt "$(nproc)" ]; then
  export OMPI_MCA_mpi_yield_when_idle=1
fi
# Not bound: a rank's OpenMP threads share the cores, and containers may forbid binding.
exec mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -np "$ranks" "$@"

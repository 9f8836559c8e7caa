#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # what the launchers use
# What the launchers' options have in common; sourced by launch/mpirun.sh and launch/slurm.sh.

# fail TEXT: bad input, in one line.
fail() {
  echo "${0##*/}: error: ${1//$'\n'/ }" >&2
  exit 2
}

# need_count NAME VALUE: a whole number from 1 on.
need_count() {
  [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || fail "$1 '$2': a whole number from 1 on is expected"
}

# need_word NAME VALUE: one word, as names of hosts and partitions are.
need_word() {
  [[ $2 =~ ^[A-Za-z0-9_.,:@/+-]+$ ]] || fail "$1 '$2': letters, digits and _.,:@/+- are expected"
}

# need_variable VALUE: NAME or NAME=VALUE of an environment variable; leaves $variable and $value.
need_variable() {
  [[ $1 =~ ^([A-Za-z_][A-Za-z0-9_]*)(=(.*))?$ ]] || fail "--env '$1': NAME or NAME=VALUE is expected"
  variable=${BASH_REMATCH[1]}
  if [ -n "${BASH_REMATCH[2]}" ]; then
    value=${BASH_REMATCH[3]}
  else
    [ -n "${!variable+set}" ] || fail "--env $variable: there is no such environment variable here"
    value=${!variable}
  fi
}

# mpi_of WORD...: openmpi or mpich, the kind of MPI that the first program among the words was built
# with; nothing where none of them tells.
mpi_of() {
  local word path
  for word in "$@"; do
    path=$(type -P -- "$word") || continue
    case $(ldd "$path" 2>/dev/null) in
      # MPICH's own name and Debian's, which Intel MPI and MVAPICH2 share; HPE Cray's.
      *libmpi.so.12* | *libmpich* | *libmpi_cray* | *libmpi_gnu*) echo mpich ;;
      *libmpi.so.*) echo openmpi ;;
      *) continue ;;
    esac
    return
  done
}

# quoted WORD...: as a shell reads it.
quoted() {
  local word line=''
  for word in "$@"; do
    if [[ ! $word =~ ^[A-Za-z0-9_.,:@%/=+-]+$ ]]; then word=$(printf '%q' "$word"); fi
    line+=" $word"
  done
  printf '%s' "${line# }"
}

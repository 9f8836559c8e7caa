#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the packages that HashEP needs and that are missing; does nothing where none is.
# Used by launch/quickstart.sh and tests/run.sh, and of use alone: --help tells how.
set -euo pipefail

program=${0##*/}
min_cmake=3.25

usage() {
  cat <<USAGE
Usage: $program [--yes] [--list] [SET...]

Installs what is missing of the named sets (default: build).
  build  compiler, CMake, Ninja, MPI, hwloc, oneDNN, LIBXSMM, xxHash, nlohmann-json, CLI11,
         SentencePiece, liburing
  text   the programs spm_train and spm_encode, which make token ids from text
  python what 'pip install ./python' needs beside build: Python's headers, pip, venv and numpy
  kjv    the King James Bible, the public-domain text of the quick start
  plot   matplotlib and SciPy, for benchmarks/plot.py and examples/language_model/chart.py
  peers  PyTorch and OpenBLAS, for benchmarks/peers and hashep.torch (0.6 GB with what they bring along)
  test   Catch2, numpy for the reference that models are compared with, and iproute2 for the tests on
         several hosts
  sim    SimGrid, for benchmarks/sim/run.sh
  ci     clang with libFuzzer and its OpenMP, clang-format, doxygen, git, ccache, pip
  coverage  gcovr, for tests/run.sh --coverage

  --yes   do not ask, even when a person is at the terminal
  --list  print the missing packages, one a line, and install nothing

What NVIDIA hands out is left to you: for GPUs the CUDA toolkit, NCCL 2.19 or later from NVIDIA's
package repository or the Python package nvidia-nccl-cu13 (cmake -D NCCL_ROOT=FOLDER/nvidia/nccl), and
for --expert-gemm fused, if you want it, the Python package nvidia-cutlass.

Debian 12 and 13 are tested; Ubuntu has the same package names as far as they could be looked up, and
is untested. Elsewhere it looks for the
programs and says what to install. HASHEP_NO_INSTALL=1 turns it off: take what is there.
USAGE
}

# Prints a set's packages, one a line as "package command": a machine that has the command, from
# wherever it comes (a cluster's modules, say), does not need the package.
packages_of() {
  case $1 in
    build) cat <<LIST
g++ g++
cmake cmake
ninja-build ninja
openmpi-bin mpirun
libopenmpi-dev mpicxx
libhwloc-dev
libdnnl-dev
ocl-icd-opencl-dev
libxxhash-dev
nlohmann-json3-dev
libcli11-dev
libsentencepiece-dev
liburing-dev
LIST
      if is_amd64; then echo libxsmm-dev; fi  # faster GEMMs with AVX2; HashEP builds without it too
      ;;
    text) echo sentencepiece spm_train ;;
    kjv) printf '%s\n' 'bible-kjv bible' bible-kjv-text ;;
    python) printf '%s\n' python3-dev 'python3-pip pip3' python3-venv python3-numpy ;;
    plot) printf '%s\n' python3-matplotlib python3-scipy ;;
    peers) printf '%s\n' python3-torch libopenblas0-pthread ;;
    sim) echo libsimgrid-dev smpicxx ;;
    test) printf '%s\n' catch2 python3-numpy 'iproute2 tc' ;;
    ci) printf '%s\n' 'clang clang++' "$(fuzzer_package)" libomp-dev 'clang-format clang-format' 'doxygen doxygen' 'git git' 'ccache ccache' 'python3-pip pip3' ;;
    coverage) echo gcovr gcovr ;;
    *) echo "$program: error: there is no set '$1' (sets: build, python, text, kjv, plot, peers, test, sim, ci, coverage)" >&2; return 2 ;;
  esac
}

is_amd64() { [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; }

# The package with libFuzzer's library is named after the version of clang.
fuzzer_package() {
  case "$distribution:$release" in
    debian:12) echo libclang-rt-14-dev ;;
    debian:13) echo libclang-rt-19-dev ;;
    ubuntu:22.04) echo libclang-common-14-dev ;;
    ubuntu:24.04) echo libclang-rt-18-dev ;;
    *) echo clang clang++ ;;
  esac
}

os_release() { sed -n "s/^$1=//p" /etc/os-release 2>/dev/null | tr -d '"' || true; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Prints the packages of the given sets that are not there.
missing_of() {
  local set list package command
  for set in "$@"; do
    list=$(packages_of "$set") || return
    while read -r package command; do
      if [ -n "$command" ] && command -v "$command" >/dev/null; then continue; fi
      if [ -n "$have_apt" ]; then
        if ! installed "$package"; then echo "$package"; fi
      elif [ -n "$command" ]; then
        echo "$package ($command)"
      fi
    done <<<"$list"
  done
}

# Fails where the CMake that is there is too old for the presets.
check_cmake() {
  local version
  version=$(cmake --version | awk 'NR == 1 {print $3}')
  if [ "$(printf '%s\n' "$min_cmake" "$version" | sort -V | head -n 1)" != "$min_cmake" ]; then
    echo "$program: error: CMake $version is too old, HashEP needs $min_cmake or later;" \
      "'pip install cmake' brings one" >&2
    return 1
  fi
}

# Where there is no apt: the libraries by the names that their projects have.
explain_elsewhere() {
  cat >&2 <<TEXT
$program: error: this system has no apt, so nothing was installed. Not found: $*
Install with your own package manager: a C++20 compiler (g++ 12 or later), CMake $min_cmake or later,
Ninja, an MPI-3 library, hwloc 2, oneDNN 2.x or 3.x (with its CMake files), xxHash, nlohmann-json, CLI11,
SentencePiece (library, headers, spm_train and spm_encode), on x86 LIBXSMM 1.17 if you can, for the tests Catch2, Python with numpy and iproute2. Then run this
command again. The quick start's own text is a Debian package: use --text FILE elsewhere.
TEXT
}

# Asks a person; with no terminal, or with --yes, the answer is yes.
agreed() {
  local answer
  if [ -n "$yes" ] || [ ! -t 0 ]; then return 0; fi
  read -r -p "Install them with apt-get? [Y/n] " answer
  case $answer in '' | [Yy]*) return 0 ;; *) return 1 ;; esac
}

apt_install() {
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "$program: error: not root, and there is no sudo; have an administrator run" >&2
      echo "  apt-get install --no-install-recommends $*" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update || echo "$program: warning: apt-get update failed, trying with the old lists" >&2
  "${apt[@]}" install --yes --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >&2
}

yes=''
list_only=''
sets=()
while [ $# -gt 0 ]; do
  case $1 in
    --yes | -y) yes=1 ;;
    --list) list_only=1 ;;
    --help | -h) usage; exit 0 ;;
    -*) echo "$program: error: unknown option $1 (--help lists them)" >&2; exit 2 ;;
    *) sets+=("$1") ;;
  esac
  shift
done
if [ ${#sets[@]} = 0 ]; then sets=(build); fi

if [ -n "${HASHEP_NO_INSTALL:-}" ]; then exit 0; fi
have_apt=$(command -v apt-get || true)
distribution=$(os_release ID)
release=$(os_release VERSION_ID)

found=$(missing_of "${sets[@]}")
missing=()
if [ -n "$found" ]; then mapfile -t missing <<<"$found"; fi
if [ -n "$list_only" ]; then
  if [ ${#missing[@]} -gt 0 ]; then printf '%s\n' "${missing[@]}"; fi
  exit 0
fi
if [ ${#missing[@]} -gt 0 ]; then
  if [ -z "$have_apt" ]; then explain_elsewhere "${missing[@]}"; exit 1; fi
  echo "Packages missing: ${missing[*]}"
  if ! agreed; then
    echo "$program: error: nothing was installed" >&2
    exit 1
  fi
  apt_install "${missing[@]}"
fi
check_cmake

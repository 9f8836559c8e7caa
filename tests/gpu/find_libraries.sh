#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what run.sh has set
# Finds what run.sh builds with and measures beside: the libraries, a Python with PyTorch, NCCL, CUTLASS. Sourced
# by it. Leaves $set (full or one-rank), $with_deps (before each command that is built here) and
# $torch_python (or nothing).

# ---- Python: the one that is named, the first in PATH, then those of virtual environments.
pythons=()
# shellcheck disable=SC2086 # a pattern is meant
for python in "${PYTHON:-}" python3 ${VENVS:-/opt/*/.venv}; do
  if [ -d "$python" ]; then python=$python/bin/python; fi
  if [ -n "$python" ] && command -v "$python" >/dev/null; then pythons+=("$python"); fi
done
# python_with MODULE: the first Python that has it.
python_with() {
  local python
  for python in "${pythons[@]}"; do
    if "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "$1" \
      >>"$log" 2>&1; then
      echo "$python"
      return
    fi
  done
}
torch_python=$(python_with torch)
printf 'PyTorch\t%s\n' "${torch_python:-not found}" >>"$work/machine"

# ---- Libraries: the system's own, and before them those in .gpu-deps.
root=$PWD/build/gpu-deps/root
sets=()
for folder in .gpu-deps/one-rank .gpu-deps/full; do
  if [ "$set" = one-rank ] && [ "$folder" = .gpu-deps/full ]; then continue; fi
  if compgen -G "$folder/*.deb" >/dev/null; then sets+=("$folder"); fi
done
with_deps=(env)
with_probe_deps=()
if [ ${#sets[@]} -gt 0 ]; then
  part "unpack ${sets[*]##*/}" 15 tests/gpu/unpack_dependencies.sh "$root" "${sets[@]}"
  libraries=$root/usr/lib/x86_64-linux-gnu
  headers=$root/usr/include
  # Only for what is built here: Python and its libraries keep to the system's. The compiler's own
  # variables are for the probes; CMake has its own.
  with_deps+=("LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "PATH=$root/usr/bin:$PATH"
    "CMAKE_PREFIX_PATH=$root/usr" "CMAKE_INCLUDE_PATH=$headers" "CMAKE_LIBRARY_PATH=$libraries")
  with_probe_deps=("CPATH=$headers:$headers/x86_64-linux-gnu" "LIBRARY_PATH=$libraries")
  if [ -e "$root/usr/bin/mpirun" ]; then
    # One host: no remote shell is looked for, no network's driver, and no compression of messages.
    with_deps+=("OPAL_PREFIX=$root/usr" "PMIX_INSTALL_PREFIX=$libraries/pmix2" OMPI_MCA_plm=isolated
      OMPI_MCA_pml=ob1 "OMPI_MCA_btl=self,vader" OMPI_MCA_btl_vader_single_copy_mechanism=none
      PMIX_MCA_pcompress_base_silence_warning=1)
  fi
fi

# ---- Small programs that are built and run, so that what is missing is told before the long build.
# probe WHAT LIMIT ARGUMENTS...
probe() {
  part "probe $1" "$2" "${with_deps[@]}" "${with_probe_deps[@]}" tests/gpu/probe.sh "$1" "$work/probes" "${@:3}"
}
mkdir "$work/probes"
if [ -n "$gpu" ]; then probe gpu 20 native; else probe gpu 20 "sm_$arch" --no-gpu; fi

# Where NCCL may be: as told, beside the toolkit, in .gpu-deps, with PyTorch or another Python, in the system.
nccl_roots=()
toolkit=$(realpath "$(dirname "$(realpath "$(command -v nvcc)")")/..")
if [ -n "${NCCL_ROOT:-}" ]; then
  nccl_roots+=("$NCCL_ROOT")
elif [ -e "$toolkit/include/nccl.h" ]; then
  nccl_roots+=("$toolkit")
elif [ "$set" != one-rank ] && compgen -G '.gpu-deps/nccl/*.whl' >/dev/null; then
  part "unpack nccl" 30 python3 -m zipfile -e .gpu-deps/nccl/*.whl build/gpu-deps/nccl
  nccl_roots+=("$PWD/build/gpu-deps/nccl/nvidia/nccl")
fi
nccl_python=$(python_with nvidia.nccl)
if [ -n "$nccl_python" ]; then
  nccl_roots+=("$("$nccl_python" -c 'import nvidia.nccl; print(list(nvidia.nccl.__path__)[0])' 2>>"$log")")
fi
nccl_roots+=('')

# CUTLASS, for fused GEMMs, which a build can do without: as told, in .gpu-deps, or with a Python.
if [ -z "${CUTLASS_ROOT:-}" ]; then
  cutlass_python=$(python_with cutlass_library)
  if compgen -G '.gpu-deps/cutlass/*.whl' >/dev/null; then
    part "unpack cutlass" 15 python3 -m zipfile -e .gpu-deps/cutlass/*.whl build/gpu-deps/cutlass
    with_deps+=("CUTLASS_ROOT=$PWD/build/gpu-deps/cutlass")
  elif [ -n "$cutlass_python" ]; then
    with_deps+=("CUTLASS_ROOT=$("$cutlass_python" -c 'import importlib.util as u
print(u.find_spec("cutlass_library").submodule_search_locations[0])' 2>>"$log")")
  fi
fi

# With --set full what is missing is a failure, and CMake has the last word on it.
if [ "$set" != one-rank ]; then
  on_missing=FAILED
  if [ "$set" = auto ]; then on_missing=skipped; fi
  if on_failure=$on_missing probe ranks 15 && on_failure=$on_missing probe nccl 10 "${nccl_roots[@]}"; then
    set=full
    nccl_root=$(sed -n '$s|^NCCL in /|/|p' "$part_log")
    if [ -n "$nccl_root" ]; then with_deps+=("NCCL_ROOT=$nccl_root"); fi
  elif [ "$set" = auto ]; then
    set=one-rank
  fi
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches, as packages that are not installed, the libraries that HashEP needs on a machine
# which has a GPU but no network: run it where there is apt, then take the checkout there with
# .gpu-deps/. tests/gpu/run.sh unpacks them.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C  # one order of names for sort and comm

# Headers, their libraries, and what these link: no more, as the folder travels.
one_rank=(nlohmann-json3-dev libxxhash-dev libxxhash0 libcli11-dev catch2 libsentencepiece-dev
  libsentencepiece0 libprotobuf-lite32 libabsl20220623)
full=(libdnnl-dev libdnnl2 ocl-icd-opencl-dev ocl-icd-libopencl1 opencl-c-headers
  libopenmpi-dev libopenmpi3 openmpi-bin openmpi-common libhwloc-dev libhwloc15 libevent-core-2.1-7
  libevent-pthreads-2.1-7 libpmix2 libmunge2
  libucx0 libfabric1 libpsm2-2 libpsm-infinipath1 libuuid1 libnuma1
  libibverbs1 ibverbs-providers librdmacm1 libnl-3-200 libnl-route-3-200)
# What a system with a C++ compiler has anyway.
everywhere='^(ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libgomp|libatomic|libz|libudev)\.so'

usage() {
  cat <<'USAGE'
Usage: tests/gpu/fetch_dependencies.sh [one-rank | full | nccl | cutlass]

  one-rank  what the GPU path of one rank needs: nlohmann-json, xxHash, SentencePiece, CLI11, Catch2
  full      that and Open MPI, hwloc and oneDNN (default)
  nccl      NCCL alone, for machines that have it neither beside the CUDA toolkit nor with PyTorch
  cutlass   the headers of CUTLASS alone, for fused GEMMs of experts

Puts the packages into folders of these names in .gpu-deps/, which git ignores; about 3, 14, 200 and
7 MB. Needs apt-get with Debian 12's archives, for NCCL and CUTLASS pip. Installs nothing.
USAGE
}

fail() {
  echo "fetch_dependencies: error: $*" >&2
  exit 1
}

# fetch SET PACKAGE...: the packages' files into .gpu-deps/SET, all of them or none.
fetch() {
  local set=$1
  shift
  mkdir "$work/$set"
  (cd "$work/$set" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@") ||
    fail "apt-get could not download the set '$set' (is this Debian 12, and apt-get update done?)"
  local -a files=("$work/$set"/*.deb)
  if [ ${#files[@]} != $# ]; then fail "set '$set': ${#files[@]} files for $# packages"; fi
}

# fetch_python SET PACKAGE: one of NVIDIA's Python packages. NCCL's is for CUDA 13; NCCL_PACKAGE names
# another.
fetch_python() {
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work/$1" "$2" ||
    fail "pip could not download $2"
}

# Fails where an unpacked library or program links one that is neither here nor everywhere.
check_closure() {
  local root=$1 needed missing
  # readelf complains of the scripts among the programs.
  needed=$({ find "$root" -type f \( -name '*.so*' -o -path '*/bin/*' \) -exec readelf -d {} + 2>/dev/null || true; } |
    sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u | grep -vE "$everywhere")
  if [ -z "$needed" ]; then fail "readelf found no library in the packages"; fi
  missing=$(comm -23 <(echo "$needed") <(find -L "$root" -type f -name '*.so*' -printf '%f\n' | sort -u))
  if [ -n "$missing" ]; then fail "no package here has ${missing//$'\n'/, }"; fi
}

case ${1:-full} in
  one-rank) sets=(one-rank) ;;
  full) sets=(one-rank full) ;;
  nccl | cutlass) sets=("$1") ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
mkdir -p .gpu-deps
work=$(mktemp -d "$PWD/.gpu-deps/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ "${sets[0]}" = nccl ]; then
  fetch_python nccl "${NCCL_PACKAGE:-nvidia-nccl-cu13==2.28.9}"
elif [ "${sets[0]}" = cutlass ]; then
  fetch_python cutlass nvidia-cutlass==4.2.0.0
else
  command -v apt-get >/dev/null || fail "there is no apt-get here"
  command -v readelf >/dev/null || fail "readelf is missing; it is in the package binutils"
  fetch one-rank "${one_rank[@]}"
  if [ ${#sets[@]} = 2 ]; then fetch full "${full[@]}"; fi
  tests/gpu/unpack_dependencies.sh "$work/root" "${sets[@]/#/$work/}" >/dev/null
  check_closure "$work/root"
  rm -rf .gpu-deps/one-rank .gpu-deps/full
fi

for set in "${sets[@]}"; do
  rm -rf ".gpu-deps/$set"
  mv "$work/$set" ".gpu-deps/$set"
  echo ".gpu-deps/$set: $(find ".gpu-deps/$set" -type f | wc -l) packages," \
    "$(du -s --apparent-size -B 1M ".gpu-deps/$set" | cut -f 1) MB"
done

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kernel_resources.sh BUILD_FOLDER: what the compiler makes of each kernel on sm_90. Compiles every
# .cu file of the build with the build's own flags, prints registers and shared memory of each kernel
# and fails where one spills or uses local memory, where a kernel made for 16-byte accesses has none,
# where one that promises the CPU's bits may fuse a product with a sum, or where flags have not their
# fences. Fused GEMMs, where the build has them, are compiled for sm_90a and must multiply by warp
# groups. Needs nvcc, c++filt and Python, no GPU.
set -euo pipefail

readonly arch=90
here=$(cd "$(dirname "$0")" && pwd)
# Kernels whose rows are read and written 16 bytes at a time, each with the narrower stores it may
# have beside: add_rows at the end of its stretch. The gate reads so, and writes single weights.
readonly wide=(
  'ScatterBody<16>|none'
  'CombineBody<*, 16, *>|none'
  'AddRowsBody<*, 16>|some'
  'AddBiasBody<*, 16>|none'
  'ActivationBody<float, float, 4>|none'
  'ActivationBody<float, BFloat16, 8>|none'
  'ActivationBody<BFloat16, float, 8>|none'
  'ActivationBody<BFloat16, BFloat16, 8>|none'
  'GateBody<*, true, *>|loads'
)
# Kernels that promise the CPU's bits: each product is rounded before it is added.
readonly apart=('CombineBody<*>' 'AddRowsBody<*>' 'AddBiasBody<*>')

if [ $# != 1 ] || [ ! -f "$1/compile_commands.json" ]; then
  echo "kernel_resources.sh: error: needs a build folder with compile_commands.json" >&2
  exit 2
fi
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=''
complain() {
  echo "FAILED: $*"
  failed=1
}

# The text of each kernel in a PTX file, in a file each. Names of CUTLASS's kernels are too long for one.
readonly longest=200
split_kernels() {
  awk -v folder="$work" -v longest=$longest '
    /\.entry / {
      name = $0; sub(/.*\.entry /, "", name); sub(/\(.*/, "", name)
      out = folder "/" substr(name, length(name) > longest ? length(name) - longest + 1 : 1) ".entry"
    }
    out != "" { print > out }' "$1"
}
entry_of() { echo "$work/$(tail -c $longest < <(printf %s "$1")).entry"; }

# 1. Compile: one PTX file for each source, then ptxas' report on it.
sources=0
while IFS= read -r command; do
  # A launcher such as ccache goes; so do the outputs and architectures of the build.
  feature=''
  if [[ $command == *fused_gemm_cutlass.cu* ]]; then feature=a; fi
  command=$(sed -E 's/^\s*"command": "//; s/",?$//; s/\\"/"/g; s/^\S*ccache //
    s/ "?--generate-code=[^ ]*//g; s/ -arch=\S+//g; s/ -M[DTF]+( [^ -]\S*)?//g; s/ -o \S+//; s/ -x cu -c / -x cu /' <<<"$command")
  ptx="$work/$sources.ptx"
  (cd "$build" && eval "$command --ptx -arch=compute_$arch$feature -o '$ptx'")
  nvcc=$(cut -d' ' -f1 <<<"$command")
  ptxas=$(dirname "$nvcc")/ptxas
  if [ ! -x "$ptxas" ]; then ptxas=ptxas; fi
  "$ptxas" -v -arch="sm_$arch$feature" "$ptx" -o "$work/out.cubin" >>"$work/report" 2>&1
  split_kernels "$ptx"
  sources=$((sources + 1))
done < <(grep -E '"command": .*\.cu -o ' "$build/compile_commands.json" | grep -v '/tests/')

# 2. Registers, shared memory, local memory.
awk '
  /Compiling entry function/ { split($0, part, "\047"); name = part[2] }
  /bytes stack frame/ { stack = $1; spill = $5 + $9 }
  / Used [0-9]+ registers/ {
    smem = 0
    for (i = 1; i < NF; ++i) {
      if ($i == "Used") registers = $(i + 1)
      if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) smem = $i
      if ($(i + 1) == "bytes" && $(i + 2) == "cumulative") stack = $i  # with what it calls
    }
    print name, registers, smem, stack, spill
  }' "$work/report" >"$work/kernels"

# The name of a kernel without namespaces, arguments and the template that launches it.
short_name() {
  c++filt "$1" | sed -E 's/\(anonymous namespace\):://g; s/hashep:://g; s/^void //; s/\(.*\)$//
    s/^cutlass::device_kernel<.*/fused GEMM/
    s/^run_(body|gate)<(.*[^ ]) ?>$/\2/'
}

kernels=0
printf '%-42s %9s %12s\n' kernel registers 'shared bytes'
while read -r mangled registers smem stack spill; do
  kernels=$((kernels + 1))
  name=$(short_name "$mangled")
  printf '%-42s %9s %12s\n' "$name" "$registers" "$smem"
  if [ "$stack" != 0 ] || [ "$spill" != 0 ]; then
    complain "$name: $stack bytes of stack, $spill of spills"
  fi
  if grep -qE '\b(ld|st)\.local' "$(entry_of "$mangled")"; then complain "$name: local memory"; fi
  printf '%s|%s\n' "$name" "$mangled" >>"$work/names"
done <"$work/kernels"

# for_kernels PATTERN FUNCTION...: calls FUNCTION... NAME FILE for each kernel of such a name, FILE
# its PTX. There has to be one.
for_kernels() {
  local pattern=$1 found='' name mangled
  shift
  while IFS='|' read -r name mangled; do
    # shellcheck disable=SC2053  # a pattern is meant
    if [[ $name != $pattern ]]; then continue; fi
    found=1
    "$@" "$name" "$(entry_of "$mangled")"
  done <"$work/names"
  if [ -z "$found" ]; then complain "no kernel is called $pattern"; fi
}

# 3. Accesses of 16 bytes.
wide_kernels=0
check_wide() {
  local narrow_stores=$1 name=$2 entry=$3
  wide_kernels=$((wide_kernels + 1))
  if ! grep -qE '\bld\.global\S*\.v4\.[a-z]32' "$entry"; then
    complain "$name: no load of 16 bytes"
  fi
  if [ "$narrow_stores" = loads ]; then return; fi
  if ! grep -qE '\bst\.global\S*\.v4\.[a-z]32' "$entry"; then
    complain "$name: no store of 16 bytes"
  fi
  if [ "$narrow_stores" = none ] && grep -qP '\bst\.(?!global\S*\.v4\.[a-z]32)' "$entry"; then
    complain "$name: stores of less than 16 bytes"
  fi
}
for rule in "${wide[@]}"; do for_kernels "${rule%|*}" check_wide "${rule#*|}"; done

# 4. Products and sums: ptxas may still fuse a product that names no rounding.
apart_kernels=0
check_apart() {
  local name=$1 entry=$2 count
  apart_kernels=$((apart_kernels + 1))
  count=$(grep -cE '\bfma\.|\bmul(\.ftz|\.sat)*\.b?f[0-9]' "$entry" || true)
  if [ "$count" != 0 ]; then complain "$name: $count products that are fused with a sum, or may be"; fi
}
for pattern in "${apart[@]}"; do for_kernels "$pattern" check_apart; done

# 5. Flags.
check_fences() {
  local name=$1 entry=$2 faults
  if ! faults=$("$here/flag_fences.py" "$entry"); then complain "$name: ${faults//$'\n'/; }"; fi
}
for_kernels run_flag_step check_fences

# 6. Fused GEMMs.
fused_kernels=0
check_warp_groups() {
  fused_kernels=$((fused_kernels + 1))
  if ! grep -q '\bwgmma\.mma_async' "$2"; then complain "$1: no product of warp groups"; fi
}
if grep -q fused_gemm_cutlass.cu "$build/compile_commands.json"; then
  for_kernels 'fused GEMM' check_warp_groups
fi

entries=$(find "$work" -name '*.entry' | wc -l)
if [ "$entries" != "$kernels" ]; then complain "$entries kernels in PTX, $kernels in ptxas' report"; fi
if [ -n "$failed" ]; then exit 1; fi
echo "$kernels kernels of $sources files on sm_$arch: no spill, no local memory; $wide_kernels with" \
  "16-byte accesses, $apart_kernels that round products apart, flags with their fences, $fused_kernels fused GEMMs"

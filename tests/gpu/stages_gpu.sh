#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what run.sh has set
# The parts of run.sh with one rank. Sourced by it.

gpu_correct() {
  if part "tests on a GPU" 80 "${with_deps[@]}" ctest --test-dir "$folder" -L '^gpu$' --no-tests=error \
    --output-on-failure && [ -n "$gpu" ] && grep -qh '^skipped: no GPU' "$folder/Testing/Temporary/LastTest.log"; then
    row FAILED "tests on a GPU" 0 "a test says that it saw no GPU"
  fi
}

# bench WHAT LIMIT ARGUMENTS...
bench() {
  local what=$1 limit=$2
  shift 2
  if [ ! -x "$bin/hashep-bench-gpu" ]; then
    row FAILED "benchmark $what" 0 "hashep-bench-gpu was not built"
  elif [ -z "$gpu" ]; then
    row skipped "benchmark $what" 0 "needs a GPU"
  else
    part "benchmark $what" "$limit" "${with_deps[@]}" "$bin/hashep-bench-gpu" "$what" -J "$out/$what.json" "$@"
  fi
}

gpu_measured() {
  bench rows 30
  bench layer 55 --dump "$work/layer.safetensors"
  bench launch 30
  if [ -z "$gpu" ]; then
    row skipped "benchmark torch" 0 "needs a GPU"
  elif [ -z "$torch_python" ]; then
    row skipped "benchmark torch" 0 "no PyTorch in ${pythons[*]}"
  elif [ ! -f "$work/layer.safetensors" ]; then
    row FAILED "benchmark torch" 0 "the benchmark of the layer left no tensors"
  else
    part "benchmark torch" 50 "$torch_python" benchmarks/torch_layer.py --input "$work/layer.safetensors" \
      -J "$out/torch.json"
  fi
}

# A part for each tool and program, that one which hangs ends alone. Programs of most moving parts first.
gpu_sanitized() {
  local tool program name programs searched=''
  if [ -z "$gpu" ]; then
    row skipped "compute-sanitizer" 0 "needs a GPU"
    return
  elif ! command -v compute-sanitizer >/dev/null; then
    row skipped "compute-sanitizer" 0 "compute-sanitizer is not on this machine"
    return
  fi
  # Of a test that was not built, ctest tells no command.
  mapfile -t programs < <("${with_deps[@]}" ctest --test-dir "$folder" --show-only=json-v1 -L '^gpu$' | python3 -c '
import json, os, sys
programs = {test["command"][0] for test in json.load(sys.stdin)["tests"] if "command" in test}
for program in sorted(programs, key=lambda program: (os.path.basename(program) != "stack_gpu_test", program)):
    print(program)')
  for tool in memcheck racecheck initcheck; do
    for program in "${programs[@]}"; do
      name="$tool ${program##*/}"
      part "$name" 45 "${with_deps[@]}" tests/gpu/sanitize.sh "$tool" "$program"
      if ! grep -q '^skipped: ' "$part_log"; then searched=1; fi
    done
  done
  if [ -z "$searched" ]; then row FAILED "compute-sanitizer" 0 "no test program ran under it"; fi
}

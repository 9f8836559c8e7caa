#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what the library sets
# run.sh on one rank, among fakes: whether failures, time limits, skipped tests and what is missing end as
# the summary and exit code say.
# shellcheck source=tests/gpu/run_lib.sh
. "$(dirname "$0")/run_lib.sh"

run 0 "all well" -- --set one-rank
summary_has "# HashEP on a GPU: passed"
summary_has "GPU: Fake GPU, 81559 MiB, 580.1"
summary_has "commit: abc123"
summary_has "set: one-rank, preset cuda-one-rank"
summary_has "probe gpu" passed "the probe gpu works"
summary_has "tests on a GPU" passed "0 tests failed out of 2"
for tool in memcheck racecheck initcheck; do
  for program in stack a; do summary_has "$tool ${program}_gpu_test" passed "nothing found"; done
done
check "small cases alone" [ "$(grep -c '^[a-z]*check [a-z]*_gpu_test \[small\]$' "$folder/sanitized")" = 6 ]
for what in rows layer launch; do summary_has "benchmark $what" passed; done
in_order "tests on a GPU" "benchmark rows" "benchmark layer" "benchmark launch" "benchmark torch" \
  "memcheck stack_gpu_test" "memcheck a_gpu_test" "racecheck stack_gpu_test" "initcheck a_gpu_test"
summary_has "| layer" "bf16 lanes 1" 100 70 0.700 "gb_per_s 2718" "0.600 of dense_gemm_bf16_output" "not GEMM 25.0 %"
summary_has "| layer" "bf16 grouped" 80 70 0.875 "WRONG 2"
summary_has "PyTorch's layer (torch_loop) takes 1.50 times as long as HashEP's (grouped)"
check "at most 8 flat files" [ "$(find "$out" -mindepth 1 -type f | wc -l)" -le 8 ]
check "JSON of all benchmarks" [ "$(echo "$out"/*.json)" = "$(echo "$out"/{launch,layer,rows,torch}.json)" ]
check "for this machine's GPU" grep -q 'ARCHITECTURES=native' "$folder/configure"
check "nothing left in build/" [ -z "$(find "$folder/checkout/build" -name 'gpu-run*')" ]

# ---- What is missing.
run 0 "no MPI" FAKE_NO_MPI=1 -- --set auto
summary_has "set: one-rank, preset cuda-one-rank"
summary_has "probe ranks" skipped "cannot be compiled: mpicxx: error: no compiler"
summary_has "benchmark rows" passed
run 0 "no NCCL" FAKE_NOT_COMPILED=nccl -- --set auto
summary_has "set: one-rank, preset cuda-one-rank"
summary_has "probe nccl" skipped "fatal error: nccl.h"
summary_has "benchmark rows" passed
run 1 "no NCCL for ranks" FAKE_NOT_COMPILED=nccl -- --parts ranks
summary_has "ranks" FAILED "need MPI, oneDNN and NCCL"
run 1 "full without NCCL" FAKE_NOT_COMPILED=nccl FAKE_NOT_CONFIGURED=1 -- --set full
summary_has "probe nccl" FAILED "fatal error: nccl.h"
summary_has "configure cuda-release" FAILED
summary_has "benchmark rows" passed
summary_has "set: one-rank, preset cuda-one-rank"
run 0 "libraries that do not run" FAKE_NOT_RUN=ranks -- --set auto
summary_has "probe ranks" skipped "do not run: ranks failed: libx.so: not there"
run 1 "no program for the GPU runs" FAKE_NOT_RUN=gpu -- --set one-rank
summary_has "probe gpu" FAILED "does not run: gpu failed: libx.so: not there"
mkdir -p "$folder/python/nvidia/nccl/include" "$folder/named/include"
: >"$folder/python/nvidia/nccl/include/nccl.h"
: >"$folder/named/include/nccl.h"
run 0 "NCCL in a Python" -- --set auto
check "found there" grep -q "^NCCL_ROOT=$folder/python/nvidia/nccl " "$folder/configure"
run 0 "NCCL in a virtual environment" PYTHONPATH= VENVS="$folder/venvs/*/.venv" -- --set auto
check "found there" grep -q "^NCCL_ROOT=$folder/python/nvidia/nccl " "$folder/configure"
summary_has "PyTorch: $folder/venvs/b/.venv/bin/python"
summary_has "benchmark torch" passed
run 0 "PyTorch in the Python that is named" PYTHONPATH= PYTHON="$folder/venvs/b/.venv/bin/python" -- --set auto
summary_has "PyTorch: $folder/venvs/b/.venv/bin/python"
run 0 "NCCL that is named" NCCL_ROOT="$folder/named" -- --set auto
check "found there" grep -q "^NCCL_ROOT=$folder/named " "$folder/configure"
run 0 "no PyTorch" PYTHONPATH= -- --set one-rank
summary_has "benchmark torch" skipped "no PyTorch in python3"
run 2 "no such Python" PYTHON="$folder/none/python" -- --set one-rank
rm -r "$folder/python/nvidia"

run 1 "a test fails" FAKE_FAILING_TEST=1 -- --set one-rank
summary_has "# HashEP on a GPU: 1 parts FAILED"
summary_has "tests on a GPU" FAILED "1 tests failed out of 2"
summary_has "benchmark rows" passed
run 1 "a test sees no GPU" FAKE_TEST_SAYS="skipped: no GPU: none" -- --set one-rank
summary_has "tests on a GPU" FAILED "saw no GPU"
run 1 "the sanitizer finds something" FAKE_FINDINGS=3 -- --set one-rank
summary_has "memcheck a_gpu_test" FAILED "SUMMARY: 3 errors"
summary_has "racecheck a_gpu_test" passed
run 1 "a test hangs under the sanitizer" FAKE_HANGING="memcheck stack_gpu_test" FAKE_HURRY="sanitize.sh memcheck" -- --set one-rank
summary_has "memcheck stack_gpu_test" FAILED "stopped after its limit of 45 s"
for name in "memcheck a_gpu_test" "racecheck stack_gpu_test"; do summary_has "$name" passed; done
run 1 "no small case" FAKE_NO_SMALL=1 -- --set one-rank
summary_has "initcheck a_gpu_test" skipped "a_gpu_test has no case tagged [small]"
summary_has "compute-sanitizer" FAILED "no test program ran under it"
run 1 "a device that the sanitizer does not know" FAKE_UNSUPPORTED=1 -- --set one-rank
summary_has "initcheck stack_gpu_test" skipped "does not support this device"
run 1 "no GPU under the sanitizer" FAKE_SANITIZED_TEST=77 -- --set one-rank
summary_has "memcheck a_gpu_test" FAILED "saw no GPU"
run 1 "a benchmark fails" FAKE_FAILING_BENCH=layer -- --set one-rank
summary_has "benchmark layer" FAILED "wrong rows"
summary_has "benchmark torch" FAILED "no tensors"
summary_has "benchmark launch" passed
run 1 "a result is rubbish" FAKE_RUBBISH=1 -- --set one-rank
summary_has "layer.json cannot be read"
summary_has "benchmark launch" passed
run 1 "no such target" FAKE_NO_BENCH=something -- --set one-rank
summary_has "build hashep-bench-gpu" FAILED "no such target"
summary_has "benchmark rows" FAILED
run 1 "time runs out" FAKE_SLOW_BUILD=1 -- --set one-rank --budget 11
summary_has "build gpu_tests" FAILED "stopped after its limit of"
summary_has "benchmark launch" FAILED
summary_has "tests on a GPU" FAILED "not run"

run 2 "no GPU" FAKE_NO_GPU=1 -- --set auto
check "says so" grep -q "error: no GPU: nvidia-smi says 'no devices were found'" "$folder/stdout"
run 0 "no GPU wanted" FAKE_NO_GPU=1 -- --no-gpu
summary_has "NOT RUN ON A GPU"
summary_has "benchmark rows" skipped "needs a GPU"
run 2 "an unknown option" -- --gpu
run 2 "unknown parts" -- --parts some

case_name="a signal"
rm -rf "$out"
env PATH="$folder/bin:$PATH" FAKES="$folder" OUT="$out" FAKE_SLOW_BUILD=1 \
  "$folder/checkout/tests/gpu/run.sh" >"$folder/stdout" 2>&1 &
for _ in {1..100}; do
  if grep -qs '==== build' "$out/run.log"; then break; fi
  sleep 0.1
done
kill -TERM $!
code=0
wait $! || code=$?
check "exit code 1 (was $code)" [ "$code" = 1 ]
summary_has "ended early"

finish

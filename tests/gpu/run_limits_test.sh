#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what the library sets
# What run.sh gives its parts, among fakes: whether they fit two commands of nine minutes, and what waits in
# a part gives up before the part is ended, so that a hang is told.
# shellcheck source=tests/gpu/run_lib.sh
. "$(dirname "$0")/run_lib.sh"

# ---- Limits: what all parts may take, and what ends before them so that it can say why.
budget=530  # seconds: nine minutes, and ten seconds for the summary
mkdir -p "$folder"/checkout/.gpu-deps/{one-rank,full}
touch "$folder"/checkout/.gpu-deps/{one-rank,full}/a.deb
fake "$folder/checkout/tests/gpu/unpack_dependencies.sh" <<<'true'
constant() {
  grep -oE "$1[^0-9]*[0-9]+" "$source/$2" | grep -oE '[0-9]+$'
}
# is_told WHAT DEADLINE LIMIT: what gives up after DEADLINE has 10 s to begin, to say so and to end.
is_told() {
  check "$1: $2 s, of $3" [ $(($2 + 10)) -le "$3" ]
}
build="build gpu_tests hashep-bench-gpu hashep hashep-bench"
run 0 "limits on one rank" -- --set full --parts gpu
check "parts with libraries and build: $(sum_of_limits)" [ "$(limits | grep -c '^[0-9]* \(unpack\|probe\|build\|configure\)')" = 6 ]
# The build anew, every part up to its limit: what is measured is done, the sanitizers have the rest.
check "all but sanitizers: $(sum_of_limits "benchmark torch") s" [ "$(sum_of_limits "benchmark torch")" -le $budget ]
kept=$((20 - $(limit_of "$build")))  # the build was kept: what that takes off
check "with the build kept three sanitizers may hang" \
  [ $(($(sum_of_limits "benchmark torch") + kept + 3 * $(limit_of "memcheck stack_gpu_test"))) -le $budget ]
is_told "a test's limit in ctest" "$(constant 'HASHEP_GPU_TEST_TIMEOUT' cmake/HashEPTests.cmake)" "$(limit_of "tests on a GPU")"
is_told "waits in tests" "$(constant 'kLongestWait\{' tests/support/gpu_stack.cpp)" \
  "$(constant 'HASHEP_GPU_TEST_TIMEOUT' cmake/HashEPTests.cmake)"
for what in rows layer launch; do
  is_told "waits in benchmark $what" "$(constant 'kLongestWait\{' benchmarks/gpu/gpu_timer.cpp)" "$(limit_of "benchmark $what")"
done
run 0 "limits on ranks" -- --set full --parts ranks
check "what is worth most: $(sum_of_limits "ipc-bench, top-1") s" [ "$(sum_of_limits "ipc-bench, top-1")" -le $budget ]
most=$(sum_of_limits "ipc-bench under MPS, top-6")
check "with the build kept all but killed-peer: $((most + kept)) s" [ $((most + kept)) -le $budget ]
for ranks in 1 2 4; do
  is_told "waits of exchange-$ranks" "$(constant 'kGpuDeadline = ' tests/support/ranks.hpp)" "$(limit_of "exchange-$ranks")"
done
while read -r limit name; do
  said=$(sed -n "/^==== $name, /s/.*--deadline \([0-9]*\) .*/\1/p" "$out/run.log")
  is_told "waits of $name" "${said:-999}" "$limit"
done < <(limits | grep 'hashep run\|ipc-bench')
check "all runs have a deadline" [ "$(limits | grep -c 'hashep run\|ipc-bench')" = 8 ]
is_told "waits of killed-peer" "$(constant '^deadline=' tests/launch/failing_jobs.sh)" "$(limit_of killed-peer)"
mps_end=$(constant 'quit \| timeout ' tests/gpu/with_mps.sh)
check "MPS ends in $mps_end s" [ "$mps_end" -lt "$(constant 'kill-after=' tests/gpu/parts.sh)" ]
run 0 "limits of both" -- --set full
check "twice the budget: $(limit_of killed-peer)" [ "$(limit_of killed-peer)" = 200 ]
run 0 "more time" -- --set full --parts ranks --budget $((3 * budget))
check "larger limits: $(limit_of killed-peer)" [ "$(limit_of killed-peer)" = 600 ]
case_name="--help"
"$folder/checkout/tests/gpu/run.sh" --help >"$folder/stdout"
check "both commands" [ "$(grep -c 'tests/gpu/run.sh --parts \(gpu\|ranks\)  ' "$folder/stdout")" = 2 ]
check "their budget" grep -q "(gpu or ranks: $budget," "$folder/stdout"
rm -r "$folder/checkout/.gpu-deps"

run 0 "one rank's part" -- --set full --parts gpu
check "no part on ranks" [ "$(grep -c 'exchange-\|killed-peer' "$out/summary.md")" = 0 ]

finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fits the profiles of this machine and of the virtual cluster to the recorded measurements, and shows
# how far the model is from the sizes that were held out, from figures that others published, and from
# the recorded simulation. Writes benchmarks/machines/{amd-epyc-milan,virtual-cluster-1gbit}.json and
# each point's error as CHECKS/*.json (build/model-check). Measures and simulates nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench=${BENCH:-build/cpu-release/bin/hashep-bench}
results=benchmarks/results
machines=benchmarks/machines
checks=${CHECKS:-build/model-check}
mkdir -p "$checks"

# fit PROFILE CHECK RESULTS...: the profile says what is not fitted, and takes what is.
fit() {
  local profile=$machines/$1.json check=$checks/$2.json
  shift 2
  echo "== $profile"
  "$bench" fit --base "$profile" --results "$@" --output "$profile" -J "$check"
}
of_kind=amd-epyc-milan.json
fit amd-epyc-milan 2-ranks $results/exchange-{sweep,16k,64}-2-ranks-$of_kind \
  $results/layer-2-ranks-$of_kind $results/experts-$of_kind
fit virtual-cluster-1gbit 2-hosts $results/exchange-{sweep-,}2-hosts-1gbit-$of_kind

for machine in h800 h100; do
  echo "== published figures, $machine"
  "$bench" check-model --machine $machines/$machine-8.json \
    --published $machines/published-$machine.json -J "$checks/$machine.json"
done

echo "== simulated"
"$bench" check-model --machine benchmarks/sim/h100-node.json \
  --results $results/simulation-h100-node.json -J "$checks/simulation.json"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the simulation (preset sim) and simulates a MoE layer's exchanges, flat
# against hierarchical: benchmarks/sim/run.sh --ranks 64,256,512 --top-k 1,6 --json FILE. --help lists
# the options, docs/simulation.md tells what is simulated. Installs nothing; exit code 77 without SimGrid.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$folder/../.." && pwd)

if ! command -v smpirun >/dev/null || ! command -v smpicxx >/dev/null; then
  echo "simulation: skipped: SimGrid (smpicxx, smpirun) is not installed; launch/install_dependencies.sh sim installs it"
  exit 77
fi
case " $* " in
  *" --help "* | *" -h "*) exec python3 "$folder/simulate.py" none --help ;;
esac
log=$root/build/sim/build.log
mkdir -p "$root/build/sim"
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
build() {
  cd "$root"
  cmake --preset sim "${launcher[@]}"
  cmake --build --preset sim --parallel "$(nproc)" --target hashep-sim
}
if ! (build) >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "benchmarks/sim/run.sh: error: the build failed" >&2
  exit 1
fi
exec python3 "$folder/simulate.py" "$root/build/sim/bin/hashep-sim" "$@"

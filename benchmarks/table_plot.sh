#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes docs/plots/table-balance.svg and the results it is made from: tables of several methods on the King
# James Bible, counted on one half of it and measured on the other. Run launch/quickstart.sh first,
# which makes data/kjv.bin. The plot needs matplotlib (Debian: python3-matplotlib).
set -euo pipefail
cd "$(dirname "$0")/.."
hashep=${HASHEP:-build/cpu-release/bin/hashep}
tokens=${1:-data/kjv.bin}
results=benchmarks/results

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Blocks of 2,000 token ids (4,000 bytes), dealt alternately.
split --bytes=4000 --numeric-suffixes --suffix-length=6 "$tokens" "$work/block."
cat "$work"/block.*[02468] >"$work/half0.bin"
cat "$work"/block.*[13579] >"$work/half1.bin"

# measure NAME ARGS...: builds a table with ARGS from one half, and inspects it on the other.
measure() {
  local name=$1
  shift
  (
    cd "$work"
    "$hashep" table build --tokens half0.bin --vocab-size 8000 --num-experts 64 --output "$name.safetensors" "$@"
    "$hashep" table inspect --table "$name.safetensors" --tokens half1.bin --ranks 2,4,8 --json "$name.json"
  )
  cp "$work/$name.json" "$results/table-kjv-64-$name.json"
}
hashep=$(realpath "$hashep")
measure random --method random
measure expert --method balanced --target expert
measure both --method balanced --ranks 8
measure spread --method balanced --ranks 8 --spread 0.5

benchmarks/summarise.py "$results"/table-kjv-64-{random,expert,both,spread}.json
benchmarks/readme_plots.sh table-balance

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# readme_plots.sh [PLOT...]: makes the plots of README.md and docs/ again, all or those named, from
# the results recorded in benchmarks/results: docs/plots/PLOT.svg. A plot whose results are not there
# is skipped, in words. The files depend on the results alone (and on matplotlib's version: take
# Debian 12's).
# PYTHON names a Python that has matplotlib, where python3 has not.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob
results=benchmarks/results
wanted=" $* "
drawn=0

# draw PLOT KIND OPTIONS... -- FILE...: no FILE: nothing recorded yet.
draw() {
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  if [[ $wanted != "  " && $wanted != *" $name "* ]]; then return 0; fi
  drawn=$((drawn + 1))
  if [ $# = 0 ]; then
    echo "$name: skipped, no results of it are recorded in $results"
    return 0
  fi
  "${PYTHON:-python3}" benchmarks/plot.py "${options[@]}" --output "docs/plots/$name.svg" "$@"
  echo "$name: docs/plots/$name.svg"
}

# newest FILE...: the one that was recorded last, of several machines' say; nothing where there is none.
newest() {
  local file
  for file in "$@"; do
    printf '%s %s\n' "$(grep -m 1 -o '"date": *"[^"]*"' "$file" | tr -d ' ')" "$file"
  done | sort | tail -n 1 | cut -d ' ' -f 2-
}

mkdir -p docs/plots
# shellcheck disable=SC2046 # no name of a result has a space in it, and none at all is no word
{
  draw exchange exchange --where dtype=fp32 -- $(newest "$results"/exchange-sweep-2-ranks-*.json)
  draw layer phases --where dtype=fp32 -- $(newest "$results"/layer-2-ranks-*.json)
  draw planning phases --where dtype=fp32 -- $(newest "$results"/layer-planning-[0-9]*.json)
  tables=("$results"/table-kjv-64-{random,expert,both,spread}.json)
  draw table-balance load --labels "random;balanced: expert;balanced: both;balanced: both, --spread 0.5" \
    --title "64 experts, top-1, King James Bible: counted on one half, measured on the other" -- "${tables[@]}"
  draw scaling scaling -- $(newest "$results"/scale-*.json) $(newest "$results"/predict-scale-*.json)
  draw prediction scaling -- $(newest "$results"/predict-h100-*.json)
  draw simulation simulation -- "$results"/simulation-*.json
  draw peers peers -- $(newest "$results"/peers-*.json)
}

if [ $drawn = 0 ]; then
  echo "${0##*/}: error: there is no plot of that name: $*" >&2
  exit 2
fi

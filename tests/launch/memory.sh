#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# memory.sh HASHEP: the peak memory of a rank is its weights (once) + buffers as the plans say + a
# stated constant, however many steps it runs. The program reports all of these; here the sum must
# account for the peak.
set -euo pipefail

hashep=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Program, MPI and oneDNN; beside them what packing one expert takes for a while (three fp32 matrices
# of 1024 x 2048: 24 MiB, as made, converted and packed) and later the kernels: some 20 MiB, below
# AVX-512 with oneDNN 35 MiB.
constant=$((80 << 20))

# accounts RANKS LEAST ARGS...: a run whose parts are LEAST bytes or more, and within the constant of
# its peak.
accounts() {
  local ranks=$1 least=$2
  shift 2
  "$here/../support/mpirun.sh" "$ranks" "$hashep" run --num-shared-experts 1 --threads 1 "$@" \
    --json "$work/run.json" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  # The document has one key a line; the memory object's keys are the only ones of these names.
  awk -v ranks="$ranks" -v constant="$constant" -v least="$least" '
    /"peak_rss_bytes":/ { gsub(/[^0-9]/, ""); peak = $0 }
    /"(weights|row_buffers|shared_rows|workspace|expert_scratch|plans)":/ { gsub(/[^0-9]/, ""); sum += $0 }
    END {
      printf "%d ranks: peak %d = accounted %d + %d\n", ranks, peak, sum, peak - sum
      if (sum < least) { print "less than " least " was accounted for"; exit 1 }
      if (peak - sum > constant) { print "more than the constant of " constant; exit 1 }
    }' "$work/run.json"
}

for ranks in 1 2 3; do
  accounts "$ranks" $((100 << 20)) --hidden-size 1024 --ffn-size 2048 --num-experts 12 --num-layers 2 \
    --batch-tokens 3K --top-k 3 --steps 2
done
# In many steps experts get nearly every number of rows: kernels must not pile up.
for dtype in fp32 bf16; do
  accounts 1 $((5 << 20)) --hidden-size 64 --ffn-size 64 --num-experts 64 --num-layers 3 \
    --batch-tokens 4K --top-k 2 --steps 100 --dtype $dtype
done

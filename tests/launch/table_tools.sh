#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# memory.sh HASHEP: the peak memory of a rank is its weights (once) + buffers as the plans say + a
# stated constant. The program reports all of these; here the sum must account for the peak.
set -euo pipefail

hashep=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Program, MPI, oneDNN with its kernels, and what packing one expert takes for a while (three fp32
# matrices of 1024 x 2048: 24 MiB, as made, converted and packed).
constant=$((64 << 20))

for ranks in 1 2 3; do
  "$here/../support/mpirun.sh" "$ranks" "$hashep" run --hidden-size 1024 --ffn-size 2048 \
    --num-experts 12 --num-layers 2 --num-shared-experts 1 --batch-tokens 3K --top-k 3 --steps 2 --threads 1 \
    --json "$work/$ranks.json" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  # The document has one key a line; the memory object's keys are the only ones of these names.
  awk -v ranks="$ranks" -v constant="$constant" '
    /"peak_rss_bytes":/ { gsub(/[^0-9]/, ""); peak = $0 }
    /"(weights|row_buffers|shared_rows|workspace|expert_scratch|plans)":/ { gsub(/[^0-9]/, ""); sum += $0 }
    END {
      printf "%d ranks: peak %d = accounted %d + %d\n", ranks, peak, sum, peak - sum
      if (sum < 100 * 1024 * 1024) { print "nothing of weight was accounted for"; exit 1 }
      if (peak - sum > constant) { print "more than the constant of " constant; exit 1 }
    }' "$work/$ranks.json"
done

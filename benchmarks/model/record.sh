#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures what the cost model is fitted to and checked by, fits the profiles of this machine and of
# the virtual cluster on it, and runs all checks (check.sh). For a quiet machine; about 10 minutes.
# BENCH names another hashep-bench.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BENCH=${BENCH:-build/cpu-release/bin/hashep-bench}
results=benchmarks/results

# Every third size of these sweeps is held out of the fit.
launch/mpirun.sh 2 "$BENCH" exchange -b 1 -e 64K -f 2 --hidden-size 1024 --num-experts 16 \
  --dtype fp32,bf16 --transport mpi,shm,hier -n 15 -w 3 \
  -J $results/exchange-sweep-2-ranks-amd-epyc-milan.json
HASHEP_MPI_TIMEOUT=600 tests/cluster/virtual_cluster.sh --rate 1gbit -- "$BENCH" exchange -b 64 \
  -e 4K -f 2 --hidden-size 1024 --num-experts 64 --top-k 6 --transport mpi,hier -n 7 -w 1 \
  -J $results/exchange-sweep-2-hosts-1gbit-amd-epyc-milan.json
"$BENCH" experts --rows 16,32,64,128,256,512,1024 -n 5 -J $results/experts-amd-epyc-milan.json
benchmarks/summarise.py $results/{exchange-sweep-2-hosts-1gbit,experts}-amd-epyc-milan.json
benchmarks/summarise.py --keep-samples $results/exchange-sweep-2-ranks-amd-epyc-milan.json

exec benchmarks/model/check.sh

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what the library sets
# run.sh on several ranks, among fakes: what runs, what is left out where a machine refuses it, and that
# nothing else is.
# shellcheck source=tests/gpu/run_lib.sh
. "$(dirname "$0")/run_lib.sh"

run 0 "ranks share a GPU" -- --set full --parts ranks
summary_has "set: full, preset cuda-release"
for ranks in 1 2 4; do summary_has "exchange-$ranks" passed "sharing lo"; done
for transport in ipc nccl hier; do summary_has "hashep run, 2 ranks, $transport" passed "step 12 us"; done
for top_k in 1 6; do
  summary_has "ipc-bench, top-$top_k" passed
  summary_has "ipc-bench under MPS, top-$top_k" passed
  summary_has "| dispatch" "ipc k $top_k bf16 " 50 40 0.800
  summary_has "| dispatch" "ipc k $top_k bf16 at once" 50 40 0.800
done
summary_has "killed-peer" passed "75 checks, 0 failed"
for ranks in 2 4 8; do summary_has "$ranks GPUs" skipped "this machine has 1"; done
check "JSON of both ways to share" [ "$(echo "$out"/*.json)" = "$(echo "$out"/ipc-{mps,shared}-top{1,6}.json)" ]
check "at most 8 flat files" [ "$(find "$out" -mindepth 1 -type f | wc -l)" -le 8 ]
check "20 are killed, 5 stopped, by each transport" grep -q '^all .* 20 5 2 --share-gpu$' "$folder/lost"
in_order exchange-2 exchange-4 "hashep run, 2 ranks, ipc" "ipc-bench, top-1" exchange-1 "ipc-bench under MPS, top-6" \
  killed-peer
check "no part on one rank" [ "$(grep -c 'tests on a GPU\|check a_gpu\|benchmark' "$out/summary.md")" = 0 ]
check "MPS has begun and ended" [ "$(sed 's/ in .*//' "$folder/mps" | tr '\n' ' ')" = "-d quit -d quit " ]
check "MPS in a folder of its own" [ "$(sed -n 's/.* in //p' "$folder/mps" | grep -c '^/tmp\|^'"${TMPDIR:-/tmp}")" = 4 ]
check "ranks of the runs" [ "$(grep -c '^2 .*--share-gpu' "$folder/mpirun")" = 7 ]
run 0 "four GPUs" FAKE_GPUS=4 -- --set full --parts ranks
summary_has "4 GPUs" passed
summary_has "8 GPUs" skipped "this machine has 4"
check "all transports on 4 ranks" grep -q '^4 .*hashep-bench .*--transport all' "$folder/mpirun"
run 0 "MPS does not start" FAKE_NO_MPS=1 -- --set full --parts ranks
summary_has "ipc-bench under MPS, top-1" skipped "does not start"
run 0 "MPS serves nobody" FAKE_MPS_REFUSES=1 -- --set full --parts ranks
summary_has "ipc-bench under MPS, top-1" skipped "MPS refuses clients here" "cudaErrorMpsConnectionFailed"
summary_has "ipc-bench, top-1" passed
run 0 "IPC is refused" FAKE_NO_IPC=1 -- --set full --parts ranks
for name in "hashep run, 2 ranks, ipc" "hashep run, 2 ranks, hier" "ipc-bench, top-6"; do
  summary_has "$name" skipped "CUDA IPC is refused here" "do not reach each other's memory"
done
summary_has "hashep run, 2 ranks, nccl" passed
summary_has "exchange-2" passed "left out: ipc, hier"
summary_has "killed-peer, nccl alone" passed
check "peers are killed with NCCL alone" grep -q '^nccl ' "$folder/lost"
run 1 "IPC is refused, and what is left fails" FAKE_NO_IPC=1 FAKE_WRONG_ROWS=1 -- --set full --parts ranks
summary_has "exchange-2" FAILED "exit code 1"
run 1 "IPC fails where it was not refused" FAKE_IPC_BREAKS=1 -- --set full --parts ranks
summary_has "hashep run, 2 ranks, ipc" FAILED "cudaIpcOpenMemHandle failed"
run 1 "a test of ranks is stuck" FAKE_STUCK=1 FAKE_HURRY=test_on_ranks -- --set full --parts ranks
summary_has "exchange-2" FAILED "stopped after its limit of 45 s" "it said last: "
summary_has "killed-peer" passed
check "what it said" grep -q "rank 0 says last" "$out/run.log"
run 1 "wrong rows, and ranks that hang" FAKE_WRONG_ROWS=1 FAKE_HANGS=1 -- --set full
summary_has "exchange-2" FAILED "exit code 1"
check "log of rank 1" grep -q "a row is wrong" "$out/run.log"
summary_has "hashep run, 2 ranks, ipc" passed
summary_has "benchmark rows" passed
summary_has "killed-peer" FAILED "75 checks, 1 failed"
run 1 "ranks see no GPU" FAKE_BLIND=1 -- --set full --parts ranks
summary_has "exchange-2" FAILED "saw no GPU"
run 1 "ranks without MPI" -- --set one-rank --parts ranks
summary_has "ranks" FAILED "need MPI"

run 0 "no GPU wanted, ranks" FAKE_NO_GPU=1 -- --no-gpu --set full
summary_has "exchange-2" skipped "no GPU: none"
summary_has "hashep run, 2 CPU ranks" passed
for what in ipc-bench killed-peer "hashep run, 2 ranks, nccl"; do summary_has "$what" skipped "needs a GPU"; done
check "for sm_90" grep -q 'ARCHITECTURES=90' "$folder/configure"

finish

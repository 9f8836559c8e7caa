#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# binding_test.sh HASHEP MAKE_MODEL CHECK_JSON: which GPU each rank of `hashep run` takes, what it
# says of it, and what it does where there are too few; the GPUs being the stand-in's.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/../launch/lib.sh"

small+=(--num-layers 1 --progress off)
machine=$here/machines/two_sockets.xml  # GPU 0 of the stand-in is in it, near core 0
host=$(hostname)

# line RANK GPU: a rank's line, up to what depends on the machine.
line() {
  printf 'rank %d: host %s, GPU %d stand-in, PCI 0000:1b:%02x.0, NUMA node ' "$1" "$host" "$2" "$2"
}

# on_gpus GPUS RANKS ARGS...: each rank sees so many GPUs.
on_gpus() {
  export HASHEP_STANDIN_GPUS=$1
  with "${@:3}"
  ranks "$2" "${run[@]}"
}

# One GPU a rank, in order.
on_gpus 4 3 --device cuda --json out/run.json
check "3 ranks, 4 GPUs: exit code $code" [ "$code" = 0 ]
for rank in 0 1 2; do
  check "line of rank $rank" [ "$(grep -cF "$(line $rank $rank)" stdout.txt)" = 1 ]
done
check "lines of ranks" [ "$(grep -c '^rank ' stdout.txt)" = 3 ]
check "no notes" [ "$(grep -c '^note:' stdout.txt)" = 0 ]
check "result JSON" "$check_json" result out/run.json 3
check "GPUs in the JSON" [ "$(grep -oE '"pci": "[^"]*"' out/run.json | tr -d '\n')" = \
  '"pci": "0000:1b:00.0""pci": "0000:1b:01.0""pci": "0000:1b:02.0"' ]

# Too few: an error, or shared, or the CPU.
too_few="host $host: 3 ranks cannot have a GPU each, as they see 2 in all .*--share-gpu"
on_gpus 2 3 --device cuda
check "3 ranks, 2 GPUs: exit code $code" [ "$code" = 2 ]
check "3 ranks, 2 GPUs: reason" one_error "$too_few"
on_gpus 2 3 --device cuda --share-gpu
check "shared: exit code $code" [ "$code" = 0 ]
check "shared: line of rank 1" grep -qF "$(line 1 0)" stdout.txt
check "shared: line of rank 2" grep -qF "$(line 2 1)" stdout.txt
check "shared: note" grep -q "^note: 1 GPU shared, by ranks 0 and 1 " stdout.txt
on_gpus 2 3 --device auto
check "auto: exit code $code" [ "$code" = 0 ]
check "auto: reason" grep -qE "^device: the CPU, as $too_few" stdout.txt
check "auto: no rank has a GPU" [ "$(grep -c '^rank ' stdout.txt)" = 0 ]

# A rank that sees no GPU among ranks that do.
# shellcheck disable=SC2016 # for the ranks' shells
some_blind='[ "$OMPI_COMM_WORLD_RANK" = 1 ] && export HASHEP_STANDIN_GPUS=0; exec "$0" "$@"'
export HASHEP_STANDIN_GPUS=2
with --device auto
on_ranks 2 bash -c "$some_blind" "$hashep" run "${run[@]}"
check "one sees no GPU, auto: exit code $code" [ "$code" = 0 ]
check "one sees no GPU, auto: reason" grep -q "^device: the CPU, as rank 1 has no GPU" stdout.txt
with --device cuda
on_ranks 2 bash -c "$some_blind" "$hashep" run "${run[@]}"
check "one sees no GPU: exit code $code" [ "$code" = 2 ]
check "one sees no GPU: reason" one_error "--device cuda: no GPU was found"

# The launcher's count against MPI's.
with --device cuda
# shellcheck disable=SC2016 # for the ranks' shells
on_ranks 2 bash -c 'export OMPI_COMM_WORLD_LOCAL_RANK=0; exec "$0" "$@"' "$hashep" run "${run[@]}"
check "disputed place: exit code $code" [ "$code" = 0 ]
check "disputed place: note" \
  grep -q "^note: rank 1: .* number 1 of its node, OMPI_COMM_WORLD_LOCAL_RANK is 0;" stdout.txt

# What hwloc tells; and ranks that nobody has bound go near their GPU, if they may.
export HWLOC_XMLFILE=$machine
on_gpus 2 2 --device cuda
check "hwloc: what is near to GPU 0" grep -qxF "$(line 0 0)0, NIC mlx5_1" stdout.txt
check "hwloc: what it does not know" grep -qxF "$(line 1 1)-, NIC -" stdout.txt
check "another machine's cores" [ "$(grep -c '^note:' stdout.txt)" = 0 ]
if taskset -c 0,1 true 2>/dev/null; then
  export HWLOC_THISSYSTEM=1
  on_gpus 2 2 --device cuda
  check "bound: note" grep -q "^note: 1 rank bound to cores near the GPU, rank 0 to 0 " stdout.txt
  on_gpus 2 2 --device cuda --bind-cpu off
  check "--bind-cpu off" [ "$(grep -c '^note:' stdout.txt)" = 0 ]
fi

finish

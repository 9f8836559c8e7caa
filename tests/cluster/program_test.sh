#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hashep run` on several hosts: the bits of one rank alone, and a host that is cut off in mid-run is
# told in time and by the names of its ranks.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

# Same bits. Numbers that no number of ranks divides; top-k and shared experts.
model=(--hidden-size 48 --ffn-size 32 --num-shared-experts 1 --vocab-size 300 --batch-tokens 101
  --seq-len 17 --score sqrtsoftplus --activation silu --threads 1 --deadline 60 --residual off --check)

# good_on SLOTS TRANSPORT SAID OPTIONS...: a run is well, and its first line says what it uses.
good_on() {
  local slots=$1 transport=$2 said=$3 text="$1 $2 ${*:4}"
  shift 3
  rm -f many.safetensors
  on_cluster --rate none --slots "$slots" --count-bytes sent.json -- \
    "$hashep" run "${model[@]}" --transport "$transport" --output many.safetensors "$@"
  check "$text: exit code $code" [ "$code" = 0 ]
  check "$text: not '$said': $(head -n 1 stdout.txt)" grep -q "^hashep .*, $said, " <(head -n 1 stdout.txt)
  check "$text: not checked" grep -q "check  *ok: 101 tokens" stdout.txt
}

# The run just made sent rows over the links, and its output is that of one rank.
same_bits() {
  check "$1: hardly anything went over the links" [ "$(of node1 tx_bytes)" -gt 50000 ]
  check "$1: not the bits of one rank" cmp one.safetensors many.safetensors
}

for dtype in fp32 bf16; do
  few=(--num-layers 3 --num-experts 11 --top-k 3 --dtype "$dtype")
  ranks 1 "${model[@]}" "${few[@]}" --output one.safetensors
  check "$dtype: one rank: exit code $code" [ "$code" = 0 ]
  for slots in 2,2 1,3,1; do
    good_on $slots mpi "transport mpi" "${few[@]}"
    same_bits "$dtype, $slots, mpi"
  done

  many=(--num-experts 64 --top-k 6 --dtype "$dtype" --num-layers)
  ranks 1 "${model[@]}" "${many[@]}" 3 --output one.safetensors
  check "$dtype, top 6: one rank: exit code $code" [ "$code" = 0 ]
  while read -r slots nodes; do
    good_on "$slots" auto "$nodes, transport hier (auto)" "${many[@]}" 3
    same_bits "$dtype, $slots, hier"
  done <<'HOSTS'
2,2 2 nodes of 2, 2 ranks
1,1,1 3 nodes of 1, 1, 1 ranks
3,1 2 nodes of 3, 1 ranks
HOSTS
  # Sums of a node are other bits, which --check holds to the bound that is stated for them. It is
  # one of a layer: in bf16 each layer adds as much again.
  layers=3
  if [ $dtype = bf16 ]; then layers=1; fi
  good_on 2,2 hier "transport hier" "${many[@]}" $layers --node-reduce
  good_on 3,1 auto "transport hier (auto)" "${many[@]}" $layers --node-reduce
done

# `hashep plan` knows to the byte what the ranks of several hosts hold.
value() {
  grep -m 1 -oP "\"$1\": \\K[0-9]+" "$2"
}
while read -r slots ranks per_node reduce; do
  sizes=(--num-layers 2 --hidden-size 48 --num-experts 11 --top-k 3 --vocab-size 300 --seq-len 17
    --placement balanced)
  if [ "$reduce" = yes ]; then sizes+=(--node-reduce); fi
  on_cluster --rate none --slots "$slots" -- "$hashep" run "${sizes[@]}" --ffn-size 32 --threads 1 \
    --deadline 60 --batch-tokens $((101 * ranks)) --steps 1 --json run.json
  check "$slots: exit code $code" [ "$code" = 0 ]
  on_ranks 1 "$hashep" plan "${sizes[@]}" --ranks "$ranks" --ranks-per-node "$per_node" \
    --tokens-per-rank 101 --json plan.json
  check "$slots: plan: exit code $code" [ "$code" = 0 ]
  for keys in "buffer_bytes_max row_buffers" "plan_bytes_max plans"; do
    planned=$(value "${keys% *}" plan.json)
    held=$(value "${keys#* }" run.json)
    check "$slots, $reduce: $keys: $planned, the run has $held" [ "${planned:-none}" = "$held" ]
  done
done <<'JOBS'
2,2 4 2 no
2,2 4 2 yes
2,1 3 2 no
1,1,1 3 1 yes
JOBS

# The first rank of the host waits for a file, and then takes away the host's link.
cat >cut.sh <<'CUT'
#!/usr/bin/env bash
if [ "$(hostname)" = "$1" ] && [ "$OMPI_COMM_WORLD_LOCAL_RANK" = 0 ]; then
  { until [ -e cut ]; do sleep 0.1; done; ip link set link0 down; touch is_cut; } >&2 &
fi
shift
exec "$@"
CUT
chmod +x cut.sh

in_steps() {
  grep -q '^tokens: ' stdout.txt
}

deadline=5
slack=8  # seconds for ranks that have to wait for a core

# cut_off HOST SLOTS RANKS_CUT: in mid-run HOST loses its link; the ranks there are named.
cut_off() {
  local name="$1 of $2 cut off" begin
  rm -f cut is_cut
  start --rate none --slots "$2" -- ./cut.sh "$1" "$hashep" run --num-layers 2 --batch-tokens 300 \
    --hidden-size 64 --ffn-size 64 --num-experts 9 --threads 1 --steps 1G --progress off \
    --deadline $deadline --transport mpi --json out/r.json
  check "$name: no steps" within 60 in_steps
  sleep 0.5
  begin=$SECONDS
  touch cut
  check "$name: no line in time" within $((deadline + slack)) grep -q '^hashep: error: ' stderr.txt
  printf '%s: told after %d s\n' "$name" $((SECONDS - begin))
  check "$name: the link is still there" [ -e is_cut ]
  # mpirun too finds out that it cannot reach the host, and only then gives up.
  check "$name: does not end" within 60 has_ended
  kill -TERM "$job" 2>/dev/null
  code=0
  wait "$job" || code=$?
  check "$name: exit code $code" [ "$code" = 1 ]
  check "$name: left $(ls -A out)" nothing_left
  check "$name: one line that says so" one_error \
    "rank [0-9] in [a-z_]+(, layer [0-9]+)?, step [0-9]+: no progress for $deadline s; no answer from $3 \("
  printf '%s: ended after %d s: %s\n' "$name" $((SECONDS - begin)) "$(own_lines)"
}
cut_off node2 2,2 "rank 2, rank 3"
cut_off node2 1,1,1 "rank 1"

# A rank is killed in mid-run: some rank speaks before mpirun has killed them all, though Open MPI does
# not let go of a rank that sends to the lost one. KILL_ROUNDS=10 repeats it as often.
cat >killed.sh <<'KILLED'
#!/usr/bin/env bash
# killed.sh HOST PROGRAM...
if [ "$(hostname)" = "$1" ] && [ "$OMPI_COMM_WORLD_LOCAL_RANK" = 0 ]; then
  rank=$$
  { until [ -e kill ]; do sleep 0.05; done; kill -KILL $rank; touch is_killed; } >&2 &
fi
shift
exec "$@"
KILLED
chmod +x killed.sh

# killed_on HOST SLOTS RANK: in mid-run the first rank of HOST is killed; mpirun names it, and one line
# tells where another was.
killed_on() {
  local name="rank $3 of $2 killed" begin
  rm -f kill is_killed
  start --rate none --slots "$2" -- ./killed.sh "$1" "$hashep" run --num-layers 2 --batch-tokens 300 \
    --hidden-size 64 --ffn-size 64 --num-experts 9 --threads 1 --steps 1G --progress off \
    --deadline $deadline --transport mpi --json out/r.json
  check "$name: no steps" within 60 in_steps
  sleep 0.$((round * 3 % 10))
  begin=$SECONDS
  touch kill
  check "$name: does not end" within $((deadline + slack)) has_ended
  kill -TERM "$job" 2>/dev/null
  code=0
  wait "$job" || code=$?
  check "$name: it is still there" [ -e is_killed ]
  check "$name: exit code 0" [ "$code" != 0 ]
  check "$name: left $(ls -A out)" nothing_left
  check "$name: mpirun does not name it" grep -q "process rank $3 with PID .* exited on signal 9" stderr.txt
  check "$name: one line" one_error "rank [0-9] in [a-z_]+(, layer [0-9]+)?, step [0-9]+: stopped by signal Terminated"
  printf '%s: ended after %d s: %s\n' "$name" $((SECONDS - begin)) "$(own_lines)"
}
for ((round = 0; round < ${KILL_ROUNDS:-1}; ++round)); do
  killed_on node2 1,1 1
  killed_on node1 1,1 0
  killed_on node2 2,2 2
  killed_on node2 1,1,1 1
done

check "processes left" within 5 [ -z "$(cluster_processes)" ]
finish

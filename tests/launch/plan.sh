#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hashep plan` tells what `hashep run` then does, without MPI; a placement file of `hashep
# placement` changes no bit.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

# here ARGS...: a command of one process, where MPI could not start.
here() {
  OMPI_MCA_pml=none on_ranks 1 "$hashep" "$@"
}

# bad TEXT ARGS...: refused in one line that holds TEXT, and nothing is left behind.
bad() {
  local text=$1
  shift
  here "$@"
  check "$*: exit code $code, expected 2" [ "$code" = 2 ]
  check "$*: expected one error line with '$text'" one_error_with "$text"
  check "$*: left $(ls -A out)" nothing_left
}

# value KEY FILE: the first one of a JSON file that is one pair a line.
value() {
  grep -m 1 -oP "^ *\"$1\": \\K[^,]*" "$2"
}

# same_value KEY KEY_OF_RUN: of the plan and of the run.
same_value() {
  check "np=$np $*: $(value "$1" plan.json), the run has $(value "$2" run.json)" \
    [ -n "$(value "$1" plan.json)" -a "$(value "$1" plan.json)" = "$(value "$2" run.json)" ]
}

# Ids with a hot one, dealt unevenly: 4,000 of 16 bits below 256.
for ((i = 0; i < 4000; ++i)); do
  printf '%b' "\\x$(printf %02x $((i % 3 == 0 ? 7 : (i * i + 13 * i) % 256)))\\x00"
done >ids.bin
layers=(--num-layers 2 --hidden-size 32 --num-experts 10 --top-k 3 --vocab-size 256
  --tokens ids.bin --seq-len 50)

for np in 1 2 3; do
  here placement "${layers[@]}" --ranks $np --output p$np.json
  went_well "placement for $np"
  for options in "--transport auto" "--transport mpi" "--transport auto --placement balanced" \
    "--transport auto --dtype bf16 --router bigram" "--transport auto --placement p$np.json"; do
    read -ra words <<<"$options"
    here plan "${layers[@]}" "${words[@]}" --ranks $np --ranks-per-node $np --tokens-per-rank 100 \
      --steps 3 --json plan.json
    went_well "plan $options"
    ranks $np "${layers[@]}" "${words[@]}" --ffn-size 16 --batch-tokens $((100 * np)) --steps 3 \
      --threads 1 --progress off --json run.json
    went_well "np=$np run $options"
    same_value buffer_bytes_max row_buffers
    same_value plan_bytes_max plans
    same_value expert_max_over_mean expert_max_over_mean
    same_value rank_max_over_mean rank_max_over_mean
    # A run counts both ways.
    check "np=$np $options: bytes" [ "$(value bytes_intra plan.json)" = \
      "$(($(value bytes_sent_per_step run.json) / 2))" ]
  done
done
check "bytes move between 3 ranks" [ "$(value bytes_intra plan.json)" -gt 1000 ]

# No bit of the output depends on the placement.
run=("${layers[@]}" --ffn-size 16 --batch-tokens 97 --threads 1 --progress off)
ranks 1 "${run[@]}" --output one.safetensors
for np in 1 2 3; do
  ranks $np "${run[@]}" --placement p$np.json --output n.safetensors
  went_well "np=$np: run with a placement file"
  check "np=$np: other bits with a placement file" cmp -s one.safetensors n.safetensors
done
for placement in contiguous p3.json; do
  here plan "${layers[@]}" --ranks 3 --ranks-per-node 3 --tokens-per-rank 1333 \
    --placement $placement --json plan.json
  went_well "plan with $placement"
  loads+=("$(value rank_max_over_mean plan.json)")
done
check "balanced from these ids is more even than contiguous: ${loads[*]}" \
  awk "BEGIN { exit !(${loads[1]} < ${loads[0]}) }"

# A job's table, traffic as text and CSV; more ranks than experts; nodes of uneven size.
here plan "${layers[@]}" --ranks 4,20 --ranks-per-node 4,8 --tokens-per-rank 40 --traffic node \
  --csv traffic.csv --json plan.json
went_well "several jobs"
check "a row for each job" [ "$(grep -c '"ranks_per_node":' plan.json)" = 4 ]
check "a line for each job" [ "$(grep -cE '^ +(4|20) +(4|8) ' stdout.txt)" = 4 ]
check "a matrix for each job" [ "$(grep -c '^[0-9]* ranks, [48] a node: ' stdout.txt)" = 4 ]
check "lines of CSV: $(wc -l <traffic.csv)" [ "$(wc -l <traffic.csv)" = $((1 + 1 + 1 + 25 + 9)) ]
between=$(awk -F, '$1 == 20 && $2 == 8 && $4 != $5 { sum += $6 } END { print sum }' traffic.csv)
check "CSV sums to bytes_inter" grep -q "\"bytes_inter\": $between," plan.json
plot=$here/../../launch/plot_traffic.py
on_ranks 1 "$plot" plan.json --output out/t.svg
check "plot of another file: exit code $code" [ "$code" = 2 ]
check "plot of another file" grep -q "not a file of hashep plan --csv" stderr.txt
check "plot of another file: left $(ls -A out)" nothing_left
if python=$(python_with matplotlib); then
  for suffix in svg png; do
    on_ranks 1 "$python" "$plot" traffic.csv --dedup --output traffic.$suffix
    check "plot: exit code $code" [ "$code" = 0 ]
    check "plot: nothing drawn" [ "$(wc -c <traffic.$suffix)" -gt 5000 ]
  done
fi
here plan "${layers[@]}" --ranks 40 --ranks-per-node 8 --traffic rank
went_well "heat map"
check "heat map of 40 rows" [ "$(grep -cE '^[ .:=+*#%@-]{40}$' stdout.txt)" = 40 ]

# A folder's config and tables are enough; weights are not read.
"$make_model" model --output model --top-k 2 || exit 1
here plan --model model --ranks 3 --ranks-per-node 3 --tokens-per-rank 20 --json plan.json
went_well "plan --model"
ranks 3 --model model --batch-tokens 60 --steps 1 --threads 1 --progress off --json run.json
np=3
same_value buffer_bytes_max row_buffers
mkdir bare
cp model/config.json bare
bad "no *.safetensors file" plan --model bare
here plan --model bare --router bigram
went_well "plan --model with a config alone"
bad "--num-experts does not go with --model" plan --model model --num-experts 4

out=(--json out/r.json --csv out/t.csv)
bad "the placement is for 3 ranks, the job has 2" plan "${layers[@]}" --ranks 2 \
  --placement p3.json "${out[@]}"
bad "the placement is for 10 experts, the job has 11" plan "${layers[@]/%10/11}" --ranks 3 \
  --placement p3.json "${out[@]}"
bad "known are contiguous, balanced" plan --placement random "${out[@]}"
bad "--ranks 0" plan --ranks 0 "${out[@]}"
bad "--ranks 1G" plan --ranks 1G "${out[@]}"
bad "at most 1024" plan --ranks 2K --traffic rank "${out[@]}"
bad "--node-reduce" plan --transport mpi --node-reduce "${out[@]}"
bad "id 7" plan --tokens ids.bin --vocab-size 7 "${out[@]}"
bad "--top-k 17" plan --top-k 17 "${out[@]}"
bad "none.bin" plan --tokens none.bin "${out[@]}"
bad "transport" plan --transport nccl "${out[@]}"
bad "--tokens" placement --output out/p.json
bad "*.json" placement --tokens ids.bin --output out/p.txt
printf '\xff\xff\xff\xff' >padding.bin
bad "nothing but padding" placement --tokens padding.bin --token-dtype i32 --output out/p.json
bad "id " placement --tokens ids.bin --vocab-size 7 --output out/p.json
ranks 2 "${run[@]}" --placement p3.json
check "run: exit code $code" [ "$code" = 2 ]
check "run: the file's ranks" one_error_with "p3.json: the placement is for 3 ranks, the job has 2"

# The same name, another file on each rank.
if is_open_mpi; then
  mkdir a b
  cp p2.json a/p.json
  here placement "${layers[@]}" --router bigram --ranks 2 --output b/p.json
  went_well "placement by bigram"
  few=(--hidden-size 16 --ffn-size 16 --num-experts 10 --top-k 3 --vocab-size 256
    --batch-tokens 32 --threads 1 --placement p.json)
  apart "${few[@]}" -- "${few[@]}"
  check "ranks of different placements: exit code $code" [ "$code" = 2 ]
  check "ranks of different placements" one_error_with "ranks disagree on the placement"
fi

here plan --help
check "--help" grep -q -- --ranks-per-node stdout.txt

# The memory of training: two ranks of 5 experts in 2 layers, d = 32, f = 16, three matrices each. Of 200
# assignments a rank's experts receive some; a tape has their rows and pre-activations.
here plan "${layers[@]}" --ffn-size 16 --ranks 2 --tokens-per-rank 100 --training --json plan.json
went_well "plan --training"
parameters=$((2 * 5 * 3 * 32 * 16 * 4))
for pair in "parameter_bytes_max $parameters" "packed_bytes_max $((2 * parameters))" \
  "gradient_bytes_max $parameters" "optimizer_bytes_max $((2 * parameters))"; do
  read -r key want <<<"$pair"
  check "plan --training: $key $(value "$key" plan.json), expected $want" [ "$(value "$key" plan.json)" = "$want" ]
done
tape=$(value tape_bytes_max plan.json)
rows=$((tape / (4 * (32 + 2 * 16))))
check "plan --training: a tape of $tape bytes" [ $((rows * 4 * 64)) = "$tape" -a $rows -ge 600 -a $rows -le 1200 ]
here plan "${layers[@]}" --ffn-size 16 --ranks 2 --tokens-per-rank 100 --training --recompute --json plan.json
check "--recompute: a tape of $(value tape_bytes_max plan.json)" [ "$(value tape_bytes_max plan.json)" = $((tape / 2)) ]
bad "--ffn-size goes with --training" plan "${layers[@]}" --ffn-size 16
bad "--recompute goes with --training" plan "${layers[@]}" --recompute

finish

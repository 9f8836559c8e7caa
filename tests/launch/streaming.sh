#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Experts that are read when they are needed: the bits of experts that are held, what is read, and what is
# refused.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

reference=$here/../reference
export PYTHONDONTWRITEBYTECODE=1
if ! python=$(python_with numpy); then
  echo "streaming: skipped: there is no Python with numpy (package python3-numpy)"
  exit 77
fi

"$python" "$reference/make_v4_model.py" published --shape flash --experts fp4 --shared-experts fp8 || exit 1
"$python" "$reference/make_v4_model.py" plain --shape flash --dtype BF16 --prefix model. || exit 1
"$python" - <<'PY' || exit 1
import numpy as np
random = np.random.default_rng(1)
np.minimum(random.zipf(1.3, 400) - 1, 1009).astype(np.int32).tofile("tokens.bin")
PY

# here ARGS...: a command of one process.
here() {
  on_ranks 1 "$hashep" "$@"
}

steps=8
# on FOLDER ARGS...: leaves in $run the options of a run on it.
on() {
  run=(--model "$1" --tokens tokens.bin --token-dtype i32 --seq-len 8 --dtype bf16 --threads 2 --deadline 60
    --progress off "${@:2}")
}

# state N TEXT: a run of "${run[@]}" on N ranks is well.
state() {
  ranks "$1" "${run[@]}"
  check "np=$1: $2: exit code $code" [ "$code" = 0 ]
}

# The same bits, by the oracle's check of the first step and by the output of one.
for folder in published plain; do
  for router in '' '--router token' '--router bigram' '--placement balanced'; do
    # shellcheck disable=SC2206 # words
    more=($router --output out/h.safetensors --batch-tokens 61)
    on $folder "${more[@]}" --weight-memory 0
    state 1 "$folder $router"
    mv out/h.safetensors out/held.safetensors
    for each in '1 45K' '2 200K' '3 45K'; do
      read -r np memory <<<"$each"
      on $folder "${more[@]}" --weight-memory "$memory"
      state "$np" "$folder $router in $memory"
      check "np=$np: $folder $router in $memory: other bits" cmp -s out/held.safetensors out/h.safetensors
      rm -f out/h.safetensors
    done
  done
done

# What is read, by a simulation of its own: with all batches known, and with few.
for np in 1 2; do
  for memory in 1G 500K 100K; do
    for depth in 1 4 16; do
      on published --batch-tokens 24 --steps $steps --json out/r.json --weight-memory $memory \
        --plan-depth $depth
      state $np "$memory, plan depth $depth"
      check "np=$np: $memory, plan depth $depth: what was read" \
        "$python" "$reference/streamed_loads.py" published tokens.bin out/r.json --batch-tokens 24 \
        --steps $steps --plan-depth $depth
      if [ $depth = 16 ]; then
        check "np=$np: $memory: not the least possible" "$python" -c '
import json
s = json.load(open("out/r.json"))["streaming"]
raise SystemExit(s["loads"] != s["least_loads"] or s["lru_loads"] < s["loads"])'
      fi
      here plan --model published --tokens tokens.bin --token-dtype i32 --seq-len 8 --dtype bf16 --ranks $np \
        --tokens-per-rank $((24 / np)) --steps $steps --weight-memory $memory --plan-depth $depth \
        --disk 1G --gflops 100 --json out/plan.json
      check "plan for $np ranks, $memory, depth $depth: exit code $code" [ "$code" = 0 ]
      check "plan for $np ranks, $memory, depth $depth: other reads than the run's" "$python" -c '
import json
run = json.load(open("out/r.json"))["streaming"]
plan = json.load(open("out/plan.json"))["results"][0]["streaming"]
raise SystemExit(any(run[k] != plan[k] for k in ("slots", "slot_bytes", "uses", "loads", "least_loads",
                                                 "lru_loads", "bytes_read")))'
      rm -f out/r.json out/plan.json
    done
  done
done
on published --batch-tokens 61 --output out/h.safetensors --weight-memory 100K --read-ahead off
state 2 "read when used"
on published --batch-tokens 24 --steps $steps --json out/r.json --weight-memory 100K --read-ahead off
state 1 "read when used"
check "read when used: not as LRU" "$python" -c '
import json
s = json.load(open("out/r.json"))["streaming"]
raise SystemExit(s["loads"] != s["lru_loads"])'
rm -f out/r.json out/h.safetensors
on published --batch-tokens 24 --steps $steps --weight-memory 200K --check
state 2 "checked by the oracle"
check "read: what the table says" grep -q '^  experts read ' stdout.txt
check "held: what the first line says" grep -q ' experts in memory, ' stdout.txt

# Memory: a layer of full size, whose experts are 13 MB each. What is held beside the budget are the program,
# its libraries, and the shared experts.
"$python" "$reference/make_v4_model.py" wide --shape wide --experts fp4 --shared-experts fp8 --random-codes || exit 1
on wide --batch-tokens 24 --steps $steps --json out/r.json --weight-memory 48M
state 1 "48 MiB for experts of 13"
if ! grep -qaE '__(asan|tsan)_init' "$hashep"; then  # whose shadow memory would be measured
  check "peak memory: $(sed -n '/peak memory/,$p' stdout.txt | tr '\n' ' ')" "$python" -c '
import json
r = json.load(open("out/r.json"))
shared = 3 * 4096 * 2048 * 1.02
raise SystemExit(r["memory"]["weights"] > (48 << 20) + shared + (1 << 20)
                 or r["peak_rss_bytes"] > sum(r["memory"].values()) + (80 << 20))'
fi
rm -f out/r.json

# no_run NP TEXT ARGS...: refused in one line.
no_run() {
  local np=$1 text=$2
  shift 2
  ranks "$np" "$@"
  check "np=$np: $text: exit code $code" [ "$code" = 2 ]
  check "np=$np: $text" one_error_with "$text"
  check "np=$np: $text: left $(ls out)" [ -z "$(ls out)" ]
}
rm -f out/*
on published --weight-memory 10K
no_run 2 "the least that works is 1" "${run[@]}"
on published --weight-memory 1M --weights expanded
no_run 1 "--weight-memory: weights that are streamed stay packed" "${run[@]}"
on plain --weight-memory 1M --weights packed
no_run 2 "--weights packed: plain has no quantised weights" "${run[@]}"
no_run 1 "--weight-memory goes with --model DIR" "${small[@]}" --weight-memory 1M
no_run 1 "--read-ahead goes with --weight-memory" --model published --read-ahead off
no_run 1 "--weights goes with --model DIR" "${small[@]}" --weights packed

# convert: without a change where that is possible, rounded where it is not.
converted() {
  here convert --model "$1" --experts "$2" --output "$3"
  check "$1 as $2: exit code $code" [ "$code" = 0 ]
  check "$1 as $2: what it says" grep -q "$4" stdout.txt
  on "$3" --batch-tokens 61 --output out/h.safetensors
  state 2 "$3"
  mv out/h.safetensors "out/$3.safetensors"
}
on published --batch-tokens 61 --output out/h.safetensors
state 1 published
mv out/h.safetensors out/published.safetensors
converted published fp8 as8 'all values are as they were'
converted published bf16 as16 'all values are as they were'
converted as8 fp4 as4 'all values are as they were'
converted as16 fp4 again4 'all values are as they were'
for as in as8 as16 as4 again4; do
  check "$as: other bits than published" cmp -s out/published.safetensors out/$as.safetensors
done
on plain --batch-tokens 61 --output out/h.safetensors
state 1 plain
mv out/h.safetensors out/plain.safetensors
converted plain fp8 plain8 'values were rounded; relative error of a matrix at most [0-9.]*e-02'
converted plain fp4 plain4 'values were rounded; relative error of a matrix at most [0-9.]*e-0[12]'
check "plain as FP8: its hidden states" "$python" "$reference/compare_hidden.py" out/plain8.safetensors \
  out/plain.safetensors 0.1
here run --model plain4 --tokens tokens.bin --token-dtype i32 --batch-tokens 24 --seq-len 8 --steps 2 \
  --weight-memory 200K --dtype bf16 --check --progress off --threads 1
check "plain as FP4 is streamed: exit code $code" [ "$code" = 0 ]

rm -f out/*
refused_convert() {
  local text=$1
  shift
  here convert "$@"
  check "convert: $text: exit code $code" [ "$code" = 2 ]
  check "convert: $text" one_error_with "$text"
}
refused_convert "as8: is there already" --model published --experts fp4 --output as8
refused_convert "nowhere" --model nowhere --experts fp4 --output new
"$python" "$reference/make_v4_model.py" bad --shape flash --experts fp4 --defect "nan scale" || exit 1
refused_convert "is NaN or infinite" --model bad --experts bf16 --output new
check "convert: left something" [ ! -e new ] && check "convert: left something" [ ! -e new.tmp ]

finish

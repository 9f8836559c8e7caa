#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Good runs of the real program: the same bits on any number of ranks, and what comes out of a run.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

# good N ARGS...: runs, and checks that the run was well.
good() {
  ranks "$@" --progress off  # sanitizers may take seconds
  check "np=$1: ${*:2}: exit code $code" [ "$code" = 0 ]
  check "np=$1: ${*:2}: wrote to stderr" [ -z "$(own_lines)" ]
}

# same N ARGS...: the output on N ranks is that of one rank, left in out/1.safetensors.
same() {
  good "$@" --output out/n.safetensors
  check "np=$1: ${*:2}: other bits than one rank" cmp -s out/1.safetensors out/n.safetensors
  rm -f out/n.safetensors
}

# same_on "N..." ARGS...: one rank, then each N; --check on the first of them.
same_on() {
  local counts=$1 count
  shift
  good 1 "$@" --output out/1.safetensors
  check "$*: no output" [ -s out/1.safetensors ]
  check "$*: output of zeros" [ "$(tail -c +200 out/1.safetensors | tr -d '\0' | wc -c)" -gt 100 ]
  for count in $counts; do same "$count" "$@"; done
}

# E = 10 is no multiple of most numbers of ranks.
model=(--num-layers 2 --hidden-size 32 --ffn-size 48 --num-experts 10 --vocab-size 512
  --batch-tokens 97 --seq-len 16 --threads 1 --check)
same_on "2 3 4 5 7" "${model[@]}"
cp out/1.safetensors out/top1.safetensors
same_on "2 7" "${model[@]}" --top-k 6 --dtype bf16
cp out/1.safetensors out/top6.safetensors
same_on "3" "${model[@]}" --top-k 6 --router bigram --placement balanced
same_on "5" "${model[@]}" --top-k 6 --router balanced --placement balanced --dtype bf16
same_on "4" "${model[@]}" --router previous --planning replicated
same_on "3" "${model[@]}" --router position --placement balanced --planning replicated --dtype bf16
same_on "2" "${model[@]}" --residual off --activation relu --num-shared-experts 2
"$make_model" table --output table.safetensors --vocab 512 --experts 10 --top-k 6 || exit 1
same_on "3" "${model[@]}" --top-k 6 --table table.safetensors --placement balanced --dtype bf16
same_on "2 3 4 5 7" "${model[@]}" --top-k 6 --table table.safetensors --activation gelu
check "outputs differ where the run differs" \
  [ "$(cmp -s out/top1.safetensors out/1.safetensors; echo $?)" = 1 ]

# Each transport gives the bits of one rank alone; the first line says which it is.
says_transport() {
  check "$*: transport not said: $(head -n 1 stdout.txt)" \
    grep -qF ", transport $1, " <(head -n 1 stdout.txt)
}
full=("${model[@]}" --top-k 6 --score sqrtsoftplus --num-shared-experts 1 --residual off)
for dtype in fp32 bf16; do
  good 1 "${full[@]}" --dtype $dtype --output out/1.safetensors
  says_transport "shm (auto)"
  for transport in mpi shm hier auto; do
    for np in 1 2 3; do
      same $np "${full[@]}" --dtype $dtype --transport $transport
      says_transport "${transport/#auto/shm (auto)}"
    done
  done
done

# However far ahead batches are planned: one planning exchange each, no other collective in a step,
# and the same outcome.
same 2 "${full[@]}" --dtype bf16 --plan-depth 64
full+=(--plan-depth)
for transport in mpi shm hier; do
  collectives=0
  if [ $transport = mpi ]; then collectives=4; fi  # dispatch and combine of two layers
  rm -f sums.txt
  for depth in 0 1 3; do
    text="$transport, --plan-depth $depth"
    same 3 "${full[@]}" $depth --transport $transport --dtype bf16
    good 3 "${full[@]}" $depth --transport $transport --steps 5 --json out/r.json
    check "$text: planning exchanges" grep -qx ' "planning_exchanges": 5,' out/r.json
    check "$text: collectives in a step" \
      grep -qx " \"collectives_in_step\": $collectives," out/r.json
    # Sums over the plans of all steps.
    grep -E '"(bytes_sent_per_step|expert_max_over_mean|rank_max_over_mean)":' out/r.json >sums.new
    check "$text: no sums" [ "$(wc -l <sums.new)" = 3 ]
    [ -e sums.txt ] || cp sums.new sums.txt
    check "$text: not the plans of --plan-depth 0" cmp -s sums.txt sums.new
  done
done
rm out/r.json

# Fewer tokens than ranks, fewer experts than ranks, nothing but padding but for one token.
few=(--hidden-size 32 --ffn-size 48 --vocab-size 512 --threads 1 --check)
same_on "4" "${few[@]}" --num-experts 10 --batch-tokens 2 --num-shared-experts 1
good 1 "${few[@]}" --num-experts 2 --batch-tokens 33 --output out/1.safetensors
same 4 "${few[@]}" --num-experts 2 --batch-tokens 33
{ head -c 40 /dev/zero | tr '\0' '\377'; printf '\7\0\0\0'; } >padding.bin
good 1 "${few[@]}" --num-experts 10 --batch-tokens 22 --tokens padding.bin --token-dtype i32 \
  --output out/1.safetensors
same 3 "${few[@]}" --num-experts 10 --batch-tokens 22 --tokens padding.bin --token-dtype i32
good 2 "${few[@]}" --num-experts 10 --batch-tokens 10 --steps 3 --tokens padding.bin \
  --token-dtype i32

for options in "--router learned --top-k 2" "--router dense --top-k 2"; do
  read -ra words <<<"$options"
  good 2 "${few[@]}" --num-experts 10 --batch-tokens 22 --steps 3 --tokens padding.bin \
    --token-dtype i32 "${words[@]}"
done

# A run's own output is a run's input. Threads do not matter.
good 1 "${model[@]}" --output out/1.safetensors
same 1 "${model[@]/%1/2}"  # only --threads is 1
good 1 "${model[@]}" --hidden out/top1.safetensors --output out/1.safetensors
check "--hidden makes no difference" \
  [ "$(cmp -s out/top1.safetensors out/1.safetensors; echo $?)" = 1 ]
same 3 "${model[@]}" --hidden out/top1.safetensors

# A model folder in the shape of DeepSeek-V4's.
for dtype in fp32 bf16; do
  rm -rf model
  "$make_model" model --output model --dtype $dtype --top-k 6 || exit 1
  folder=(--model model --batch-tokens 65 --threads 1 --dtype "$dtype" --check)
  same_on "2 3" "${folder[@]}"
done
# Layers with a learned gate behind the hash-routed ones: left alone, or run too.
rm -rf model
"$make_model" model --output model --top-k 3 --learned 2 || exit 1
folder=(--model model --batch-tokens 65 --threads 1 --check)
same_on "2" "${folder[@]}"
check "hash-routed layers alone" grep -q "model: 2 layers" stdout.txt
cp out/1.safetensors hash.safetensors
same_on "2 3 5" "${folder[@]}" --layers all
check "all layers" grep -q "model: 4 layers" stdout.txt
check "their gate" grep -q "tid2eid; noaux_tc from layer 2" stdout.txt
check "--layers makes no difference" \
  [ "$(cmp -s hash.safetensors out/1.safetensors; echo $?)" = 1 ]
# And what static routing is compared with.
for options in "--router learned" "--router learned --gate noaux_tc --dtype bf16" \
  "--router dense --top-k 3"; do
  read -ra words <<<"$options"
  same_on "2 3" "${model[@]}" "${words[@]}"
done
good 2 "${folder[@]}" --steps 2
check "--check is reported" grep -q "check  *ok: 65 tokens" stdout.txt

# A file says the same as the command line; suffixes count in powers of 1024.
cat >run.toml <<'TOML'
num-layers = 2
hidden-size = 32
ffn-size = 48
num-experts = 10
vocab-size = 512
batch-tokens = 97
seq-len = 16
threads = 1
check = true
TOML
cp out/top1.safetensors out/1.safetensors
same 2 --config run.toml
good 1 --config run.toml --batch-tokens 2K --num-layers 1 --vocab-size 0.5K --steps 1
check "suffix K, and the command line over the file" grep -q "2048 a step" stdout.txt

# What comes out: a table, JSON, a trace.
for np in 1 3; do
  good $np "${model[@]}" --steps 4 --json out/r.json --trace out/t.json --num-shared-experts 1
  check "np=$np: result JSON" "$check_json" result out/r.json $np
  check "np=$np: trace" "$check_json" trace out/t.json $np
  for word in median p99 max tokens/s "tokens/s, wall clock" "sent between ranks" "load factor" "peak memory" \
    "planning exchanges    4 for 4 batches" dispatch combine; do
    check "np=$np: no '$word' in the closing table" grep -q -- "$word" stdout.txt
  done
done
# All kernels are made before the loop: oneDNN tells of each that it makes.
for library in auto onednn; do
  DNNL_VERBOSE=2 good 1 "${model[@]}" --steps 20 --num-shared-experts 1 --zipf 1.0 \
    --gemm-library $library
  check "--gemm-library $library: kernels are made in the loop" awk '
    /^tokens: / { begun = 1 }
    /verbose.*,create/ { ++made[begun + 0] }
    END { exit !(made[0] > 0 && made[1] == 0) }' stdout.txt
done
good 2 "${model[@]}" --steps 4 --planning replicated
check "no planning exchange" grep -q "planning exchanges    0 for 4 batches" stdout.txt
check "no file but what was asked for" [ "$(echo out/* out/.[!.]*)" = \
  "out/1.safetensors out/r.json out/t.json out/top1.safetensors out/top6.safetensors out/.[!.]*" ]

# --help teaches: every option, from one rank; --version.
"$mpirun" 2 "$hashep" run --help >stdout.txt 2>stderr.txt
check "--help: exit code" [ $? = 0 ]
for option in model accept-unused num-layers hidden-size ffn-size num-experts top-k num-shared-experts \
  activation swiglu-limit score routed-scaling-factor vocab-size router table seed placement \
  planning plan-depth tokens token-dtype tokenizer padding-id zipf seq-len batch-tokens steps hidden dtype device \
  share-gpu bind-cpu graph expert-gemm gemm-library transport node-reduce residual threads deadline setup-deadline check check-tokens output json trace progress config \
  version; do
  check "--help: --$option" [ "$(grep -cE -- "^  (-h,)?--$option( |$)" stdout.txt)" = 1 ]
done
for args in --version "run --version"; do
  # shellcheck disable=SC2086
  "$hashep" $args >stdout.txt 2>stderr.txt
  check "$args" grep -qE '^hashep [0-9]+\.[0-9]+\.[0-9]+ \(.+\)$' stdout.txt
done
"$hashep" --help >stdout.txt 2>stderr.txt
check "hashep --help" grep -q "mpirun -np 4 hashep run" stdout.txt

# Progress of a run of some seconds, in a log: plain lines. A run alone ends at SIGINT.
code=0
timeout --signal=INT --kill-after=20 6 "$hashep" run --hidden-size 64 --ffn-size 64 --steps 1G \
  --batch-tokens 1K --threads 1 >stdout.txt 2>stderr.txt || code=$?
check "long run: not ended by the signal: exit code $code" [ "$code" = 124 ]
check "long run: no progress" grep -qE '^hashep: step [0-9]+/1073741824, [0-9]+ tokens/s' stderr.txt
check "long run: carriage returns in a log" [ "$(tr -dc '\r' <stderr.txt | wc -c)" = 0 ]
check "long run: how it ended" grep -qE '^hashep: error: rank 0 in .*signal Interrupt$' stderr.txt

finish

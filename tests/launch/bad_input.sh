#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bad input to `hashep run`: one clear line from one rank, exit code 2, nothing left behind. What the
# command line tells by itself is in launch_options_test; most cases here run together, in one process
# a rank (refuse_cases), and a dozen by the program itself. The fourth argument is refuse_cases.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
refuse_cases=$4
small+=(--json "$work/out/r.json" --trace "$work/out/t.json")

# bad N TEXT ARGS...: on N ranks, ARGS (before the small run's own) are to be refused with a line that
# holds TEXT. The cases are run together by refuse_together.
bad() {
  with "${@:3}"
  keep_case "$1" "$2" "${run[@]}"
}

# With a model folder the sizes are the folder's.
bad_model() {
  keep_case "$1" "$2" --model "$3" --batch-tokens 32 --steps 2 --threads 1 --deadline 60 \
    --json out/r.json "${@:4}"
}

# keep_case N TEXT WORDS...: for refuse_together.
keep_case() {
  local IFS=$'\t'
  printf '%s\n' "${*:2}" >>"cases.$1"
  cases=$((cases + 1))
}
cases=0

# All cases that are kept, in one process a rank.
refuse_together() {
  local np
  for np in 1 2; do
    [ -f "cases.$np" ] || continue
    on_ranks "$np" "$refuse_cases" out "cases.$np"
    check "np=$np: $(wc -l <"cases.$np") bad inputs in one process: $(tail -n 1 stdout.txt)" \
      [ "$code" = 0 ]
    rm "cases.$np"
  done
}

# bad_program N TEXT ARGS...: as bad, by the program itself.
bad_program() {
  with "${@:3}"
  ranks "$1" "${run[@]}"
  refused "np=$1: ${*:3}" "$2"
}

# The run just made was refused, with a line that holds TEXT.
refused() {
  check "$1: exit code $code, expected 2" [ "$code" = 2 ]
  check "$1: expected one error line with '$2'" one_error_with "$2"
  check "$1: left $(ls -A out)" nothing_left
  rm -rf out/*
}

# npy HEADER FILE: an npy file of version 1.0 with this header and 64 zero bytes of data.
npy() {
  local length=$((${#1} + 1))
  {
    printf '\x93NUMPY\x01\x00'
    printf '%b' "\\x$(printf %02x $((length % 256)))\\x$(printf %02x $((length / 256)))"
    printf '%s\n' "$1"
    head -c 64 /dev/zero
  } >"$2"
}

make() {
  "$make_model" "$@" || exit 1
}

: >empty.bin
printf 'abc' >odd.bin
head -c 256 /dev/zero >zeros.bin
# Ids 0 but for a bad one: at 5 (rank 0, step 0), and at 60 (of two ranks rank 1, step 1).
{ head -c 10 /dev/zero; printf '\xff\x7f'; head -c 244 /dev/zero; } >bad_first.bin
{ head -c 120 /dev/zero; printf '\xff\x7f'; head -c 134 /dev/zero; } >bad_later.bin
npy "{'descr': '<i4', 'fortran_order': False, 'shape': (16,), }" good.npy
npy "{'descr': '<i4', 'fortran_order': False, 'shape': (1000,), }" lying.npy
npy "{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,), }" huge.npy
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (16,), }" float.npy
head -c 20 good.npy >truncated.npy
printf 'some words\n' >text.txt
printf 'no model at all' >bad.model
mkdir folder

table=(--vocab 64 --experts 4 --top-k 1)
make table --output good.safetensors "${table[@]}"
make table --output vocab.safetensors --vocab 63 --experts 4 --top-k 1
make table --output two.safetensors --vocab 64 --experts 4 --top-k 2
make table --output range.safetensors "${table[@]}" --defect "expert out of range"
make table --output negative.safetensors "${table[@]}" --defect "negative expert"
make table --output repeated.safetensors --vocab 64 --experts 4 --top-k 2 --defect "repeated expert"
make hidden --output hidden.safetensors --rows 31 --hidden 16
make hidden --output nohidden.safetensors --rows 32 --hidden 8

# The input files are well where they are not spoilt: else the tests below show nothing.
for args in "--tokens zeros.bin --placement balanced" "--tokens good.npy --router table --table good.safetensors"; do
  # shellcheck disable=SC2086
  with $args
  ranks 2 "${run[@]}"
  check "good input: $args: exit code $code" [ "$code" = 0 ]
  check "good input: $args: no result" [ -s out/r.json ]
  check "good input: $args: no trace" [ -s out/t.json ]
  rm -f out/*
done

for np in 1 2; do
  bad $np "nosuch.bin" --tokens nosuch.bin
  bad $np "empty.bin" --tokens empty.bin
  bad $np "odd.bin: 3 bytes" --tokens odd.bin
  bad $np "folder" --tokens folder
  bad $np "token 5 has id 32767, outside [0, 64); if it is padding: --padding-id 32767" \
    --tokens bad_first.bin
  bad $np "bad_later.bin: token 60 has id 32767" --tokens bad_later.bin
  bad $np "token 60 has id 32767" --tokens bad_later.bin --planning replicated
  bad $np "lying.npy" --tokens lying.npy
  bad $np "huge.npy" --tokens huge.npy
  bad $np "float.npy" --tokens float.npy
  bad $np "truncated.npy" --tokens truncated.npy
  bad $np "text.txt: text needs a tokenizer (--tokenizer MODEL)" --tokens text.txt
  bad $np "bad.model" --tokens text.txt --tokenizer bad.model
  bad $np "nosuch.model" --tokens text.txt --tokenizer nosuch.model

  bad $np "vocab.safetensors" --table vocab.safetensors
  bad $np "two.safetensors" --table two.safetensors
  bad $np "range.safetensors" --table range.safetensors
  bad $np "negative.safetensors" --table negative.safetensors
  bad $np "repeated.safetensors" --table repeated.safetensors --top-k 2
  bad $np "nosuch.safetensors" --table nosuch.safetensors
  bad $np "--router table needs --table FILE or a --model folder" --router table

  bad $np "hidden.safetensors" --hidden hidden.safetensors
  bad $np "nohidden.safetensors" --hidden nohidden.safetensors
  bad $np "good.safetensors" --hidden good.safetensors

  bad $np "out/no/o.safetensors" --output out/no/o.safetensors
  bad $np "folder" --output folder
  bad $np "/proc/o.safetensors" --output /proc/o.safetensors
done

# By the program itself: of each kind one.
bad_program 2 "--bogus" --bogus 3
bad_program 1 "token 5 has id 32767, outside [0, 64)" --tokens bad_first.bin
bad_program 2 "out/no/o.safetensors" --output out/no/o.safetensors

bad 1 "folder" --json folder
bad 1 "out/no/t.json" --trace out/no/t.json
if [ "$(id -u)" != 0 ]; then
  mkdir read_only && chmod 555 read_only
  bad 1 "read_only" --output read_only/o.safetensors
fi
ranks 1 --hidden-size 16M --ffn-size 16M --num-layers 1 --num-experts 1 --json out/r.json
check "no memory: exit code $code" [ "$code" = 1 ]
check "no memory: one line" one_error_with "out of memory"
ranks 2 --hidden-size 16M --ffn-size 16M --num-layers 1 --num-experts 2 --json out/r.json
check "no memory on any rank: exit code $code" [ "$code" = 1 ]
check "no memory on any rank: one line" one_error_with "rank 0 in setup: out of memory"
check "no memory: left files" nothing_left

code=0
"$mpirun" 2 "$hashep" walk >stdout.txt 2>stderr.txt || code=$?
refused "unknown command" "unknown command 'walk'"

# A file that was there stays as it was.
echo old >kept.safetensors
bad_program 2 "token 5" --tokens bad_first.bin --output kept.safetensors
check "the old output is gone" [ "$(cat kept.safetensors)" = old ]

# Model folders.
make model --output model
for np in 1 2; do
  bad_model $np "nosuch" nosuch
  bad_model $np "config.json" folder
done

# config KEY TEXT: $config is a folder whose config.json has TEXT where KEY's line was.
config() {
  config=config$((++folders))
  cp -r model "$config"
  sed -i "s/^  \"$1\".*/$2/" "$config/config.json"
}
folders=0
config hidden_size ''
bad_model 2 "config.json: hidden_size" "$config"
config vocab_size '"vocab_size": "many",'
bad_model 1 "config.json: vocab_size" "$config"
config num_experts_per_tok '"num_experts_per_tok": 11,'
bad_model 1 "config.json: num_experts_per_tok" "$config"
config scoring_func '"scoring_func": "sigmoid",'
bad_model 1 "config.json: scoring_func" "$config"
config vocab_size '"vocab_size": 99999999999999999999,'
bad_model 1 "config.json: vocab_size" "$config"
config hidden_act '{{{'
bad_model 2 "config.json" "$config"
config num_experts_per_tok '"num_experts_per_tok": 3,'
bad_model 1 "tid2eid" "$config"
config num_experts_per_tok '"num_experts_per_tok": 3,'
rm "$config/model.safetensors"
bad_model 1 "$config" "$config"

# spoilt DEFECT: $spoilt is a model folder with this defect.
spoilt() {
  spoilt=spoilt$((++folders))
  make model --output "$spoilt" --defect "$1"
}
for defect in truncated "lying header length" "overlapping tensors"; do
  spoilt "$defect"
  for np in 1 2; do bad_model $np "$spoilt/model.safetensors" "$spoilt"; done
done
spoilt "missing layers.1.ffn.experts.9.w2.weight"
for np in 1 2; do bad_model $np "layers.1.ffn.experts.9.w2.weight" "$spoilt"; done
spoilt "misshapen layers.1.ffn.experts.9.w2.weight"
for np in 1 2; do bad_model $np "layers.1.ffn.experts.9.w2.weight" "$spoilt"; done
spoilt "missing layers.0.ffn.gate.weight"
bad_model 2 "layers.0.ffn.gate.weight" "$spoilt"
for defect in "repeated expert" "expert out of range" "negative expert"; do
  spoilt "$defect"
  bad_model 2 "layers.0.ffn.gate.tid2eid" "$spoilt"
done

# NaN and infinity are refused where --check is on. Expert 9 is the last rank's.
for name in experts.9.w2 shared_experts.w1 gate; do
  spoilt "nan layers.1.ffn.$name.weight"
  for np in 1 2; do
    bad_model $np "layer 1" "$spoilt" --check
    bad_model $np "nan" "$spoilt" --check
  done
done
spoilt "inf layers.0.ffn.experts.0.w1.weight"
bad_model 2 "layer 0, expert 0 w1: inf" "$spoilt" --check
ranks 2 --model "$spoilt" --batch-tokens 32 --steps 1 --threads 1
check "infinite weights without --check: exit code $code" [ "$code" = 0 ]
spoilt "huge layers.0.ffn.experts.0.w1.weight"
bad_model 2 "which bf16 cannot hold" "$spoilt" --check --dtype bf16
# Rows of hidden states likewise; row 31 is the last rank's.
make hidden --output nan.safetensors --rows 32 --hidden 16 --defect "nan hidden_states"
make hidden --output late.safetensors --rows 32 --hidden 16 --defect "late nan hidden_states"
for np in 1 2; do
  bad $np "nan.safetensors: hidden_states (in fp32): nan at [0, 1]" --hidden nan.safetensors --check
  bad $np "late.safetensors: hidden_states (in bf16): nan at [31, 15]" --hidden late.safetensors \
    --check --dtype bf16
done
make hidden --output inf.safetensors --rows 32 --hidden 16 --defect "inf hidden_states"
bad 1 "inf.safetensors: hidden_states (in fp32): inf at [0, 1]" --hidden inf.safetensors --check
make hidden --output huge.safetensors --rows 32 --hidden 16 --defect "huge hidden_states"
bad 1 "huge.safetensors: hidden_states (in bf16): inf at [0, 1]" --hidden huge.safetensors \
  --check --dtype bf16

# Ranks that disagree. The same relative names hold other contents in folders a and b.
mkdir a b
# disagree TEXT ARGS_OF_RANK_0 -- ARGS_OF_RANK_1
disagree() {
  keep_case 2 "$@"
}
disagree "ranks disagree on --seed" "${small[@]}" -- "${small[@]}" --seed 0
disagree "ranks disagree on --zipf" "${small[@]}" --zipf 1.0000000001 -- "${small[@]}"
disagree "ranks disagree on --plan-depth: rank 0 has 1, rank 1 has 0" "${small[@]}" -- \
  "${small[@]}" --plan-depth 0
disagree "ranks disagree on --node-reduce" "${small[@]}" --node-reduce -- "${small[@]}"
disagree "ranks disagree on --transport" "${small[@]}" --transport mpi -- "${small[@]}"
disagree "ranks disagree on --router" "${small[@]}" --router bigram -- "${small[@]}"
disagree "--bogus" "${small[@]}" -- "${small[@]}" --bogus
# differ TEXT: folders a/m and b/m of a number, made with other flags, are told apart.
differ() {
  local text=$1
  shift
  local m=m$((++folders))
  cp -r model "a/$m"
  make model --output "b/$m" "$@"
  of_model "$text" "$m"
}
of_model() {
  local model=(--model "$2" --batch-tokens 32 --threads 1)
  disagree "$1" "${model[@]}" -- "${model[@]}"
}
differ "ranks disagree on the weights' shapes" --dtype bf16
differ "ranks disagree on the model's sizes" --ffn 8
differ "ranks disagree on the gate of layer 1: rank 0 has digest" \
  --defect "other layers.1.ffn.gate.weight"
differ "ranks disagree on the shared experts of layer 0: rank 0 has digest" \
  --defect "other layers.0.ffn.shared_experts.w2.weight"
# Expert 9 is the last rank's, of which the first one reads a sample; expert 0 the other way round.
differ "ranks disagree on the weights of layer 1, expert 9: rank 0 has digest" \
  --defect "other layers.1.ffn.experts.9.w3.weight"
differ "ranks disagree on the weights of layer 0, expert 0: rank 1 has digest" \
  --defect "other layers.0.ffn.experts.0.w1.weight"
make hidden --output a/h.safetensors --rows 32 --hidden 16
make hidden --output b/h.safetensors --rows 32 --hidden 16 --seed 2
disagree "ranks disagree on the hidden states of --hidden: rank 0 has digest" "${small[@]}" \
  --hidden h.safetensors -- "${small[@]}" --hidden h.safetensors
cp -r model a/factor && cp -r model b/factor
sed -i 's/1.5/1.25/' b/factor/config.json
of_model "ranks disagree on the model's routed_scaling_factor: rank 0 has 1.5, rank 1 has 1.25" factor
make table --output a/t.safetensors "${table[@]}"
make table --output b/t.safetensors "${table[@]}" --seed 2
disagree "ranks disagree on the routing table" "${small[@]}" --table t.safetensors -- \
  "${small[@]}" --table t.safetensors
# tokens NAME TEXT: a/NAME and b/NAME are token files.
tokens() {
  disagree "$2" "${small[@]}" --tokens "$1" -- "${small[@]}" --tokens "$1"
}
head -c 100 zeros.bin | tee a/longer.bin a/other.bin >a/alone.bin
head -c 102 zeros.bin >b/longer.bin
tokens longer.bin "ranks disagree on the length of the token file: rank 0 has 50 tokens"
{ printf '\0\0\x01'; head -c 97 zeros.bin; } >b/other.bin
tokens other.bin "ranks disagree on the token ids"
tokens alone.bin "alone.bin"

refuse_together
rm -rf out/*

# By the program itself: command lines of ranks that differ.
if is_open_mpi; then
  apart "${small[@]}" --seed 1 -- "${small[@]}" --seed 2
  refused "disagree on --seed" "ranks disagree on --seed: rank 0 has 1, rank 1 has 2"
  apart --help -- "${small[@]}"
  refused "disagree on --help" "ranks disagree on --help"
fi
printf '%d cases run together\n' "$cases"

finish

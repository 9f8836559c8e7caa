#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hashep table inspect`, `hashep table convert` and tables with spread rows:
# table_tools.sh HASHEP MAKE_MODEL CHECK_JSON.
# shellcheck disable=SC2317 # helpers that `check` calls
# shellcheck source=tests/launch/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

table() {
  on_ranks 1 "$hashep" table "$@"
}

says() {
  grep -qE -- "$1" stdout.txt
}

succeeds() {
  [ "$code" = 0 ] && [ ! -s stderr.txt ]
}

# good ARGS...: `hashep table ARGS` succeeds.
good() {
  table "$@"
  check "table $*: exit code $code" succeeds
}

# bad TEXT ARGS...: `hashep table ARGS` is refused with a line that holds TEXT, and writes nothing.
bad() {
  local text=$1
  shift
  table "$@"
  check "table $*: exit code $code, expected 2" [ "$code" = 2 ]
  check "table $*: expected one error line with '$text'" one_error_with "$text"
  check "table $*: left $(ls -A out)" nothing_left
}

# data FILE: the bytes of a .safetensors or .npy file behind its header, as a digest.
data() {
  case $1 in
    *.npy) tail -c +129 "$1" ;;
    *) tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1" ;;
  esac | cksum
}

same_data() {
  [ "$(data "$1")" = "$(data "$2")" ]
}

# 4,096 ids of 64: half of them 5, a quarter 7, the rest spread over all.
ids=''
for ((i = 0; i < 4096; i++)); do
  case $((i % 4)) in
    0 | 2) id=5 ;;
    1) id=7 ;;
    *) id=$((i / 4 % 64)) ;;
  esac
  ids+=$(printf '\\x%02x\\x00' "$id")
done
printf '%b' "$ids" >ids.bin
printf '\x01\x00\x40\x00' >beyond.bin

build=(build --tokens ids.bin --vocab-size 64 --num-experts 8 --method balanced --ranks 4
  --progress off)
good "${build[@]}" --top-k 2 --output t.safetensors
good "${build[@]}" --top-k 2 --num-layers 2 --dtype i64 --output layers.safetensors
good "${build[@]}" --top-k 1 --output one.safetensors

# inspect: half of all tokens are of one id, so an expert of top-1 has at least 4 times the mean.
good inspect --table one.safetensors --tokens ids.bin --ranks 2,4 --json r.json
check "experts beside the bound" says '^    experts +4\.0[0-9]+ +4\.0[0-9]+ +least '
check "ranks beside the bound" says '^    4 ranks +2\.0[0-9]+ +2\.0[0-9]+$'
check "provenance" says '^  corpus_digest +"xxh64:[0-9a-f]{16}"$'
check "a histogram" says '^ +[0-9.]+ to +[0-9.]+ \|#+ [0-9]+$'
check "the heaviest token" says '^  5 +50\.[0-9]+ % +4\.[0-9]+  [0-7]$'
check "no line is too wide" [ "$(grep -v '"' stdout.txt | wc -L)" -le 80 ]
for word in '"program": "hashep table inspect"' '"expert_max_over_mean": 4\.0' '"bound": 4\.0' \
  '"rank_max_over_mean": \{' '"2": 1\.' '"loads": \[' '"zero_load_experts": 2,' '"method": "balanced"' \
  '"load_over_mean": 4\.'; do
  check "JSON: $word" grep -qE -- "$word" r.json
done
# All ids alike, but for one that occurs once more.
for ((i = 0; i < 64; i++)); do printf '%b' "\\x$(printf %02x $i)\\x00"; done >even.bin
for _ in {1..10}; do
  cat even.bin even.bin >twice.bin
  mv twice.bin even.bin
done
printf '\0\0' >>even.bin
good build --tokens even.bin --vocab-size 64 --num-experts 8 --method balanced --output even.safetensors
good inspect --table even.safetensors --tokens even.bin
check "loads that are nearly equal are one bar" [ "$(grep -cE '^ +1\.000 to +1\.000 \|#+ 8$' stdout.txt)" = 1 ]
good inspect --table layers.safetensors --tokens ids.bin ids.bin --num-experts 8 --top 1
check "each layer" says '^  layer 1 +max/mean +bound$'
check "the heaviest token of all" says '^  5 +50\.'
check "all files" says '8192 tokens of 2 files'
good inspect --table layers.safetensors --tokens ids.bin --layer 1
check "one layer" [ "$(grep -c 'max/mean  ' stdout.txt)" = 1 ]
echo 'abc cab bca' >text.txt
if spm_train --input=text.txt --model_prefix=tok --model_type=char --vocab_size=7 >/dev/null 2>&1; then
  good inspect --table one.safetensors --tokens ids.bin --tokenizer tok.model --json r.json
  check "the heaviest token by name" says '^  5 +"[abc]" +50\.[0-9]+ % +4\.'
  check "JSON: the name" grep -qE '"piece": "[abc]",' r.json
fi
bad 'token 1 has id 64, outside [0, 64)' inspect --table t.safetensors --tokens beyond.bin --json out/r.json
bad 'has expert' inspect --table t.safetensors --tokens ids.bin --num-experts 7
bad 'no table of layer 2' inspect --table layers.safetensors --tokens ids.bin --layer 2
bad '--ranks 0: must be in' inspect --table t.safetensors --tokens ids.bin --ranks 2,0
bad 'no.bin: cannot be read' inspect --table t.safetensors --tokens no.bin
bad 'no/r.json: cannot write' inspect --table t.safetensors --tokens ids.bin --json no/r.json
bad '--tokens is required' inspect --table t.safetensors
bad 'is no SentencePiece model' inspect --table t.safetensors --tokens ids.bin --tokenizer ids.bin

# convert: round trips over files are bit-identical.
good convert t.safetensors --output t64.safetensors --dtype i64
good convert t64.safetensors --output t64.npy
good convert t64.npy --output t32.npy --dtype i32
good convert t32.npy --output t32.safetensors
check "i32 -> i64 -> npy -> i32" same_data t.safetensors t32.safetensors
check "npy and safetensors hold the same" same_data t64.safetensors t64.npy
good convert t.safetensors --output again.safetensors
check "nothing to change: the same file" cmp -s t.safetensors again.safetensors
bad '--num-experts N is needed' inspect --table t32.npy --tokens ids.bin
bad '2 tables, and a .npy file holds one' convert layers.safetensors --output out/t.npy
bad 'one of --output FILE and --into DIR' convert t.safetensors
bad 'outside [0, 4)' convert t.safetensors --output out/t.npy --num-experts 4
bad 'a table is a .safetensors or .npy file' convert t.safetensors --output out/t.txt

# A model folder: out of it, into it, and back.
"$make_model" model --output model --vocab 64 --experts 8 --top-k 2 || exit 1
cp -r model model.before
good convert model --output model.safetensors
good convert model --output model1.npy --layer 1
good convert layers.safetensors --into model
check "the folder is another" [ "$(cmp -s model/model.safetensors model.before/model.safetensors; echo $?)" = 1 ]
good convert model --output inserted.safetensors
check "the folder has the tables" same_data layers.safetensors inserted.safetensors
run_model=(--model model --tokens ids.bin --batch-tokens 64 --steps 2 --threads 1 --deadline 60 --check)
ranks 2 "${run_model[@]}"
check "the folder runs" [ "$code" = 0 ]
good inspect --table model --tokens ids.bin
good convert model.safetensors --into model
good convert model --output back.safetensors
check "in and out again" cmp -s model.safetensors back.safetensors
good convert t.safetensors --into model --layer 1
good convert model --output layer1.safetensors --layer 1 --dtype i32
check "one layer alone" same_data t.safetensors layer1.safetensors
good convert model.safetensors --into model
bad 'is [64, 1], config.json wants [64, 2]' convert one.safetensors --into model
bad 'layer 2 is not one of the 2' convert t.safetensors --into model --layer 2
bad 'no/such: not a folder' convert t.safetensors --into no/such
check "refused tables left the folder alone" cmp -s model/config.json model.before/config.json

# Experts renumbered and pruned.
echo '7 6 5 4 3 2 1 0' >reverse.txt
echo '[0, 1, 2, 3, 4, 5, -1, -1]' >prune.json
echo '[0, 1, 2, 3, 4, 5, 6, 7, 8]' >nine.json
good convert t.safetensors --output reversed.safetensors --remap reverse.txt
good convert reversed.safetensors --output there.safetensors --remap reverse.txt
check "reversed twice" same_data t.safetensors there.safetensors
bad 'has the pruned expert' convert t.safetensors --output out/t.safetensors --remap prune.json
good convert t.safetensors --output pruned.safetensors --remap prune.json --fill least-loaded \
  --tokens ids.bin
good inspect --table pruned.safetensors --tokens ids.bin --num-experts 6
check "loads of the old experts are not" [ "$(grep -c 'max_over_mean' stdout.txt)" = 0 ]
check "the remap is recorded" says 'remapped +"8 experts to 6, fill least-loaded"'
bad 'the remap is for 9 experts, the tables are for 8' convert t.safetensors --output out/t.npy \
  --remap nine.json
bad 'the remap is for 8 experts, --num-experts is 9' convert t32.npy --output out/t.npy \
  --remap reverse.txt --num-experts 9
bad 'the remap is for 9 experts, of which 9 are left, model has 8' convert model --output out/t.npy \
  --remap nine.json
bad '--fill goes with --remap' convert t.safetensors --output out/t.npy --fill least-loaded
# A folder whose config.json tells the experts that are left, and whose tables name the old ones.
cp -r model fewer
sed -i 's/"n_routed_experts": *8/"n_routed_experts": 6/' fewer/config.json
bad 'outside [0, 6)' inspect --table fewer --tokens ids.bin
good convert fewer --into fewer --remap prune.json --fill least-loaded
good convert fewer --output fewer.safetensors
good convert model --output left.safetensors --remap prune.json --fill least-loaded
check "tables of pruned folders" same_data fewer.safetensors left.safetensors

# A table for experts that are placed: odd ones on rank 1.
odd='{"format": "hashep placement 1", "num_layers": 1, "num_experts": 8, "ranks": 2, "layers": [
  {"experts": [[0, 2, 4, 6], [1, 3, 5, 7]]}]}'
echo "$odd" >odd.json
placed=(build --tokens ids.bin --vocab-size 64 --num-experts 8 --top-k 1 --method balanced --ranks 2
  --progress off)
good "${placed[@]}" --output near.safetensors
good "${placed[@]}" --placement odd.json --output odd.safetensors
check "even ranks are told" says '^  balanced +4\.0[0-9]+ +1\.00'
good inspect --table odd.safetensors --tokens ids.bin --ranks 2 --placement odd.json
check "even where it was built for" says '^    2 ranks +1\.00[0-9]+ +1\.00'
check "the placement is recorded" says '^  placement +"odd.json"$'
good inspect --table near.safetensors --tokens ids.bin --ranks 2 --placement odd.json
check "a table for another placement is not" says '^    2 ranks +1\.[1-9]'
bad 'the placement is for 2 ranks, the job has 4' "${placed[@]/2/4}" --placement odd.json \
  --output out/t.safetensors
bad 'the placement is for 1 layers, the job has 2' inspect --table layers.safetensors \
  --tokens ids.bin --ranks 2 --placement odd.json
bad '--placement FILE.json goes with one number of --ranks' inspect --table odd.safetensors \
  --tokens ids.bin --placement odd.json
bad '--placement needs --ranks N' build --tokens ids.bin --vocab-size 64 --num-experts 8 \
  --method balanced --placement odd.json --output out/t.safetensors
bad '--placement balanced: contiguous or a placement file' "${placed[@]}" --placement balanced \
  --output out/t.safetensors

# Spread rows: below the bound, the same on any number of ranks, and only for models trained so.
spread=(build --tokens ids.bin --vocab-size 64 --num-experts 8 --method balanced --ranks 4
  --progress off --top-k 1 --spread 0.5 --output s.safetensors)
good "${spread[@]}"
check "spread rows are told" says 'spread: 2 ids have 14 rows'
good inspect --table s.safetensors --tokens ids.bin --seq-len 1K
check "below the bound" says '^    experts +1\.[0-9]+ +4\.0'
check "the bound with them" says '^    with spread rows +1\.0000$'
good inspect --table s.safetensors --tokens ids.bin --seq-len 1
check "a row by position: all at position 0 take the same" says '^    experts +[4-9]\.[0-9]+ +4\.0'
check "a change of the model" says 'spread_rule .*changes the model'
bad '.npy file cannot hold spread rows' convert s.safetensors --output out/s.npy
small_run=(--hidden-size 16 --ffn-size 16 --num-experts 8 --num-layers 2 --vocab-size 64
  --batch-tokens 61 --seq-len 16 --threads 1 --deadline 60 --tokens ids.bin --check)
ranks 1 "${small_run[@]}" --table s.safetensors --output s1.safetensors
check "a run takes them" [ "$code" = 0 ]
ranks 3 "${small_run[@]}" --table s.safetensors --output s3.safetensors
check "the same bits on 3 ranks" cmp -s s1.safetensors s3.safetensors
ranks 1 "${small_run[@]}" --table one.safetensors --output s0.safetensors
check "other bits without them" [ "$(cmp -s s1.safetensors s0.safetensors; echo $?)" = 1 ]
good "${build[@]}" --top-k 2 --spread 0.5 --output s2.safetensors
bad 'has spread rows, but the model was trained without' convert s2.safetensors --into model
ranks 2 "${run_model[@]}" --table s2.safetensors
check "a model trained without: exit code $code" [ "$code" = 2 ]
check "a model trained without" one_error_with 'has spread rows, but the model was trained without'
sed -i 's/"hidden_act"/"hashep": {"spread": true}, &/' model/config.json
ranks 2 "${run_model[@]}"
check "a model trained with: exit code $code" [ "$code" = 2 ]
check "a model trained with" one_error_with 'has no spread rows, but the model was trained with them'
good convert s2.safetensors --into model
ranks 2 "${run_model[@]}"
check "a model trained with runs" [ "$code" = 0 ]
bad '--spread: must be a number' "${spread[@]/0.5/0.01}"
printf '\xff\xff\xff\xff' >padding.bin
bad 'nothing but padding' build --tokens padding.bin --token-dtype i32 --vocab-size 64 \
  --num-experts 8 --method random --spread 1 --output out/s.safetensors
bad '--spread goes with --tokens' build --vocab-size 64 --num-experts 8 --method random --spread 1 \
  --output out/s.safetensors

for command in inspect convert; do
  table $command --help
  check "$command has a help text" says '--tokens'
done

# A plot, where matplotlib is installed.
if python=$(python_with matplotlib); then
  plot=("$python" "$here/../../launch/plot_table.py")
  for suffix in svg png; do
    on_ranks 1 "${plot[@]}" r.json r.json --output plot.$suffix
    check "a plot is made: $suffix" succeeds
  done
  check "it is an SVG with the bound" grep -q 'bound 4.0' plot.svg
  check "it is a PNG" grep -aq PNG plot.png
  on_ranks 1 "${plot[@]}" t.safetensors --output out/plot.svg
  check "a plot of another file: exit code $code" [ "$code" = 2 ]
  check "a plot of another file" grep -q 'plot.py: error: t.safetensors: ' stderr.txt
  check "a plot of another file: left $(ls -A out)" nothing_left
  on_ranks 1 "${plot[@]}" r.json --output no/plot.svg
  check "a plot that cannot be written: exit code $code" [ "$code" = 2 ]
  check "a plot that cannot be written" grep -q "plot.py: error: .*'no/plot.svg.tmp'" stderr.txt
fi

finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Model folders in the shape of DeepSeek-V4's, made by a script, against the reference in numpy; what
# is read of them; folders that are spoilt.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

reference=$here/../reference
export PYTHONDONTWRITEBYTECODE=1
if ! python=$(python_with numpy); then
  echo "real_models: skipped: there is no Python with numpy (package python3-numpy)"
  exit 77
fi

# make FOLDER ARGS...
make() {
  rm -rf "$1"
  "$python" "$reference/make_v4_model.py" "$@" || exit 1
}

# on FOLDER DTYPE ARGS...: leaves in $run the options for a folder and its input; the token file has
# one batch. With $up, a run in a folder below; $tokens is another token file.
up=''
tokens=''
on() {
  local input=${1##*/} bytes
  input=in_${input%%.*}
  bytes=$(stat -c %s "$input/tokens.bin") || exit 1
  run=(--model "$1" --tokens "$up${tokens:-$input/tokens.bin}" --token-dtype i32
    --batch-tokens $((bytes / 4)) --hidden "$up$input/hidden.safetensors" --dtype "$2" --threads 1
    --deadline 60 --progress off --output "${up}out/n.safetensors" "${@:3}")
}

# good N TEXT: a run of "${run[@]}" on N ranks is well.
good() {
  ranks "$1" "${run[@]}"
  check "np=$1: $2: exit code $code" [ "$code" = 0 ]
}

# same N TEXT: and gives the bits of one rank, left in out/1.safetensors.
same() {
  good "$1" "$2"
  check "np=$1: $2: other bits than one rank" cmp -s out/1.safetensors out/n.safetensors
  rm -f out/n.safetensors
}

# agrees FOLDER DTYPE RESIDUAL: one rank agrees with the reference; its output is in out/1.safetensors.
agrees() {
  local bound=1e-5
  if [ "$2" = bf16 ]; then bound=1e-2; fi
  "$python" "$reference/moe_reference.py" --model "$1" --tokens "in_$1/tokens.bin" \
    --hidden "in_$1/hidden.safetensors" --dtype "$2" --residual "$3" --output want.safetensors || exit 1
  on "$1" "$2" --residual "$3"
  good 1 "$1 $2"
  mv out/n.safetensors out/1.safetensors
  printf '%s %s, residual %s: ' "$1" "$2" "$3"
  check "$1 $2, residual $3: not as the reference" "$python" "$reference/compare_hidden.py" \
    out/1.safetensors want.safetensors $bound
}

# On any number of ranks, by messages and by shared memory.
everywhere() {
  local np transport
  for np in 2 3; do
    for transport in auto mpi; do
      on "$1" "$2" --transport $transport "${@:3}"
      same $np "$1 $2 $transport"
    done
  done
}

make flash --shape flash --dtype BF16 --inputs in_flash
make pro --shape pro --dtype F32 --prefix model. --table-dtype I32 --inputs in_pro
make wide --shape wide --dtype BF16 --inputs in_wide --batch-tokens 19
for shape in flash pro wide; do
  for dtype in bf16 fp32; do
    agrees $shape $dtype on
    everywhere $shape $dtype
  done
  if [ $shape = wide ]; then break; fi
  agrees $shape fp32 off
  on $shape fp32 --residual off
  same 3 "$shape, residual off"
done

# As published: FP4 experts and FP8 shared ones, with scales that are powers of two; Base's FP8 experts
# with F32 scales, of blocks that do not divide the matrices.
make published --shape flash --experts fp4 --shared-experts fp8 --inputs in_published
make base --shape pro --experts fp8 --shared-experts fp8 --scales F32 --block 40x24 --prefix model. --inputs in_base
for dtype in bf16 fp32; do
  for model in published base; do
    agrees $model $dtype on
    everywhere $model $dtype
    for np in 1 3; do  # packed in memory by default
      on $model $dtype --weights expanded
      same $np "$model $dtype, expanded"
    done
    check "$model $dtype: how weights stand in memory" grep -q '^weights: .*, expanded in memory$' stdout.txt
  done
done
on published bf16 --weights packed
good 1 "published"
check "published: how its weights are stored" \
  grep -qxF 'weights: experts fp4, shared experts fp8, packed in memory' stdout.txt
rm -f out/n.safetensors

# A table names experts, wherever they live; an index only says where tensors are.
agrees flash fp32 on
on flash fp32 --placement balanced
same 3 "balanced placement"
cp -r flash flash.unindexed
rm flash.unindexed/model.safetensors.index.json
on flash.unindexed fp32
same 2 "no index"

# Ranks whose copies of a model differ are told so: on each, the other's experts are NaN.
mkdir a b
make a/flash --absent 128:256
make b/flash --absent 0:128
on a/flash fp32
good 1 "others' experts are NaN"
check "others' experts are not NaN" \
  [ "$(cmp -s out/1.safetensors out/n.safetensors; echo $?)" = 1 ]

# each_its_own FOLDER: two ranks, each with its own copy, a/FOLDER and b/FOLDER.
each_its_own() {
  up=../
  on "$1" fp32
  up=''
  apart "${run[@]}" -- "${run[@]}"
}
if is_open_mpi; then
  each_its_own flash
  check "copies that differ: exit code $code" [ "$code" = 2 ]
  check "copies that differ: what" \
    grep -q "ranks disagree on the weights of layer 0, expert [0-9]*: rank 0 has" stderr.txt

  # Each reads its own experts, and of others some rows. The file system has to tell.
  on wide fp32
  good 1 "wide fp32"
  mv out/n.safetensors out/1.safetensors
  mv wide a/wide
  cp -r a/wide b/wide
  if "$python" "$reference/resident_experts.py" evict a/wide &&
    "$python" "$reference/resident_experts.py" evict b/wide; then
    each_its_own wide
    check "each reads its own experts: exit code $code" [ "$code" = 0 ]
    check "each reads its own experts: other bits" cmp -s out/1.safetensors out/n.safetensors
    check "rank 0 reads others' experts" "$python" "$reference/resident_experts.py" check a/wide 0:3
    check "rank 1 reads others' experts" "$python" "$reference/resident_experts.py" check b/wide 3:7
  fi
fi
rm -rf out/* a b

# bad N TEXT: "${run[@]}" on N ranks is refused with one line that holds TEXT.
bad() {
  ranks "$1" "${run[@]}"
  check "np=$1: ${run[*]}: exit code $code, expected 2" [ "$code" = 2 ]
  check "np=$1: expected one error line with '$2'" one_error_with "$2"
  check "np=$1: '$2': left $(ls -A out)" nothing_left
  rm -rf out/*
}

# spoilt DEFECT TEXT FLAGS...
spoilt() {
  local defect=$1 text=$2
  make flash.bad --defect "$defect" "${@:3}"
  on flash.bad fp32
  bad 2 "$text"
}
w2=layers.0.ffn.experts.5.w2
spoilt "other dtype" "\"$w2.weight\": dtype \"F8_E5M2\", expected F32, F16, BF16, F8_E4M3, or FP4 packed as I8"
spoilt "no scale" "flash.bad: no tensor \"$w2.scale\", in no spelling"
spoilt "nan scale" "\"$w2.scale\": the scale at [63, 0] is NaN or infinite"
spoilt "nan code" "\"$w2.weight\": the code at [32, 3] is NaN"
spoilt "scale rows" "\"$w2.scale\": shape [1, 64], expected [64, 1] (blocks of 1 x 32)"
spoilt "missing shard" "model-00099-of-00099.safetensors: cannot read: No such file"
spoilt "missing tensor" "00001-of-00006.safetensors: no tensor \"$w2.bias\", where flash.bad/model.saf"
spoilt "wrong shard" "00002-of-00006.safetensors: no tensor \"$w2.weight\", where flash.bad/model.saf"
spoilt "two shards" "tensor \"$w2.weight\" is also in flash.bad/model-00001" --no-index
spoilt "two spellings" "tensor \"model.$w2.weight\" is also in flash.bad/model-00001"
spoilt "two spellings" "tensor \"$w2.weight\" is also in flash.bad/model-00001" --prefix model.
spoilt truncated "00002-of-00006.safetensors: tensor \"layers.1.ffn.experts."
spoilt "repeated expert" "\"layers.0.ffn.gate.tid2eid\": row 17 repeats expert"
spoilt "not remapped" "\"layers.0.ffn.gate.tid2eid\": row 23 has expert 256, outside [0, 256)"

# With the index, it decides which of two shards is read.
make flash.bad --defect "two shards"
on flash.bad fp32
good 1 "two shards, and an index"
rm -f out/*

# Quantised weights may stand among others.
for defect in "fp8 among bf16" "fp4 among bf16"; do
  make flash.bad --defect "$defect"
  on flash.bad fp32
  good 1 "$defect"
done
rm -f out/*

# Without the index, what was not downloaded is missing; with it, only what is ours.
rm flash.unindexed/model-00002*
on flash.unindexed fp32
bad 1 "flash.unindexed: no tensor \"layers."
cp flash/model.safetensors.index.json flash.unindexed
bad 2 "flash.unindexed/model-00002-of-00006.safetensors: cannot read: No such file"

# config KEY VALUE TEXT: a config.json that does not go with the tensors, or that is another model's.
config() {
  rm -rf flash.config && cp -r flash flash.config
  sed -i "s/^  \"$1\": .*/  \"$1\": $2,/" flash.config/config.json
  on flash.config fp32
  bad 1 "$3"
}
config vocab_size 129280 "tid2eid\": shape [1010, 6], expected [129280, 6]"
config num_experts_per_tok 5 "tid2eid\": shape [1010, 6], expected [1010, 5]"
config n_routed_experts 255 "layers.0.ffn.gate.weight\": shape [256, 64], expected [255, 64]"
config num_hash_layers 4 "no tensor \"layers.3.ffn.gate.tid2eid\""
config scoring_func '"softmax"' "scoring_func: unknown scoring function \"softmax\""
config norm_topk_prob false "norm_topk_prob: expected true"

# ids TEXT BYTES: an id that is neither a row of the table nor padding, at token 7.
ids() {
  cp in_flash/tokens.bin ids.bin
  printf '%b' "$2" | dd of=ids.bin bs=4 seek=7 conv=notrunc status=none
  tokens=ids.bin
  on flash fp32
  bad 2 "$1"
}
ids "token 7 has id 1010, outside [0, 1010)" '\xf2\x03\x00\x00'
ids "token 7 has id -2, outside [0, 1010)" '\xfe\xff\xff\xff'

finish

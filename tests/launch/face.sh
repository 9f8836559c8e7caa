#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library's face gives the bits of `hashep run` for the same model, ids and hidden states, on any
# number of ranks and however unevenly they hold the tokens.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
face=$4

tokens=97
for ((i = 0; i < tokens; ++i)); do printf '%b' "\\x$(printf %02x $((i * i * 7 % 61)))\\0\\0\\0"; done >ids.bin
"$make_model" model --output model || exit 1
"$make_model" hidden --output hidden.safetensors --rows $tokens || exit 1
"$make_model" hidden --output other.safetensors --rows $tokens --seed 2 || exit 1

# face N MODEL DTYPE TRANSPORT HIDDEN [WEIGHT_MEMORY]
face() {
  on_ranks "$1" "$face" out/run.safetensors "$2" "$3" "$4" ids.bin "$5" 16 "${6:-0}"
}

for dtype in fp32 bf16; do
  for model in synthetic model; do
    sizes=(--model model)
    if [ $model = synthetic ]; then
      sizes=(--num-layers 2 --hidden-size 32 --ffn-size 16 --num-experts 10 --top-k 2 --vocab-size 64
        --seed 3)
    fi
    ranks 2 "${sizes[@]}" --tokens ids.bin --token-dtype i32 --batch-tokens $tokens --seq-len 16 \
      --hidden hidden.safetensors --dtype $dtype --threads 1 --progress off --output out/run.safetensors
    check "$model $dtype: hashep run: exit code $code" [ "$code" = 0 ]
    for np in 1 2 3 4; do
      face $np $model $dtype auto hidden.safetensors
      check "$model $dtype: $np ranks: exit code $code" [ "$code" = 0 ]
      check "$model $dtype: $np ranks: $(grep -c 'the same bits' stdout.txt) of them" \
        [ "$(grep -c 'the same bits' stdout.txt)" = $np ]
    done
    for transport in mpi hier; do
      face 3 $model $dtype $transport hidden.safetensors
      check "$model $dtype: $transport: exit code $code" [ "$code" = 0 ]
      check "$model $dtype: not $transport" grep -qF ", $transport:" stdout.txt
    done
    if [ $model = model ]; then
      for np in 1 3; do
        face $np $model $dtype hier hidden.safetensors 40000
        check "$model $dtype: $np ranks that stream: exit code $code" [ "$code" = 0 ]
        check "$model $dtype: $np ranks that stream: other bits" \
          [ "$(grep -c 'the same bits' stdout.txt)" = $np ]
      done
    else
      face 2 $model $dtype auto hidden.safetensors 40000
      check "synthetic: exit code $code, expected 2" [ "$code" = 2 ]
      check "synthetic: not told" grep -qF 'weight_memory: these weights are in no file' stderr.txt
    fi
    face 2 $model $dtype auto other.safetensors
    check "$model $dtype: other hidden states: exit code $code, expected 1" [ "$code" = 1 ]
    rm -f out/run.safetensors
  done
done

# What is wrong with a folder on any rank is told by all of them.
face 2 nowhere fp32 auto hidden.safetensors
check "no folder: exit code $code, expected 2" [ "$code" = 2 ]
check "no folder: not told" grep -qF 'nowhere: not a folder' stderr.txt

finish

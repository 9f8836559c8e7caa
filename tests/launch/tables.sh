#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hashep table build`, and runs with the tables it makes: tables.sh HASHEP MAKE_MODEL CHECK_JSON.
# shellcheck disable=SC2317 # helpers that `check` calls
# shellcheck source=tests/launch/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Ids 0 to 63, 0 the most frequent, as little-endian u16.
ids=''
for ((i = 0; i < 4000; i++)); do
  ids+=$(printf '\\x%02x\\x00' $((i * i % 64 * (i % 3 == 0 ? 0 : 1))))
done
printf '%b' "$ids" >ids.bin
printf '\x01\x00\x3f\x00\x40\x00' >beyond.bin
: >empty.bin

# build ARGS...: `hashep table build` of the small case, less the options that ARGS name, and ARGS.
build() {
  local args=(--tokens ids.bin --vocab-size 64 --num-experts 8 --top-k 2 --method balanced
    --output out/table.safetensors)
  local all=() i
  for ((i = 0; i < ${#args[@]}; i += 2)); do
    case " $* " in
      *" ${args[i]} "* | *"without ${args[i]#--} "*) ;;
      *) all+=("${args[i]}" "${args[i + 1]}") ;;
    esac
  done
  while [ "${1:-}" = without ]; do shift 2; done
  on_ranks 1 "$hashep" table build --progress off "${all[@]}" "$@"
}

says() {
  grep -q -- "$1" stdout.txt
}

holds() {
  grep -aq -- "$1" out/table.safetensors
}

succeeds() {
  [ "$code" = 0 ] && [ ! -s stderr.txt ]
}

# runs N: the table just built routes a run on N ranks.
runs() {
  ranks "$1" --hidden-size 16 --ffn-size 16 --num-experts 8 --top-k 2 --vocab-size 64 --steps 2 \
    --batch-tokens 32 --seq-len 8 --threads 1 --deadline 60 --tokens ids.bin --router table \
    --table out/table.safetensors --check
  [ "$code" = 0 ]
}

build --ranks 2
check "a balanced table is built" succeeds
check "the bound is told" says 'bound of any table'
check "random is told beside it" says '^  random '
check "balanced is told" says '^  balanced '
check "the distance from the bound is told" says '^  times the bound  *1\.[0-9]*  *1\.[0-9]*$'
check "with ranks both loads are the target" holds '"target":"both"'
check "the corpus is told" holds '"corpus_tokens":"4000"'
check "the digest is told" holds '"corpus_digest":"xxh64:'
check "a run takes the table" runs 1
check "a run on two ranks takes the table" runs 2
cp out/table.safetensors first.safetensors
build --ranks 2
check "the same table is built again" cmp -s first.safetensors out/table.safetensors
build
check "without ranks experts are the target" holds '"target":"expert"'
build --ranks 2 --num-layers 2 --target rank --seed 1K --dtype i64
check "a table for each layer is built" succeeds
check "layers have tables" holds 'layers.1.ffn.gate.tid2eid'
check "of i64" holds '"dtype":"I64"'
check "seeds take suffixes" holds '"seed":"1024"'
build --ranks 16
check "ranks without experts count in the bound" says '^  bound of any table  *1\.6670  *3\.3340$'
build without tokens --method random
check "a random table needs no tokens" succeeds
check "a run takes a random table" runs 1

# Embeddings [64, 2] of f4: the numbers of ids.bin, and 0.
npy_of_rows() {
  local header="{'descr': '<f4', 'fortran_order': False, 'shape': ($1, 2)}" data='' row
  printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header"
  for ((row = 0; row < $1; row++)); do
    data+=$(printf '\\x00\\x00\\x%02x\\x42\\x00\\x00\\x%02x\\x42' $((row % 128)) $((row * 7 % 128)))
  done
  printf '%b' "$data"
}
npy_of_rows 64 >embeddings.npy
npy_of_rows 63 >short.npy
for method in clustered dispersed; do
  build --method "$method" --embeddings embeddings.npy --threads 2
  check "a $method table is built" succeeds
  check "a run takes a $method table" runs 2
done

rm -f out/table.safetensors
# fails TEXT ARGS...: one line that holds TEXT, exit code 2, and nothing written.
fails() {
  local text=$1
  shift
  build "$@"
  check "exit code 2: $*" [ "$code" = 2 ]
  check "one error with '$text': $*" one_error_with "$text"
  check "nothing written: $*" nothing_left
}
fails 'token 2 has id 64, outside [0, 64)' --tokens ids.bin beyond.bin
fails 'empty.bin: no token ids in it' --tokens empty.bin
fails 'no.bin: cannot be read' --tokens no.bin
fails '--method: lucky not in {' --method lucky
fails '--method is required' without method
fails '--method balanced needs --tokens' without tokens
fails '--top-k 9: must be in [1, 8]' --top-k 9
fails '--vocab-size 0: must be in' --vocab-size 0
fails '--ranks 0: must be in' --ranks 0
fails '--target rank needs --ranks' --target rank
fails '--target: lucky not in {' --target lucky --ranks 2
fails '--target goes with --method balanced' --method random --target expert
fails '--embeddings goes with --method clustered or dispersed' --embeddings embeddings.npy
fails '--method clustered needs --embeddings' --method clustered
fails 'expected [64, d]' --method dispersed --embeddings short.npy
fails 'a table is a .safetensors file' --output out/table.npy
fails 'cannot write' --output no/table.safetensors
fails '--token-dtype u8: known are' --token-dtype u8
printf 'some text\n' >text.txt
fails 'text needs a tokenizer' --tokens text.txt
fails '--lucky' --lucky

on_ranks 1 "$hashep" table
check "table alone lists its commands" says 'build'
check "with exit code 0" [ "$code" = 0 ]
on_ranks 1 "$hashep" table build --help
check "build has a help text" says '--vocab-size'
on_ranks 1 "$hashep" table lucky
check "an unknown command is told" one_error_with "unknown command 'table lucky'"
check "an unknown command exits with 2" [ "$code" = 2 ]

finish

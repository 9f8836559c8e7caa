#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files as people have them: pointers and error pages in place of data, links into shared stores,
# headers of other writers, text that a terminal would obey: files.sh HASHEP MAKE_MODEL CHECK_JSON.
# shellcheck disable=SC2317 # helpers that `check` calls
# shellcheck source=tests/launch/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# bad TEXT ARGS...: `hashep ARGS` is refused with one line that holds TEXT.
bad() {
  local text=$1
  shift
  on_ranks 1 "$hashep" "$@"
  check "$*: exit code $code, expected 2" [ "$code" = 2 ]
  check "$*: expected one error line with '$text'" one_error_with "$text"
  check "$*: nothing for a terminal to obey" shows_plainly
}

good() {
  on_ranks 1 "$hashep" "$@"
  check "$*: exit code $code" [ "$code" = 0 ]
  check "$*: nothing for a terminal to obey" shows_plainly
}

# Neither control characters, alone or in UTF-8, nor bidirectional overrides.
shows_plainly() {
  ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]' stdout.txt stderr.txt
}

# bytes NUMBER COUNT: a little-endian number.
bytes() {
  local i
  for ((i = 0; i < $2; i++)); do printf '%b' "\\x$(printf %02x $(($1 >> (8 * i) & 255)))"; done
}

# safetensors FILE HEADER: a file of this header; its data are read from stdin.
safetensors() {
  {
    bytes "${#2}" 8
    printf '%s' "$2"
    cat
  } >"$1"
}

lfs_pointer() {
  printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 4567890123\n' 0
}

"$make_model" model --output model --vocab 64 --experts 8 --top-k 2 || exit 1
for ((i = 0; i < 64; i++)); do bytes $i 2; done >ids.bin
run=(run --tokens ids.bin --batch-tokens 32 --seq-len 8 --steps 1 --threads 1 --deadline 60)
with_model=("${run[@]}" --model broken)

# broken FILE: the model folder with FILE, read from stdin, in place of its own.
broken() {
  rm -rf broken
  cp -r model broken
  cat >"broken/$1"
}

lfs_pointer | broken model.safetensors
bad 'broken/model.safetensors: not a safetensors file: it is a git-lfs pointer' "${with_model[@]}"
lfs_pointer | broken config.json
bad 'config.json: not valid JSON: it is a git-lfs pointer' "${with_model[@]}"
printf '<!DOCTYPE html>\n<html><title>Sign in</title>' | broken model.safetensors
bad 'it is a web page (HTML)' "${with_model[@]}"
printf '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>' | broken config.json
bad 'it is XML text' "${with_model[@]}"
printf '{"error": "Access to this model is restricted"}' | broken model.safetensors
bad 'it is JSON text' "${with_model[@]}"
printf 'Entry not found' | broken model.safetensors.index.json
bad 'index.json: not valid JSON: it is text: "Entry not found"' "${with_model[@]}"
: | broken config.json
bad 'config.json: not valid JSON: it is empty' "${with_model[@]}"
: | broken model.safetensors
bad 'model.safetensors: not a safetensors file: it is empty' "${with_model[@]}"
truncate -s 300M broken/config.json
bad 'config.json: 314572800 bytes are too many' "${with_model[@]}"
printf 'PK\x03\x04 and so on' | broken pytorch_model.bin
rm broken/model.safetensors
bad 'no *.safetensors file, but "pytorch_model.bin" (it is a zip archive' "${with_model[@]}"
printf 'GGUF\x03\0\0\0 and so on' | broken model.gguf
rm broken/model.safetensors
bad '"model.gguf" (it is a GGUF model)' "${with_model[@]}"
printf '\x89HDF\r\n\x1a\n and so on' >t.npy
bad 't.npy: not a readable .npy file: it is an HDF5 file' table convert t.npy --output out/t.safetensors
printf '\x80\x04\x95\x20\0\0\0\0\0\0\0 and so on' >t.pkl
bad 'a table is a .safetensors or .npy file, and it is a Python pickle' \
  table convert t.pkl --output out/t.safetensors

# What is not asked for is skipped, whatever its dtype; what is asked for is refused by name.
table='"dtype":"I32","shape":[2,2],"data_offsets":[3,19]'
data() {
  printf 'abc'
  for id in 0 1 1 2; do bytes $id 4; done
}
data | safetensors t.safetensors \
  "{\"attn.freqs\":{\"dtype\":\"C64\",\"shape\":[7],\"data_offsets\":[0,3]},\"t\":{$table}}"
good table convert t.safetensors --output t.npy
data | safetensors f6.safetensors \
  "{\"w\":{\"dtype\":\"F6_E2M3\",\"shape\":[5],\"data_offsets\":[0,3]},\"t\":{$table}}"
good table convert f6.safetensors --output t.npy
data | safetensors hidden.safetensors \
  "{\"hidden_states\":{\"dtype\":\"C\\u001b[31m64\",\"shape\":[7],\"data_offsets\":[0,3]},\"t\":{$table}}"
bad 'tensor "hidden_states" has the unsupported dtype "C?[31m64"' "${run[@]}" --model model \
  --hidden hidden.safetensors

# Names, keys and values of a file are shown, and not obeyed.
data | safetensors escapes.safetensors "{\"__metadata__\":{\"a\\u001b[2J\":\"x\\u009b2J\\u202e\",
  \"num_experts\":\"4\"},\"skip\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},
  \"tid\\u001b[31m\\u202eeid\":{$table}}"
printf '\0\0\x01\0' >two.bin
good table inspect --table escapes.safetensors --tokens two.bin
check "the key" grep -qF 'a?[2J' stdout.txt
check "the value" grep -qF '"x?2J?"' stdout.txt
good table convert escapes.safetensors --output escapes2.safetensors
check "the name" grep -qF 'tid?[31m?eid' stdout.txt
bad 'outside [0, 2)' table convert escapes.safetensors --num-experts 2 --output out/t.safetensors
cp t.safetensors $'esc\x1b[31m.safetensors'
bad 'esc?[31m.safetensors' table convert $'esc\x1b[31m.safetensors' --num-experts 2 --output out/t.npy
printf 'hidden-size = 16\n"a\x1b[31mb" = "\xc2\x9b31m"\n' >options.toml
bad 'options.toml' "${run[@]}" --config options.toml
bad 'options.toml' table build --config options.toml
data | safetensors many.safetensors "{\"__metadata__\":{\"num_experts\":\"4611686018427387904\"},
  \"skip\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"t\":{$table}}"
bad 'many.safetensors: __metadata__ num_experts 4611686018427387904: must be in' \
  table inspect --table many.safetensors --tokens two.bin

# Headers of other writers.
npy() {
  printf '\x93NUMPY\x01\0'
  bytes "${#1}" 2
  printf '%s' "$1"
  for id in 0 1 1 2; do bytes $id 4; done
}
for shape in '(2L, 2L)' '(np.int64(2), np.int64(2))'; do
  npy "{'descr': '=i4', 'fortran_order': False, 'shape': $shape, }" >other.npy
  good table convert other.npy --output other.safetensors
  check "the table of $shape" cmp <(tail -c 16 other.safetensors) <(tail -c 16 t.npy)
done
npy "{'descr': '>i4', 'fortran_order': False, 'shape': (2, 2), }" >big.npy
bad '">i4" is big-endian' table convert big.npy --output out/t.safetensors
npy "{'descr': '<i4', 'fortran_order': False, 'shape': (two, 2), }" >odd.npy
bad "in its header \"{'descr': '<i4'" table convert odd.npy --output out/t.safetensors

# A model folder of links into a store of files, as download caches have it.
mkdir -p hub/blobs hub/snapshots/abc
for file in config.json model.safetensors; do
  name=$(sha256sum "model/$file" | cut -d ' ' -f 1)
  cp "model/$file" "hub/blobs/$name"
  ln -s "../../blobs/$name" "hub/snapshots/abc/$file"
done
chmod a-w hub/blobs/*
"$make_model" model --output other --vocab 64 --experts 8 --top-k 2 --seed 5 || exit 1
good table convert other --into hub/snapshots/abc
check "the link is a file now" [ ! -L hub/snapshots/abc/model.safetensors ]
check "the configuration is a link as before" [ -L hub/snapshots/abc/config.json ]
for blob in hub/blobs/*; do
  check "$blob is what its name says" [ "$(sha256sum "$blob" | cut -d ' ' -f 1)" = "${blob##*/}" ]
done
good table convert hub/snapshots/abc --output a.npy --layer 0
good table convert other --output b.npy --layer 0
check "the folder has the new tables" cmp a.npy b.npy

# Results name their arguments, of whatever bytes.
cp ids.bin $'caf\xe9.bin'
good run --tokens $'caf\xe9.bin' --vocab-size 64 --batch-tokens 32 --seq-len 8 --steps 1 --threads 1 \
  --hidden-size 16 --ffn-size 16 --num-experts 4 --json r.json
check "the JSON is written" [ -s r.json ]
finish

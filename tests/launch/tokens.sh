#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Token files as people have them, with each command that reads some:
# tokens.sh HASHEP MAKE_MODEL CHECK_JSON.
# shellcheck disable=SC2016,SC2317 # Perl has dollars, too; functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

# ids TEMPLATE WORDS FILE: packs a list of Perl's.
ids() {
  perl -e "print pack('$1', $2)" >"$3" || exit 1
}
few='map { $_ * $_ % 61 } 0 .. 599'
ids 'v*' "$few" u16.bin
ids 'l<*' "$few" i32.bin
ids 'q<*' "$few" i64.bin
ids 'l<*' 'map { $_ * 211 % 129280 } 0 .. 599' wide.bin
ids 'v*' "($few)[0 .. 499], (65535) x 100" padded.bin
ids 'l<*' "($few)[0 .. 499], (-1) x 100" padded32.bin
ids 'l<256 v*' "20240520, 1, 600, (0) x 253, $few" llmc.bin
ids 'l<256 V*' "20240801, 7, 600, (0) x 253, $few" llmc32.bin
head -c 1200 llmc.bin >cut.bin
cp u16.bin tokens.ds
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1200\n' >pointer.bin
cp pointer.bin pointer.txt

for vocab in 64 129280; do
  "$hashep" table build --method random --vocab-size "$vocab" --num-experts 4 \
    --output "table$vocab.safetensors" >stdout.txt 2>stderr.txt || complain "a random table"
done
echo '[0, 1, 2, -1]' >remap.json

# What each command is asked to do with the tokens of ARGS, of a vocabulary of $vocab.
vocab=64
run=(run --vocab-size 64 --hidden-size 16 --ffn-size 16 --num-experts 4 --batch-tokens 600 --seq-len 8
  --steps 1 --threads 1 --deadline 60 --progress off)
command_names=(run plan placement build inspect convert)
do_run() { on_ranks 1 "$hashep" "${run[@]/#64/$vocab}" "$@"; }
do_plan() {
  on_ranks 1 "$hashep" plan --vocab-size "$vocab" --ranks 2 --tokens-per-rank 300 --json out/r.json "$@"
}
do_placement() {
  on_ranks 1 "$hashep" placement --vocab-size "$vocab" --ranks 2 --output out/p.json "$@"
}
do_build() {
  on_ranks 1 "$hashep" table build --vocab-size "$vocab" --num-experts 4 --method balanced \
    --output out/t.safetensors --progress off "$@"
}
do_inspect() {
  on_ranks 1 "$hashep" table inspect --table "table$vocab.safetensors" --ranks 2 --json out/r.json "$@"
}
do_convert() {
  on_ranks 1 "$hashep" table convert "table$vocab.safetensors" --remap remap.json --fill least-loaded \
    --output out/c.safetensors "$@"
}

# all_refuse TEXT ARGS...: each command refuses the tokens with one line that holds TEXT.
all_refuse() {
  local text=$1 name
  shift
  for name in "${command_names[@]}"; do
    "do_$name" "$@"
    check "$name $*: exit code $code, expected 2" [ "$code" = 2 ]
    check "$name $*: expected one error line with '$text'" one_error_with "$text"
    check "$name $*: left $(ls -A out)" nothing_left
    rm -rf out/*
  done
}

# all_take ARGS...: each command takes the tokens.
all_take() {
  local name
  for name in "${command_names[@]}"; do
    "do_$name" "$@"
    check "$name $*: exit code $code" [ "$code" = 0 ]
    check "$name $*: wrote to stderr" [ ! -s stderr.txt ]
    rm -rf out/*
  done
}

# Width.
all_take --tokens u16.bin
all_take --tokens i32.bin --token-dtype i32
all_refuse 'i32.bin: looks like ids of 32 bits, not of 16: --token-dtype i32 or u32' --tokens i32.bin
all_refuse 'i64.bin: looks like ids of 64 bits, not of 16' --tokens i64.bin
all_refuse '--token-dtype u8: known are u16, u32, i32' --tokens i32.bin --token-dtype u8
all_refuse 'pointer.bin: this is a git-lfs pointer' --tokens pointer.bin
vocab=129280
wide='cannot hold ids of a vocabulary of 129280; the file looks like ids of 32 bits: --token-dtype i32'
all_refuse "wide.bin: u16, the default, $wide" --tokens wide.bin
all_refuse "wide.bin: u16 $wide" --tokens wide.bin --token-dtype u16
all_take --tokens wide.bin --token-dtype u32
vocab=64

# Padding.
all_refuse 'padded.bin: token 500 has id 65535, outside [0, 64); if it is padding: --padding-id 65535' \
  --tokens padded.bin
all_take --tokens padded.bin --padding-id 65535
all_refuse 'padding-id' --tokens padded.bin --padding-id many
do_build --tokens padded.bin --padding-id 65535
check "padding is counted apart" grep -q '^  tokens  *500 in 1 files, and 100 of padding$' stdout.txt

# llm.c's header.
all_take --tokens llmc.bin
all_take --tokens llmc32.bin
all_refuse 'cut.bin: its llm.c header (magic 20240520) tells of 600 ids of u16, 176 bytes follow it' \
  --tokens cut.bin
all_refuse 'llmc.bin: its llm.c header (magic 20240520) says u16, --token-dtype says i32' \
  --tokens llmc.bin --token-dtype i32

# Text, and what is none.
all_take --tokens tokens.ds --token-dtype u16
all_refuse 'tokens.ds: text needs a tokenizer' --tokens tokens.ds
echo 'abc cab bca' >text.txt
if spm_train --input=text.txt --model_prefix=tok --model_type=char --vocab_size=7 >/dev/null 2>&1; then
  for ((i = 0; i < 60; i++)); do cat text.txt; done >long.txt
  all_take --tokens long.txt --tokenizer tok.model
  all_refuse 'tokens.ds: this is no text in UTF-8: byte 0 is NUL; binary token ids are read from' \
    --tokens tokens.ds --tokenizer tok.model
  all_refuse 'pointer.txt: this is a git-lfs pointer' --tokens pointer.txt --tokenizer tok.model
  all_refuse 'tok.vocab: is no SentencePiece model, but the list of' --tokens text.txt \
    --tokenizer tok.vocab
fi
echo '{"version": "1.0", "model": {"type": "BPE"}}' >tokenizer.json
all_refuse 'tokenizer.json: is no SentencePiece model, but a tokenizer of Hugging Face' --tokens text.txt \
  --tokenizer tokenizer.json

# The same ids are the same run, however they are written; padding is that of -1, on any ranks.
same_run() {
  local np
  # shellcheck disable=SC2086 # several words
  do_run --output out/a.safetensors --router bigram --tokens $1
  shift
  for np in 1 3; do
    on_ranks "$np" "$hashep" "${run[@]}" --output out/b.safetensors --router bigram --check "$@"
    check "np=$np: $*: exit code $code" [ "$code" = 0 ]
    check "np=$np: $*: other bits" cmp -s out/a.safetensors out/b.safetensors
  done
  rm -f out/*
}
same_run u16.bin --tokens i32.bin --token-dtype i32
same_run u16.bin --tokens llmc.bin
same_run u16.bin --tokens llmc32.bin
same_run u16.bin --tokens tokens.ds --token-dtype u16
same_run 'padded32.bin --token-dtype i32' --tokens padded.bin --padding-id 65535

# A file that is shorter than a batch: one rank says so, once.
head -c 100 u16.bin >short.bin
on_ranks 2 "$hashep" "${run[@]}" --tokens short.bin
note='note: short.bin holds 50 tokens, fewer than a batch of 600: they are repeated within each batch'
check "a short file: exit code $code" [ "$code" = 0 ]
check "a short file: one note" [ "$(grep -cxF "$note" stdout.txt)" = 1 ]
check "a short file: wrote to stderr" [ -z "$(own_lines)" ]
check "passes are told" grep -q '^tokens: 600 a step, .*, the token file 12.00 times$' stdout.txt
do_plan --tokens short.bin
check "plan: one note" [ "$(grep -cxF "$note" stdout.txt)" = 1 ]
on_ranks 1 "$hashep" "${run[@]}" --tokens u16.bin
check "a file of a batch: no note" [ "$(grep -c '^note\|the token file' stdout.txt)" = 0 ]
rm -f out/*

# One balanced table: `run` makes that of `table build` for the same counts and seed.
for seed in 0 7; do
  do_build --tokens u16.bin --seed "$seed" --top-k 2
  mv out/t.safetensors balanced.safetensors
  do_run --tokens u16.bin --top-k 2 --seed "$seed" --router balanced --output out/a.safetensors
  do_run --tokens u16.bin --top-k 2 --seed "$seed" --table balanced.safetensors --output out/b.safetensors
  check "seed $seed: run and table build make one table" cmp -s out/a.safetensors out/b.safetensors
  rm -f out/*
done

# begun COMMAND...: all ranks of a run have opened big.bin, or the one process of another command.
begun() {
  if [ "$1" = run_on ]; then
    grep -qs '^tokens: ' stdout.txt
  else
    [ -n "$(find /proc/[0-9]*/fd -lname "$work/big.bin" 2>/dev/null)" ]
  fi
}

# spoiled TEXT COMMAND...: COMMAND, whose token file big.bin is spoilt by $spoil once it reads it, ends
# with one line that holds TEXT.
spoiled() {
  local text=$1 spoiler
  shift
  rm -f stdout.txt big.bin && truncate -s 16G big.bin
  { within 60 begun "$@" && sleep 0.3 && $spoil; } &
  spoiler=$!
  "$@" --tokens big.bin
  wait $spoiler
  check "$*: exit code $code" [ "$code" = 2 ]
  check "$*: one line with '$text'" one_error_with "$text"
  check "$*: left $(ls -A out)" nothing_left
  rm -rf out/*
}
endless=(--steps 1G --batch-tokens 64 --vocab-size 64 --hidden-size 16 --ffn-size 16 --num-experts 4
  --threads 1 --deadline 60 --progress off)
run_on() { on_ranks "$1" "$hashep" run "${endless[@]}" "${@:2}"; }
spoil='truncate -s 10 big.bin'
spoiled 'big.bin' run_on 1
spoiled 'big.bin' run_on 2
spoiled 'big.bin' run_on 2 --planning replicated
spoiled 'big.bin' do_build
spoiled 'big.bin' do_placement
spoiled 'big.bin' do_inspect
spoiled 'big.bin' on_ranks 1 "$hashep" plan --vocab-size 64 --steps 64K --tokens-per-rank 64K \
  --json out/r.json
spoil='dd if=u16.bin of=big.bin conv=notrunc status=none'
spoiled 'big.bin: was changed while it was read' run_on 1
spoiled 'big.bin: was changed while it was read' run_on 2
spoiled 'big.bin: was changed while it was read' run_on 2 --planning replicated
spoiled 'big.bin: was changed while it was read' do_build

finish

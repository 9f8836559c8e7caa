#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh checkout to a finished run on real text: installs what is missing, builds, makes
# token ids, and runs expert-parallel layers, or trains some, on two or more ranks. Harmless to run
# again.
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/.."

preset=cpu-release
vocab_size=8000

usage() {
  cat <<'USAGE'
Usage: ./launch/quickstart.sh [--train] [--text FILE] [--ranks N] [--yes] [-- OPTIONS]

  --train      train a small language model with such layers instead of running some
  --text FILE  use your own plain text (UTF-8) instead of the King James Bible
  --ranks N    number of MPI ranks on this machine (default: 2, or 4 with 8 cores or more)
  --yes        install missing packages without asking
  --           what follows is added to the command line of `hashep run`, or of `hashep train`

Makes data/NAME.bin (token ids, u16) and data/NAME.model (the tokenizer) once for each text, and
writes the result to runs/quickstart.json, or runs/train.json.
USAGE
}

fail() {
  echo "quickstart: error: $*" >&2
  exit 2
}

say() { printf '\n== %s\n' "$*"; }

# Writes the whole King James Bible, one verse a line, without the verse numbers.
print_kjv() { bible -f 'Gen1:1-Rev22:21' </dev/null | sed -E 's/^[0-9]?[A-Za-z]+[0-9]+:[0-9]+ +//'; }

# make_tokens NAME TEXT: trains a SentencePiece tokenizer on the text and writes data/NAME.bin with
# the text's ids as little-endian u16. The files appear only when they are complete.
make_tokens() {
  local name=$1 text=$2 work
  work=$(mktemp -d data/tokens.XXXXXX.tmp)
  # shellcheck disable=SC2064  # the folder's name is known now and not when the trap runs
  trap "rm -rf '$work'" EXIT
  # spm_train takes a list with commas, which a file's own name may have.
  ln -s "$(realpath "$text")" "$work/text"
  # A short text cannot fill the vocabulary: the limit is soft, and unused pieces fall away.
  if ! spm_train --input="$work/text" --model_prefix="$work/spm" --vocab_size=$vocab_size \
    --hard_vocab_limit=false --character_coverage=1.0 --max_sentence_length=65536 \
    --input_sentence_size=1000000 --shuffle_input_sentence=true >"$work/log" 2>&1; then
    tail -n 5 "$work/log" >&2
    fail "$text: the tokenizer cannot be trained on this text (is it plain text, and long enough?)"
  fi
  spm_encode --model="$work/spm.model" --output_format=id <"$text" |
    perl -ne 'print pack("v*", split)' >"$work/ids"
  if [ ! -s "$work/ids" ]; then fail "$text: no tokens in this text"; fi
  mv "$work/spm.model" "data/$name.model"
  mv "$work/spm.vocab" "data/$name.vocab"
  mv "$work/ids" "data/$name.bin"
  rm -rf "$work"
  trap - EXIT
}

# add_default OPTION [VALUE]: adds it to the command line, unless the user gives that option.
add_default() {
  local word
  for word in "${extra[@]}"; do
    case $word in "$1" | "$1="*) return ;; esac
  done
  run+=("$@")
}

text=''
ranks=''
yes=()
extra=()
train=0
while [ $# -gt 0 ]; do
  case $1 in
    --text | --ranks)
      if [ $# -lt 2 ]; then fail "$1 needs a value"; fi
      if [ "$1" = --text ]; then text=$2; else ranks=$2; fi
      shift
      ;;
    --yes | -y) yes=(--yes) ;;
    --train) train=1 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; extra=("$@"); break ;;
    *) fail "unknown option $1 (--help lists them)" ;;
  esac
  shift
done
if [ -z "$ranks" ]; then
  if [ "$(nproc)" -ge 8 ]; then ranks=4; else ranks=2; fi
fi
if [[ ! $ranks =~ ^[1-9][0-9]{0,3}$ ]]; then fail "--ranks $ranks: a number from 1 to 9999 is needed"; fi
case $text in '' | /*) ;; *) text=$called_from/$text ;; esac
if [ -n "$text" ] && { [ ! -f "$text" ] || [ ! -r "$text" ] || [ ! -s "$text" ]; }; then
  fail "$text: no such text file, or it is empty or cannot be read"
fi
if [ -n "$text" ] && ! iconv -f UTF-8 -t UTF-8 "$text" >/dev/null 2>&1; then
  fail "$text: this is not plain text in UTF-8"
fi

say "1/4 What is missing"
sets=(build text)
if [ -z "$text" ]; then sets+=(kjv); fi
./launch/install_dependencies.sh "${yes[@]}" "${sets[@]}"
echo "Nothing is missing."

say "2/4 Build (preset $preset)"
if [ ! -f "build/$preset/build.ninja" ]; then
  cmake --preset "$preset" -DHASHEP_BUILD_TESTS=OFF
fi
cmake --build --preset "$preset" --parallel "$(nproc)" --target hashep

say "3/4 Token ids"
mkdir -p data runs
if [ -z "$text" ]; then
  name=kjv
  if [ ! -f data/kjv.bin ]; then
    print_kjv >data/kjv.txt.tmp
    mv data/kjv.txt.tmp data/kjv.txt
    make_tokens kjv data/kjv.txt
  fi
else
  # The checksum tells texts of the same name apart, and a text from its older self.
  name=$(basename "${text%.*}")-$(cksum <"$text" | cut -d ' ' -f 1)
  if [ ! -f "data/$name.bin" ]; then make_tokens "$name" "$text"; fi
fi
vocab_size=$(wc -l <"data/$name.vocab")
tokens=$(($(wc -c <"data/$name.bin") / 2))
echo "data/$name.bin: $tokens tokens, vocabulary $vocab_size (SentencePiece, data/$name.model)"

if [ $train = 1 ]; then
  say "4/4 Train on $ranks ranks"
  run=(./launch/mpirun.sh "$ranks" "build/$preset/bin/hashep" train)
  add_default --tokens "data/$name.bin"
  add_default --vocab-size "$vocab_size"
  add_default --router token
  # A short text has fewer tokens than are held out of a long one.
  add_default --held-out $((tokens / 20 < 8192 ? tokens / 20 : 8192))
  add_default --json runs/train.json
  add_default --csv runs/train.csv
  run+=("${extra[@]}")
  echo "${run[*]}"
  "${run[@]}"
  cat <<NEXT

Done: the loss has fallen as above; the curve is in runs/train.csv. What to try next:
  ./launch/quickstart.sh --train --ranks 3                     the same curve, to the bit, on 3 ranks
  ./launch/quickstart.sh --train -- --router bigram            hash two tokens; or learned, or dense
  ./launch/quickstart.sh --train -- --save runs/kjv --resume   checkpoints: kill it, start it again
  build/$preset/bin/hashep run --model runs/kjv/latest     runs the layers that were trained
  docs/training.md                                             what is reproducible, and why
NEXT
  exit
fi

say "4/4 Run on $ranks ranks"
run=(./launch/mpirun.sh "$ranks" "build/$preset/bin/hashep" run)
add_default --tokens "data/$name.bin"
add_default --vocab-size "$vocab_size"
add_default --num-layers 3
add_default --hidden-size 512
add_default --ffn-size 1024
add_default --num-experts 16
add_default --top-k 2
add_default --num-shared-experts 1
add_default --router token
add_default --seq-len 512
add_default --batch-tokens 4K
add_default --steps 20
add_default --json runs/quickstart.json
add_default --check
run+=("${extra[@]}")
echo "${run[*]}"
"${run[@]}"

cat <<NEXT

Done: the result is in runs/quickstart.json. What to try next:
  ./launch/quickstart.sh --ranks 3                          the same outputs, to the bit, on 3 ranks
  ./launch/quickstart.sh --text FILE                        your own text
  ./launch/quickstart.sh --train                            train a small language model on the text
  ./launch/quickstart.sh -- --router bigram --dtype bf16    any option of hashep run
  build/$preset/bin/hashep run --help                   what the options mean
  ./tests/run.sh                                            all tests
NEXT

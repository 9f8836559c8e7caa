#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hashep train`: the same bits on any number of ranks, killed and resumed or not; what its
# checkpoints are, and what is refused. HASHEP_KILLS: how often a job is killed.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

kills=${HASHEP_KILLS:-6}

# Text of a kind: 6,000 ids of 16 bits below 64, of which each follows from the two before it and a
# little noise.
a=1
b=2
for ((i = 0; i < 6000; ++i)); do
  c=$(((a * 5 + b * 3 + (i * i * 7 + i) % 11 / 9) % 64))
  printf '%b' "\\x$(printf %02x $c)\\x00"
  a=$b
  b=$c
done >ids.bin
text=(--tokens ids.bin --vocab-size 64 --seq-len 100 --hidden-size 32 --ffn-size 48 --num-layers 2
  --num-experts 6 --batch-tokens 500 --gradient-block 64 --held-out 300 --evaluate-every 5
  --warmup 3 --threads 1 --progress off --deadline 60)

# command_line ARGS...: leaves in $line the options of the text, less those that ARGS name, and ARGS.
command_line() {
  line=()
  local i
  for ((i = 0; i < ${#text[@]}; i += 2)); do
    case " $* " in *" ${text[i]} "*) ;; *) line+=("${text[i]}" "${text[i + 1]}") ;; esac
  done
  line+=("$@")
}

# train N ARGS...: on N ranks.
train() {
  command_line "${@:2}"
  on_ranks "$1" "$hashep" train "${line[@]}"
}

# bad TEXT N ARGS...: refused in one line that holds TEXT.
bad() {
  local said=$1
  shift
  train "$@"
  check "$*: exit code $code, expected 2" [ "$code" = 2 ]
  check "$*: expected one error line with '$said'" one_error_with "$said"
}

# outputs FOLDER: what the layers of a checkpoint make of seeded hidden states.
outputs() {
  ranks 2 --model "$1" --layers all --batch-tokens 64 --steps 1 --check --threads 1 \
    --progress off --output out.safetensors
  went_well "run of $1"
  cksum <out.safetensors
}

curves=()
for options in "--router bigram" "--router learned --top-k 1 --balance-loss 0.01 --z-loss 0.001" \
  "--router learned --gate noaux_tc --bias-step 0.001 --dtype bf16" \
  "--router dense --num-shared-experts 1" "--router balanced --score sqrtsoftplus --dtype bf16"; do
  read -ra words <<<"$options"
  train 1 "${words[@]}" --steps 12 --threads 3 --csv 1.csv --save s1 --save-every 5 --json 1.json
  went_well "$options"
  check "$options: a curve of $(wc -l <1.csv) lines" [ "$(wc -l <1.csv)" = 13 ]
  # shellcheck disable=SC2016 # awk's own
  check "$options: the loss has not fallen: $(tail -n 1 stdout.txt)" awk -F, '
    NR == 2 { first = $2 } END { exit !($2 < first - 0.2) }' 1.csv
  check "$options: 1.json" "$check_json" train 1.json 1
  for np in 2 3 5; do
    transport=shm
    if [ $np = 3 ]; then transport=mpi; elif [ $np = 5 ]; then transport=hier; fi
    placement=contiguous
    if [ $np = 3 ] && [[ $options != *learned* && $options != *dense* ]]; then placement=balanced; fi
    train $np "${words[@]}" --steps 12 --csv n.csv --save sn --save-every 5 \
      --transport $transport --placement $placement
    went_well "$options on $np ranks"
    check "$options on $np ranks: another curve" cmp -s 1.csv n.csv
    check "$options on $np ranks: other weights" [ "$(outputs s1/latest)" = "$(outputs sn/latest)" ]
    rm -rf sn
  done
  # From what one number of ranks left, another goes on.
  rm -rf s1/step-12
  ln -sfn step-10 s1/latest
  train 3 "${words[@]}" --steps 12 --csv n.csv --save s1 --save-every 5 --resume
  went_well "$options, resumed"
  check "$options, resumed: another curve" cmp -s 1.csv n.csv
  check "$options: three checkpoints" [ "$(cd s1 && echo step-*)" = "step-10 step-12 step-5" ]
  curves+=("$(cksum <1.csv)")
  rm -rf s1
done
check "all routers have one curve" [ "$(printf '%s\n' "${curves[@]}" | sort -u | wc -l)" = 5 ]

# Killed at any moment, whichever rank: what comes in the end is what comes without.
long=(--router token --top-k 2 --steps 60 --save-every 2 --keep 2)
train 2 "${long[@]}" --csv whole.csv --save whole
went_well "60 steps"
# A rank of this job, any.
ranks_of_job() { pgrep -f "^$hashep train .*--save $PWD/killed "; }
for ((round = 0; round < kills; ++round)); do
  np=$((round % 3 + 1))
  job=("$hashep" train "${text[@]}" "${long[@]}" --resume --save "$PWD/killed" --csv killed.csv)
  if [ $np = 1 ]; then
    "${job[@]}" </dev/null >/dev/null 2>&1 &
  else
    HASHEP_MPI_TIMEOUT=120 "$mpirun" $np "${job[@]}" >/dev/null 2>&1 &
  fi
  within 20 ranks_of_job >/dev/null || complain "round $round: no rank began"
  sleep "0.$((RANDOM % 9))"
  ranks_of_job | sort -R | head -n 1 | xargs -r kill -9
  wait $! 2>/dev/null
  within 20 eval '! ranks_of_job' >/dev/null || complain "round $round: ranks are left"
done
train 2 "${long[@]}" --resume --save "$PWD/killed" --csv killed.csv
went_well "resumed after $kills kills"
check "resumed after $kills kills: another curve" cmp -s whole.csv killed.csv
check "resumed after $kills kills: other weights" \
  [ "$(outputs whole/latest)" = "$(outputs killed/latest)" ]
check "left: $(ls -A killed)" [ "$(cd killed && echo step-*)" = "step-58 step-60" ]
check "left unfinished: $(ls -A killed)" [ -z "$(find killed -maxdepth 1 -name '.step*')" ]

# What is refused.
bad "--tokens FILE is needed" 1 --tokens ''
bad "--resume goes with --save" 1 --resume
bad "has checkpoints: --resume" 2 "${long[@]}" --save killed
bad "was trained with --lr 0.002" 2 "${long[@]}" --save killed --resume --lr 0.1
bad "was trained with" 2 --router bigram "${long[@]:2}" --save killed --resume
bad "leaves too few" 1 --held-out 5999
bad "--warmup 9 of --steps 5" 1 --warmup 9 --steps 5
bad "training is on CPUs" 1 --transport nccl
bad "bias-step" 2 --bias-step 0.1
bad "--placement balanced needs" 2 --router learned --placement balanced
cp ids.bin other.bin
printf '\x05' | dd of=other.bin bs=1 seek=100 conv=notrunc 2>dd.txt
bad "another text than other.bin" 2 "${long[@]}" --save killed --resume --tokens other.bin
file=$(find killed/step-60 -name 'optimizer-00001*')
cp "$file" kept
printf '\x55' | dd of="$file" bs=1 seek=3000 conv=notrunc 2>dd.txt
bad "$(basename "$file"): not as it was written: digest" 3 "${long[@]}" \
  --save killed --resume
truncate -s 4000 "$file"
bad "not as it was written: 4000 bytes" 2 "${long[@]}" --save killed --resume
cp kept "$file"
sed -i 's/"format": 1/"format": 7/' killed/step-60/state.json
bad "format: one that this version does not know" 2 "${long[@]}" --save killed --resume
rm killed/step-60/state.json
bad "no checkpoint" 2 "${long[@]}" --save killed --resume
: >file
bad "not a folder" 2 --steps 3 --save file/inside
# Another job holds the folder.
mkdir held
exec 9>held/.lock
flock 9
bad "another job is writing" 2 --steps 3 --save held
exec 9>&-
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Output that gets lost, since stdout is a full disk or closed, is an error; `| head` is none.
# streams.sh HASHEP MAKE_MODEL CHECK_JSON BENCH
# shellcheck disable=SC2317 # functions are passed by name
bench=$4
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

for ((id = 0; id < 200; ++id)); do printf '%b' "\\x$(printf %02x $((id * id % 64)))\\x00"; done >ids.bin
"$hashep" table build --tokens ids.bin --vocab-size 64 --num-experts 8 --method balanced --output table.safetensors >table.txt ||
  exit 1

# full COMMAND..., closed COMMAND...: as on_ranks 1, with such a stdout.
full() {
  code=0
  timeout --kill-after=10 120 "$@" </dev/null >/dev/full 2>stderr.txt || code=$?
}
closed() {
  code=0
  timeout --kill-after=10 120 "$@" </dev/null >&- 2>stderr.txt || code=$?
}
# lost COMMAND...: one line and exit code 1, with either. Where it is a later part of the text
# that tells, the cause is not known any more.
lost() {
  speaker=$(basename "$1")
  full "$@"
  check "$* >/dev/full: exit code $code" [ "$code" = 1 ]
  check "$* >/dev/full: not one line" one_error "(rank 0 in [a-z]+: )?standard output: (No space left on device|a write failed)$"
  closed "$@"
  check "$* >&-: exit code $code" [ "$code" = 1 ]
  check "$* >&-: not one line" one_error "(rank 0 in [a-z]+: )?standard output: (Bad file descriptor|a write failed)$"
}

with --progress off
table=(--tokens ids.bin --vocab-size 64 --num-experts 8)
for option in --help --version; do
  lost "$hashep" $option
  lost "$hashep" run $option
  lost "$hashep" plan $option
  lost "$hashep" table build $option
  lost "$bench" $option
done
lost "$hashep"
lost "$hashep" table
lost "$bench" exchange --help
lost "$hashep" run "${run[@]}"
lost "$hashep" plan "${table[@]}" --ranks 2
lost "$hashep" placement "${table[@]}" --ranks 2 --output out/p.json
lost "$hashep" table build "${table[@]}" --method balanced --output out/t.safetensors
lost "$hashep" table inspect --table table.safetensors --tokens ids.bin
lost "$hashep" table convert table.safetensors --output out/t.npy
lost "$bench" plan --tokens-per-rank 1K --num-experts 8 --router token --top-k 1
lost "$bench" exchange -b 1 --hidden-size 8 --num-experts 2
rm -rf out && mkdir out

# What was asked for besides is whole, and no file gets the text.
closed "$hashep" table build "${table[@]}" --method balanced --output out/t.safetensors
check "a table got the text of a closed stdout" cmp -s table.safetensors out/t.safetensors
rm -f out/*
closed "$hashep" run "${run[@]}" --json out/r.json --output out/o.safetensors
check "a run that could not say a word left $(ls -A out)" nothing_left

# All of them closed.
code=0
"$hashep" run "${run[@]}" <&- >&- 2>&- || code=$?
check "everything closed: exit code $code" [ "$code" = 1 ]

# On several ranks: that of rank 0 tells.
cat >lose.sh <<'LOSE'
#!/usr/bin/env bash
if [ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" = 0 ]; then exec "$@" >/dev/full; fi
exec "$@"
LOSE
chmod +x lose.sh
for option in "" --help; do
  speaker=hashep
  # shellcheck disable=SC2086 # may be nothing
  on_ranks 2 ./lose.sh "$hashep" run "${run[@]}" $option
  check "2 ranks $option: exit code $code" [ "$code" = 1 ]
  check "2 ranks $option: not one line" one_error "rank 0 in [a-z]+: standard output: (No space left on device|a write failed)$"
done
speaker="hashep-bench"
on_ranks 2 ./lose.sh "$bench" exchange -b 1 --hidden-size 8 --num-experts 2
check "2 ranks of exchange: exit code $code" [ "$code" = 1 ]
check "2 ranks of exchange: not one line" one_error "(rank 0 in [a-z]+: )?standard output: (No space left on device|a write failed)$"

# A reader that has seen enough ends the program, without a word and with nothing left.
speaker=hashep
"$hashep" plan "${table[@]}" --ranks 2,3,4,5,6,7,8 --json out/r.json 2>stderr.txt | head -n 1 >head.txt
check "| head: said something" [ ! -s stderr.txt ]
check "| head: no line" [ -s head.txt ]
rm -f out/r.json
check "| head: left $(ls -A out)" nothing_left
finish

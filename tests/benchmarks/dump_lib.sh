# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Helpers of the tests that read what hashep-bench layer --dump wrote: SCRIPT HASHEP_BENCH ...
# shellcheck source=tests/launch/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../launch/lib.sh"
bench=$hashep
export PYTHONDONTWRITEBYTECODE=1

# need MODULE PACKAGE: leaves in $python one that has the module; skips the test where there is none.
need() {
  for python in "${HASHEP_PYTHON:-python3}" /usr/bin/python3; do
    if "$python" -c "import $1" 2>/dev/null; then return; fi
  done
  echo "$(basename "$0" .sh): skipped: there is no Python with $1 ($2)"
  exit 77
}

# dump N ARGS...: a small layer written to out/dump on N ranks.
dump() {
  rm -rf out/*
  mkdir out/dump
  on_ranks "$1" "$bench" layer --num-experts 6 --hidden-size 24 --ffn-size 40 --tokens-per-rank 37 \
    --vocab-size 512 --top-k 2 --score sqrtsoftplus --deadline 60 -n 1 -w 0 --dump out/dump "${@:2}"
  check "np=$1: --dump ${*:2}: exit code $code" [ "$code" = 0 ]
  check "np=$1: --dump ${*:2}: files" [ "$(find out -type f | wc -l)" = "$1" ]
}

# plant: adds 1 to the first weight of rank 0's first w2, in fp32; to its gradient with
# planted=gradient.
planted=''
plant() {
  "$python" - out/dump/rank-0.safetensors "layers.0.ffn.experts.0.w2.weight${planted:+.$planted}" <<'PLANT'
import json, struct, sys
with open(sys.argv[1], "r+b") as file:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    begin, _ = header[sys.argv[2]]["data_offsets"]
    file.seek(8 + length + begin)
    (value,) = struct.unpack("<f", file.read(4))
    file.seek(8 + length + begin)
    file.write(struct.pack("<f", value + 1))
PLANT
}

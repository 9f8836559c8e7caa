#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A layer's exchanges on 16 simulated ranks: every message is checked by the program, and
# what nodes send each other must be what the plans of all ranks say. Skipped without SimGrid.
set -uo pipefail
run=$(cd "$(dirname "$0")/../.." && pwd)/benchmarks/sim/run.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

small=(--ranks 16 --tokens-per-rank 20 --hidden-size 24 --ffn-size 16 --num-experts 50)
"$run" "${small[@]}" --top-k 1,6 --json "$work/result.json" >"$work/out.txt" 2>"$work/err.txt"
code=$?
cat "$work/out.txt" "$work/err.txt"
if [ $code = 77 ]; then exit 77; fi
if [ $code != 0 ]; then echo "FAILED: exit code $code"; exit 1; fi

python3 - "$work/result.json" <<'CHECK' || exit 1
import json
import sys

document = json.load(open(sys.argv[1], encoding="utf-8"))
rows = {(r["transport"], r["top_k"], r["name"]): r for r in document["results"]}
assert len(rows) == len(document["results"]) == 12, sorted(rows)
for (transport, top_k, name), row in rows.items():
    assert row["simulated"] is True and row["ranks"] == 16 and row["ranks_per_node"] == 8, row
    assert row["median_us"] > 1.0, row
    if name == "layer":
        continue
    assert row["wrong"] == 0, row
    assert row["bytes_inter"] == row["bytes_inter_planned"] > 0, row
# Two nodes: of six experts a token has some on the other node nearly always, and crosses once.
flat, hier = (rows[(transport, 6, "dispatch")] for transport in ("mpi", "hier"))
row_bytes = 24 * 2
assert hier["bytes_inter"] < flat["bytes_inter"] / 2.5, (flat, hier)
assert hier["bytes_inter"] <= 16 * 20 * row_bytes + 2 * flat["bytes_inter"] // row_bytes, hier
assert hier["messages_inter"] == 32, hier  # one of rows and one of routes to the one peer
assert rows[("hier", 6, "combine")]["bytes_inter"] == flat["bytes_inter"]
# A layer takes at least its dispatch and combine, less what overlaps.
for transport in ("mpi", "hier"):
    for top_k in (1, 6):
        layer, dispatch = rows[(transport, top_k, "layer")], rows[(transport, top_k, "dispatch")]
        assert layer["median_us"] > dispatch["median_us"], (layer, dispatch)
assert document["simulation"]["simgrid"] and document["simulation"]["profile"] == "h100-node.json"
CHECK

failures=0
# refused TEXT OPTIONS...: one line, exit code 2, no file.
refused() {
  local text=$1
  shift
  "$run" "${small[@]}" --top-k 1 "$@" --json "$work/none.json" >"$work/out.txt" 2>"$work/err.txt"
  code=$?
  if [ $code != 2 ] || ! grep -q "error: .*$text" "$work/err.txt" || [ -e "$work/none.json" ]; then
    echo "FAILED: $*: exit code $code: $(cat "$work/err.txt")"
    failures=1
  fi
}
refused "No such file" --machine "$work/nowhere.json"
echo '{"levels": {}}' >"$work/empty.json"
refused "no machine profile" --machine "$work/empty.json"
sed '/"message_s"/d' "${run%/*}/h100-node.json" >"$work/exchange.json"
refused "has no message_s" --machine "$work/exchange.json"
refused "top-k exceeds" --num-experts 4 --top-k 6
exit $failures

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Model folders as people have them: other spellings of names and keys, shards laid over others, and
# keys whose absence would change a result without a word.
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

if ! python=$(python_with json); then
  echo "model_cases: skipped: there is no Python"
  exit 77
fi
"$python" "$here/make_model_cases.py" cases || exit 1
cd cases || exit 1
mkdir out

# run N FOLDER ARGS...: leaves the output in out/FOLDER.
run() {
  ranks "$1" --model "$2" --tokens ids.bin --token-dtype i32 --batch-tokens 64 --threads 1 \
    --hidden hidden.safetensors --progress off --deadline 60 --check --output "out/$2" "${@:3}"
}

# same N FOLDER: the bits of good/ on one rank.
same() {
  run "$@"
  check "np=$1: $2: exit code $code" [ "$code" = 0 ]
  check "np=$1: $2: other bits" cmp -s out/good out/"$2"
  rm -f out/"$2"
}

# bad FOLDER TEXT ARGS...
bad() {
  run 1 "$1" "${@:3}"
  check "$1: exit code $code, expected 2" [ "$code" = 2 ]
  check "$1: expected one error line with '$2'" one_error_with "$2"
  check "$1: left out/$1" [ ! -e out/"$1" ]
}

# says TEXT
says() {
  check "expected '$1' on stdout" grep -qF -- "$1" stdout.txt
}

run 1 good
check "good: exit code $code" [ "$code" = 0 ]
says 'config.json: weights of choices sqrtsoftplus of gate.weight, normalised, times 1.5; '
says "experts silu (SwiGLU) clamped at 1, shared ones too; 1 shared, added unweighted; routing by the folder's"
says 'not used of the hash-routed layers: no tensor'

# Spellings of tensors and keys.
for folder in mlp fused mixed stacked nested layer-types inference-keys; do same 1 $folder; done
same 3 fused
same 2 mlp
bad twice '"model.layers.1.mlp.experts.3.gate_proj.weight" is also in twice/model.safetensors, as "layers.1.ffn'
bad fused-twice '"layers.1.ffn.experts.3.w3.weight": fused-twice/model.safetensors: tensor "model.layers.1.mlp.experts.gate_up_proj" holds w3'
bad transposed 'experts.gate_up_proj": shape [8, 16, 24], expected [8, 24, 16]'
bad untabled 'untabled: no tensor "layers.1.ffn.gate.tid2eid", in no spelling, in any file'

# Shards laid over others: the index decides.
same 1 overlay
same 3 overlay
run 1 overlay-stale
check "overlay-stale: exit code $code" [ "$code" = 0 ]
check "overlay-stale: the bits of good" [ "$(cmp -s out/good out/overlay-stale; echo $?)" = 1 ]
bad overlay-lost 'overlay-lost/lost.safetensors: cannot read: No such file'
bad overlay-lacks 'overlay.safetensors: no tensor "layers.0.ffn.gate.weight", where overlay-lacks/model.saf'
bad overlay-unindexed '"layers.0.ffn.experts.3.w2.weight" is also in overlay-unindexed/model.safetensors'

# Keys that change a result.
gate='there is "layers.0.ffn.gate.weight"'
bad no-scoring_func "no-scoring_func/config.json: scoring_func: missing, though $gate, which would go unused"
bad no-n_shared_experts 'n_shared_experts: missing, though there is "layers.0.ffn.shared_experts.w1.weight"'
bad no-routed_scaling_factor "routed_scaling_factor: missing, though $gate"
bad no-norm_topk_prob "norm_topk_prob: missing, though $gate"
bad no-hidden_act 'hidden_act: missing, though there is "layers.0.ffn.experts.0.w1.weight"'
bad no-swiglu_limit 'swiglu_limit: missing, though there is "layers.0.ffn.experts.0.w3.weight"'
run 1 no-scale-no-gate
check "no-scale-no-gate: exit code $code" [ "$code" = 0 ]
says 'weights of choices 1/2 each'
bad scaled-none 'routed_scaling_factor: not 1, but scoring_func is none'

# Tensors that a config leaves unused.
for case in 'unscored "layers.0.ffn.gate.weight", "layers.1.ffn.gate.weight";' \
  'unshared "layers.0.ffn.shared_experts.w1.weight", "layers.0.ffn.shared_experts.w2.weight" and 4 more' \
  'scales "layers.0.ffn.experts.1.w1.scale"' 'fewer "layers.1.ffn.gate.tid2eid"' \
  'other-router "layers.0.ffn.gate.tid2eid"'; do
  bad "${case%% *}" "leaves tensors of the hash-routed layers unused: ${case#* }"
  run 1 "${case%% *}" --accept-unused --json out/run.json
  check "${case%% *}: accepted: exit code $code" [ "$code" = 0 ]
  check "${case%% *}: not a result" "$check_json" result out/run.json 1
done
run 1 unshared --accept-unused --json out/run.json
says 'not used of the hash-routed layers: "layers.0.ffn.shared_experts.w1.weight", "layers.0.'
says ' and 2 more'
check "unused tensors are not all in the JSON" [ "$(grep -c 'shared_experts.w[123].weight"' out/run.json)" = 6 ]
same 1 quantised-key
says 'no effect on weights that are not quantised: "quantization_config", "expert_dtype"'
run 1 good --router token
says "routing by router token, not the folder's tid2eid"
ranks 1 --accept-unused --progress off
check "--accept-unused without --model: exit code $code" [ "$code" = 2 ]

# Tables in either naming, in files and folders.
table() {
  code=0
  "$hashep" "$@" >stdout.txt 2>stderr.txt || code=$?
  check "hashep $*: exit code $code" [ "$code" = 0 ]
}
run 1 good --table mlp-names.safetensors
check "good --table mlp-names: exit code $code" [ "$code" = 0 ]
says 'routing by --table "mlp-names.safetensors", not the folder'
run 1 good
cp out/good out/own
run 1 good --table mlp-names.safetensors
check "a table in transformers' names: other bits" cmp -s out/good out/own
table table inspect --table mlp-names.safetensors --tokens ids.bin --token-dtype i32 --num-experts 8
table table inspect --table fused --tokens ids.bin --token-dtype i32
table table convert mlp-names.safetensors --layer 1 --output out/one.safetensors
table table convert fused --output out/fused.safetensors
table table convert good --output out/good.safetensors
check "tables of fused are not those of good" cmp -s out/fused.safetensors out/good.safetensors
table plan --model fused --tokens ids.bin --token-dtype i32 --tokens-per-rank 16 --ranks 2

# From one folder to another: a table goes under the name that the folder has, or has for others.
table table build --tokens ids.bin --token-dtype i32 --vocab-size 64 --num-experts 8 --top-k 2 \
  --num-layers 2 --method random --seed 5 --output out/new.safetensors
for folder in good mlp fused untabled; do
  table table convert out/new.safetensors --into $folder
  table table convert $folder --output "out/$folder.safetensors"
  check "$folder: other tables" cmp -s out/good.safetensors "out/$folder.safetensors"
done
check "untabled: its new table has not its names" grep -qaF '"model.layers.1.mlp.gate.tid2eid"' untabled/tid2eid.safetensors
check "good has transformers' names" [ "$(grep -lF mlp good/*.safetensors)" = '' ]
rm out/good
run 1 good
for folder in mlp fused untabled; do same 1 $folder; done

finish

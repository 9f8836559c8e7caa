#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# with_mps.sh [--try PROGRAM] COMMAND...: runs it under a daemon of its own of NVIDIA's Multi-Process
# Service, so that kernels of several processes run on a GPU at once instead of by turns. No setting
# of the GPU is touched; the daemon ends with the command. --try: a small program for the GPU that
# works without MPS. Exit code 77: there is no such daemon here, or it does not serve that program.
set -uo pipefail
try=''
if [ "${1:-}" = --try ]; then
  try=${2:-}
  shift 2
fi
if [ $# = 0 ]; then
  echo "Usage: ${0##*/} [--try PROGRAM] COMMAND..." >&2
  exit 2
fi
if ! command -v nvidia-cuda-mps-control >/dev/null; then
  echo "nvidia-cuda-mps-control is not on this machine"
  exit 77
fi
folder=$(mktemp -d)
export CUDA_MPS_PIPE_DIRECTORY=$folder/pipe CUDA_MPS_LOG_DIRECTORY=$folder/log
mkdir "$CUDA_MPS_PIPE_DIRECTORY" "$CUDA_MPS_LOG_DIRECTORY"

# shellcheck disable=SC2317 # the trap calls it
end_daemon() {
  echo quit | timeout 8 nvidia-cuda-mps-control >/dev/null 2>&1  # less than a part has to end
  rm -rf "$folder"
}
trap end_daemon EXIT
trap 'exit 130' INT TERM

if ! timeout 10 nvidia-cuda-mps-control -d; then
  echo "nvidia-cuda-mps-control does not start here"
  exit 77
fi
if [ -n "$try" ] && [ -x "$try" ]; then
  code=0
  words=$(timeout 10 "$try" 2>&1) || code=$?
  if [ "$code" != 0 ]; then
    cat "$CUDA_MPS_LOG_DIRECTORY"/*.log 2>/dev/null
    if [ "$code" = 124 ]; then words="no answer within 10 s"; fi
    echo "MPS refuses clients here: $(tail -n 1 <<<"$words")"
    exit 77
  fi
fi
"$@" &
code=0
wait $! || code=$?
exit "$code"

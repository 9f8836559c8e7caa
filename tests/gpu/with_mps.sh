#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# with_mps.sh COMMAND...: runs it under a daemon of its own of NVIDIA's Multi-Process Service, so that
# kernels of several processes run on a GPU at once instead of by turns. No setting of the GPU is
# touched; the daemon ends with the command. Exit code 77: there is no such daemon here.
set -uo pipefail
if [ $# = 0 ]; then
  echo "Usage: ${0##*/} COMMAND..." >&2
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
  echo quit | timeout 20 nvidia-cuda-mps-control >/dev/null 2>&1
  rm -rf "$folder"
}
trap end_daemon EXIT
trap 'exit 130' INT TERM

if ! nvidia-cuda-mps-control -d; then
  echo "nvidia-cuda-mps-control does not start here"
  exit 77
fi
"$@" &
code=0
wait $! || code=$?
exit "$code"

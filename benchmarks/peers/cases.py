# SPDX-License-Identifier: Apache-2.0
"""The layers that are compared with peers."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    hidden_size: int
    ffn_size: int
    tokens_per_rank: int
    num_experts: int
    workload: str = "uniform"
    dtype: str = "fp32"
    top_k: int = 1
    target: float | None = None  # torch's time / HashEP's, at 2 ranks of 1 thread
    backward_target: float | None = None  # the same of forward and backward

    def options(self):
        """What hashep-bench layer is told."""
        return ["--hidden-size", str(self.hidden_size), "--ffn-size", str(self.ffn_size),
                "--tokens-per-rank", str(self.tokens_per_rank),
                "--num-experts", str(self.num_experts), "--top-k", str(self.top_k),
                "--workload", self.workload, "--dtype", self.dtype]

    def quick(self):
        """Of a size that takes no time, to see that all works; times mean nothing."""
        return dataclasses.replace(self, hidden_size=64, ffn_size=96, tokens_per_rank=160, target=None,
                                   backward_target=None)


CASES = {case.name: case for case in [
    Case("wide", 1024, 4096, 4096, 16, target=1.2, backward_target=1.2),
    Case("narrow", 1024, 1024, 16384, 16, target=1.6, backward_target=1.4),
    Case("zipf", 1024, 1024, 16384, 64, workload="zipf", target=1.5),
    Case("bf16", 1024, 4096, 4096, 16, dtype="bf16", target=1.2),
]}

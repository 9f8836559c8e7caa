# SPDX-License-Identifier: Apache-2.0
"""Grouped per-expert GEMMs in PyTorch on the CPU: weights laid out ahead of time, in the layout that
turns out fastest here, and buffers made once."""

import statistics
import time

import torch
import torch.nn.functional as F
from torch.utils import mkldnn

TRIALS = 3
FEWEST_ROWS = 16  # for a trial


class Workspace:
    """Buffers by name, which grow to the most rows they were asked for and are kept."""

    def __init__(self):
        self.buffers = {}

    def rows(self, name, count, width, dtype):
        buffer = self.buffers.get(name)
        if buffer is None or buffer.shape[0] < count:
            buffer = self.buffers[name] = torch.empty(count, width, dtype=dtype)
        return buffer[:count]


class AsStored:
    """rows w^T with w [out, in], as F.linear has it: the BLAS transposes as it packs."""

    def __init__(self, weight):
        self.transposed = weight.t()

    def __call__(self, rows, out):
        return torch.mm(rows, self.transposed, out=out)


class Transposed(AsStored):
    """The same with w^T [in, out] in memory."""

    def __init__(self, weight):
        super().__init__(weight)
        self.transposed = self.transposed.contiguous()


class Packed:
    """oneDNN's linear with weights in its own layout; the result is a tensor of its own."""

    def __init__(self, weight):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.linear = mkldnn.to_mkldnn(linear)

    def __call__(self, rows, out):
        return self.linear(rows)


LAYOUTS = {"stored": AsStored, "transposed": Transposed, "packed": Packed}


def fastest_layout(weight, rows, agree):
    """The name of the layout whose GEMM in the weight's dtype takes the least time, over all ranks at
    once. `agree` sums a tensor over ranks in place."""
    names = [name for name in LAYOUTS if name != "packed" or weight.dtype == torch.float32]
    rows = torch.randn(max(rows, FEWEST_ROWS), weight.shape[1]).to(weight.dtype)
    out = torch.empty(rows.shape[0], weight.shape[0], dtype=weight.dtype)
    gemms = [LAYOUTS[name](weight) for name in names]
    times = [[] for _ in gemms]
    for _ in range(1 + TRIALS):
        for gemm, spent in zip(gemms, times):
            begin = time.perf_counter()
            gemm(rows, out)
            spent.append(time.perf_counter() - begin)
    medians = torch.tensor([statistics.median(spent[1:]) for spent in times])
    agree(medians)
    return names[int(medians.argmin())]


class Experts:
    """The experts of a rank: w2 . act(w1 x), or with silu w2 . (silu(w1 x) * (w3 x)).

    fp32 throughout; bf16 rows come and go as bf16, hidden activations are rounded to bf16, and the
    GEMMs are fp32 ones on these values: torch's own bf16 GEMMs are tens of times slower on a CPU
    without bf16 instructions. `native` uses them all the same.
    """

    def __init__(self, weights, activation, dtype, layout, native):
        """weights: (w1, w2, w3 or None) of each expert."""
        self.activation = activation
        self.dtype = dtype
        self.gemm_dtype = dtype if native else torch.float32
        make = LAYOUTS[layout]
        # One GEMM for gate and up, as serving engines do.
        self.first = [make((w1 if w3 is None else torch.cat([w1, w3])).to(self.gemm_dtype))
                      for w1, _, w3 in weights]
        self.second = [make(w2.to(self.gemm_dtype)) for _, w2, _ in weights]
        self.ffn_size, self.hidden_size = weights[0][0].shape
        self.workspace = Workspace()

    def activate(self, hidden, count):
        if self.activation == "relu":
            return hidden.relu_()
        if self.activation == "gelu":
            return F.gelu(hidden)
        gate, up = hidden[:, :self.ffn_size], hidden[:, self.ffn_size:]
        out = self.workspace.rows("activated", count, self.ffn_size, hidden.dtype)
        return torch.mul(F.silu(gate), up, out=out)

    def expert(self, index, rows, out):
        space, count = self.workspace, rows.shape[0]
        width = self.ffn_size * (2 if self.activation == "silu" else 1)
        hidden = space.rows("hidden", count, width, self.gemm_dtype)
        if self.dtype != self.gemm_dtype:
            rows = space.rows("rows", count, self.hidden_size, self.gemm_dtype).copy_(rows)
        hidden = self.activate(self.first[index](rows, hidden), count)
        if self.dtype == self.gemm_dtype:
            landed = self.second[index](hidden, out)
        else:
            rounded = space.rows("rounded", count, self.ffn_size, self.dtype).copy_(hidden)
            landed = self.second[index](hidden.copy_(rounded), rows)  # rows are no longer needed
        if landed.data_ptr() != out.data_ptr():
            out.copy_(landed)

    def __call__(self, rows, counts, out):
        """rows and out: [sum of counts, d], rows in order of the experts."""
        begin = 0
        for index, count in enumerate(counts):
            if count > 0:
                self.expert(index, rows[begin:begin + count], out[begin:begin + count])
                begin += count
        return out

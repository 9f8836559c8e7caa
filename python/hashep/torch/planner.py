# SPDX-License-Identifier: Apache-2.0
"""The mixture-of-experts layers of a model on all ranks, and the plans of its batches."""

import collections
import typing

import numpy as np
import torch

from .. import _core
from .._session import Stack

_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_FEATURES = ("token", "position", "previous", "bigram")


class AuxLosses(typing.NamedTuple):
    """Losses of learned gates for a batch, summed over layers, the same on all ranks: numbers to show.

    Their gradients, times Planner's balance_loss and z_loss, are added by backward of itself.
    """

    balance: float  # num_experts * sum_e f_e P_e (Switch, eq. 4)
    z: float  # mean of logsumexp(logits)^2 (ST-MoE)


class PlannedBatch:
    """A batch whose ids were given to Planner.plan, and what its forward keeps for its backward."""

    def __init__(self, batch, tapes):
        self.batch = batch
        self.tape = tapes.pop() if tapes else _core.Tape()
        self._tapes = tapes  # for its tape, when it goes

    def __del__(self):
        self._tapes.append(self.tape)

    @property
    def tokens(self):
        """This rank's tokens."""
        return self.batch.tokens


class Planner:
    """The mixture-of-experts layers of a model on all ranks: their weights, and the plans of batches.

    All layers have one shape (see hashep.StackShape). MoE(planner, layer) is the module of one of them.
    Collective to make, as are `plan` and all passes of its layers: all ranks do the same in the same
    order.

    router: "token", "position", "previous" or "bigram" (a hash of that feature; vocab_size is needed),
      "random" (a table), "balanced" (a table with even loads for `counts`, [vocab_size] occurrences of
      each id), an array [vocab_size, top_k] or [num_layers, vocab_size, top_k] of experts, a
      hashep.Router, or None where a gate routes or there are no routed experts.
    gate: "softmax_top_k" (Switch) or "noaux_tc" (DeepSeek-V3): a learned gate in all layers; or a
      hashep.Gate.
    num_experts=0, num_shared_experts=1: a dense model's layers.
    weights: a hashep.WeightSource. None: normal values of standard deviation init_std (gates: the
      same), a function of seed, layer and expert, and so the same on any number of ranks.
    dtype: that experts compute in, torch.float32 or torch.bfloat16; parameters are float32.
    gradient_block, recompute, balance_loss, z_loss: see hashep.TrainingOptions.
    options: see hashep.StackOptions.
    """

    def __init__(
        self,
        context,
        *,
        num_layers=1,
        hidden_size,
        ffn_size,
        num_experts,
        top_k=1,
        num_shared_experts=0,
        activation="silu",
        swiglu_limit=0.0,
        score="none",
        routed_scaling_factor=1.0,
        router=None,
        gate=None,
        vocab_size=None,
        counts=None,
        seed=0,
        weights=None,
        init_std=0.02,
        dtype=torch.float32,
        recompute=False,
        gradient_block=256,
        balance_loss=0.0,
        z_loss=0.0,
        **options,
    ):
        if dtype not in _DTYPES:
            raise _core.InputError(f"dtype: {dtype} is neither torch.float32 nor torch.bfloat16")
        self.context = context
        self.dtype = dtype
        self.shape = _core.StackShape(
            num_layers=num_layers,
            hidden_size=hidden_size,
            ffn_size=ffn_size,
            num_experts=num_experts,
            top_k=top_k,
            num_shared_experts=num_shared_experts,
            activation=activation,
            swiglu_limit=swiglu_limit,
            score=score,
            routed_scaling_factor=routed_scaling_factor,
            gate=_core.Gate(gate) if isinstance(gate, str) else gate,
        )
        made = _make_router(router, self.shape, vocab_size, counts, seed)
        if weights is None:
            weights = _random_weights(self.shape, seed, init_std)
        self.stack = Stack(
            context,
            self.shape,
            made,
            weights,
            dtype=_DTYPES[dtype],
            residual=False,
            training=_core.TrainingOptions(
                recompute=recompute,
                gradient_block=gradient_block,
                balance_loss=balance_loss,
                z_loss=z_loss,
            ),
            **options,
        )
        self.current = None
        self._tapes = collections.deque(maxlen=4)
        self._layers = [{} for _ in range(num_layers)]  # name -> _Held
        self._gather_parameters()

    def plan(self, ids, *, seq_len=None, positions=None, previous_ids=None, use=True):
        """Plans a batch for all layers, and returns at once: a PlannedBatch.

        ids: integers on the CPU, [sequences, seq_len] or [tokens] (then seq_len says how long
        sequences are, by default all of it); -1 is padding. Ranks may give different numbers of tokens.
        Decoding: positions and previous_ids, [tokens], in place of seq_len. The batch is the one that
        layers then work on, until another one is planned, unless `use` is False. Collective.
        """
        flat = ids.detach().reshape(-1).contiguous()
        if positions is not None:
            batch = self.stack.submit(
                flat, positions=_integers(positions), previous_ids=_integers(previous_ids)
            )
        else:
            length = seq_len if seq_len is not None else ids.shape[-1] if ids.dim() else 1
            batch = self.stack.submit(flat, seq_len=max(int(length), 1))
        planned = PlannedBatch(batch, self._tapes)
        if use:
            self.current = planned
        return planned

    def ahead(self, batches, *, ids=None, depth=1):
        """Goes over `batches` (a DataLoader, say) and plans each `depth` batches before its turn.

        Yields (batch, planned), `planned` being the current one of the layers. ids(batch) gives a batch's
        token ids; None: the batch is its ids. Collective: all ranks have as many batches.
        """
        waiting = collections.deque()
        for batch in batches:
            waiting.append((batch, self.plan(ids(batch) if ids else batch, use=False)))
            if len(waiting) > depth:
                yield self._use(waiting.popleft())
        while waiting:
            yield self._use(waiting.popleft())

    def aux_losses(self, planned=None):
        """Losses of the gates for a batch whose forward was run, before its backward. Collective."""
        planned = planned or self.current
        return AuxLosses(*self.stack.gate_losses(planned.batch, planned.tape))

    def parameters_changed(self):
        """To be called where parameters were changed in a way that PyTorch does not see (`.data`)."""
        self.stack.pack_parameters()
        for held in self._held():
            held.version = held.parameter._version

    def sum_gradients(self):
        """Sums gradients of gates and shared experts over ranks; reduce_gradients calls it. Collective."""
        self.stack.sum_gradients()

    def _use(self, waiting):
        self.current = waiting[1]
        return waiting

    def close(self):
        """Gives back what ranks share, for programs that go on without its layers. Collective."""
        self.stack.close()

    def _held(self):
        return (held for layer in self._layers for held in layer.values())

    def _gather_parameters(self):
        """Torch parameters of the stack's own memory: of experts [num_local_experts, ...] each."""
        of = collections.defaultdict(list)
        for each in self.stack.parameters():
            of[each.layer, each.name, each.expert < 0].append(each)
        rank = self.context.rank
        for (layer, name, is_shared), group in of.items():
            if is_shared and name not in ("gate", "gate_bias"):
                name = "shared_" + name
            self._layers[layer][name] = _Held(group, is_shared, trains=name != "gate_bias")
        self.local_experts = [
            placement.local_experts(rank).tolist() for placement in self.stack.placements
        ] if self.shape.num_experts else [[] for _ in self._layers]
        if self.shape.num_experts:
            self._add_empty()

    def _add_empty(self):
        """Ranks without an expert of a layer have parameters of no elements: state dicts are alike."""
        d, f = self.shape.hidden_size, self.shape.ffn_size
        sizes = {"w1": (f, d), "w2": (d, f)}
        if self.shape.activation == "silu":
            sizes["w3"] = (f, d)
        for layer, experts in zip(self._layers, self.local_experts):
            if not experts:
                for name, size in sizes.items():
                    layer[name] = _Held.empty(size)


class _Held:
    """A parameter of a layer as PyTorch has it, and its gradient in the stack's memory."""

    def __init__(self, group, is_shared, trains=True):
        self.is_shared = is_shared
        self.parameter = torch.nn.Parameter(_joined([p.value for p in group], is_shared), trains)
        self.gradient = _joined([p.gradient for p in group], is_shared)
        self.version = self.parameter._version

    @classmethod
    def empty(cls, size):
        held = cls.__new__(cls)
        held.is_shared = False
        held.parameter = torch.nn.Parameter(torch.empty(0, *size))
        held.gradient = torch.empty(0, *size)
        held.version = 0
        return held

    def attach_gradient(self):
        """Makes the stack's memory the parameter's gradient, with what the program has made of it."""
        grad = self.parameter.grad
        if grad is None:
            self.gradient.zero_()
        elif grad.data_ptr() != self.gradient.data_ptr():
            self.gradient.copy_(grad)
        else:
            return
        self.parameter.grad = self.gradient


def _joined(arrays, is_shared):
    """One tensor of matrices that stand at equal distances in one piece of memory."""
    if is_shared:
        return torch.from_numpy(arrays[0])
    first = arrays[0]
    places = [each.__array_interface__["data"][0] for each in arrays]
    step = places[1] - places[0] if len(places) > 1 else first.nbytes
    if any(b - a != step for a, b in zip(places, places[1:])):
        raise RuntimeError("experts of a layer do not stand at equal distances")
    joined = np.lib.stride_tricks.as_strided(
        first, (len(arrays), *first.shape), (step, *first.strides)
    )
    return torch.from_numpy(joined)


def _integers(values):
    return values.detach().reshape(-1).contiguous() if isinstance(values, torch.Tensor) else values


def _make_router(router, shape, vocab_size, counts, seed):
    if router is None or isinstance(router, _core.Router):
        return router
    if isinstance(router, str):
        if router in _FEATURES:
            if vocab_size is None:
                raise _core.InputError("vocab_size: is needed with a router by name")
            return _core.HashRouter(vocab_size, seed=seed, feature=router)
        layers = range(shape.num_layers)
        if router == "random" and vocab_size is not None:
            tables = [
                _core.random_table(vocab_size, shape.num_experts, shape.top_k, seed + layer)
                for layer in layers
            ]
        elif router == "balanced" and counts is not None:
            tables = [
                _core.balanced_table(_integers(counts), shape.num_experts, shape.top_k, seed + layer)
                for layer in layers
            ]
        elif router in ("random", "balanced"):
            what = {"random": "vocab_size", "balanced": "counts"}[router]
            raise _core.InputError(f"{what}: is needed with router '{router}'")
        else:
            known = ", ".join((*_FEATURES, "random", "balanced"))
            raise _core.InputError(f"router: '{router}' is none of {known}")
        return _core.TableRouter(tables, num_experts=shape.num_experts)
    if isinstance(router, _core.RoutingTable):
        return _core.TableRouter([router], num_experts=shape.num_experts)
    experts = np.asarray(router)
    tables = [_core.RoutingTable(each) for each in (experts if experts.ndim == 3 else [experts])]
    return _core.TableRouter(tables, num_experts=shape.num_experts)


def _random_weights(shape, seed, std):
    """Normal values, each matrix a function of the seed and its place alone."""
    d, f = shape.hidden_size, shape.ffn_size

    def normal(size, *place):
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *place])))
        return random.standard_normal(size, dtype=np.float32) * np.float32(std)

    def ffn(width, *place):
        made = {"w1": normal((width, d), *place, 1), "w2": normal((d, width), *place, 2)}
        if shape.activation == "silu":
            made["w3"] = normal((width, d), *place, 3)
        return made

    return _core.ArrayWeights(
        lambda layer, expert: ffn(f, layer, expert),
        lambda layer: ffn(f * shape.num_shared_experts, layer, shape.num_experts),
        lambda layer: normal((shape.num_experts, d), layer, shape.num_experts + 1),
        lambda layer: np.zeros((1, shape.num_experts), np.float32),
    )

# SPDX-License-Identifier: Apache-2.0
"""hashep.torch: MoE as a module, on any number of ranks, against a plain layer of PyTorch."""

import copy
import os
import pickle

import numpy as np
import pytest

import hashep

torch = pytest.importorskip("torch")

import hashep.torch as ht  # noqa: E402

D, F, E, VOCABULARY = 16, 32, 6, 50
SEQUENCES, LENGTH = 12, 8


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def part(context):
    rank, size = context.rank, context.size
    return slice(rank * SEQUENCES // size, (rank + 1) * SEQUENCES // size)


def batch(seed=0):
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH), generator=random)
    return ids, torch.randn(SEQUENCES, LENGTH, D, generator=random)


def make(context, **settings):
    settings = {
        "num_layers": 2, "hidden_size": D, "ffn_size": F, "num_experts": E, "top_k": 2,
        "router": "bigram", "vocab_size": VOCABULARY, "seed": 4, "init_std": 0.2,
        "gradient_block": LENGTH, **settings,
    }  # fmt: skip
    return Model(ht.Planner(context, **settings))


class Model(torch.nn.Module):
    """Something before, between and after MoE layers, which all ranks hold alike."""

    def __init__(self, planner):
        super().__init__()
        self.planner = planner
        torch.manual_seed(7)
        self.scale = torch.nn.Parameter(torch.rand(D) + 0.5)
        self.mix = torch.nn.Linear(D, D, bias=False)
        self.layers = torch.nn.ModuleList(
            ht.MoE(planner, layer) for layer in range(planner.shape.num_layers)
        )

    def forward(self, x):
        x = x * self.scale
        for layer in self.layers:
            x = x + layer(torch.tanh(self.mix(x)))
        return x


class PlainLayer(torch.nn.Module):
    """The same layer by a loop over experts, in PyTorch alone, in double."""

    def __init__(self, moe, router):
        super().__init__()
        self.planner, self.layer, self.router = moe.planner, moe.layer, router
        for name, value in moe.named_parameters():
            self.register_parameter(name, torch.nn.Parameter(value.detach().double().clone()))
        self.balance = self.z = 0.0

    def choose(self, rows, ids):
        """Experts and weights of each token: [tokens, top_k] each."""
        shape = self.planner.shape
        if shape.has_gate(self.layer):
            logits = rows @ self.gate.T
            p = torch.softmax(logits, -1)
            best, experts = p.topk(shape.top_k)
            share = torch.zeros(shape.num_experts, dtype=torch.double)
            share.index_add_(0, experts.reshape(-1), torch.ones(experts.numel(), dtype=torch.double))
            self.balance = shape.num_experts * (share / experts.numel() * p.mean(0)).sum()
            self.z = (torch.logsumexp(logits, -1) ** 2).mean()
            return experts, best if shape.top_k == 1 else best / best.sum(-1, keepdim=True)
        tokens = hashep.TokenBatch(ids.reshape(-1), seq_len=LENGTH)
        experts = self.router.route(
            tokens, layer=self.layer, num_experts=shape.num_experts, top_k=shape.top_k
        )
        experts = torch.from_numpy(experts).long()
        return experts, torch.full(experts.shape, 1.0 / shape.top_k, dtype=torch.double)

    def forward(self, x, ids):
        rows = x.reshape(-1, D)
        y = torch.zeros_like(rows)
        if self.planner.shape.num_experts:
            experts, weights = self.choose(rows, ids)
            for expert in range(self.planner.shape.num_experts):
                token, choice = (experts == expert).nonzero(as_tuple=True)
                out = ffn(rows[token], self.w1[expert], self.w2[expert], self.w3[expert])
                y = y.index_add(0, token, out * weights[token, choice, None])
        if self.planner.shape.num_shared_experts:
            y = y + ffn(rows, self.shared_w1, self.shared_w2, self.shared_w3)
        return y.reshape(x.shape)


def ffn(x, w1, w2, w3):
    return (torch.nn.functional.silu(x @ w1.T) * (x @ w3.T)) @ w2.T


def loss_of(y, context):
    """This rank's share of the mean over all tokens."""
    return (y.double() ** 2).sum() / (SEQUENCES * LENGTH)


def gradients(model):
    """By name; of experts, by expert."""
    found = {}
    for name, parameter in model.named_parameters():
        grad = parameter.grad.clone()
        if getattr(parameter, "is_expert", False):
            layer = int(name.split(".")[1])
            for expert, each in zip(model.planner.local_experts[layer], grad):
                found[name, expert] = each
        else:
            found[name] = grad
    return found


SETTINGS = [
    {},
    {"num_shared_experts": 1},
    {"router": None, "gate": "softmax_top_k", "top_k": 1, "balance_loss": 0.1, "z_loss": 0.01},
    {"router": None, "gate": "softmax_top_k", "top_k": 2, "balance_loss": 0.1, "num_shared_experts": 1},
    {"router": None, "num_experts": 0, "num_shared_experts": 1},
]
NAMES = ["hash", "shared", "switch", "top-2", "dense"]


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_a_plain_layer_has_the_same_gradients(alone, settings):
    model = make(alone, num_layers=1, **settings)
    moe = model.layers[0]
    ids, x = batch()
    plain = PlainLayer(moe, hashep.HashRouter(VOCABULARY, seed=4, feature="bigram"))
    x, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    model.planner.plan(ids)
    y = moe(x)
    (y**2).mean().backward()
    expected = plain(exact, ids)
    factors = settings.get("balance_loss", 0.0), settings.get("z_loss", 0.0)
    ((expected**2).mean() + factors[0] * plain.balance + factors[1] * plain.z).backward()
    ht.reduce_gradients(moe)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)
    assert dict(moe.named_parameters()).keys() == dict(plain.named_parameters()).keys()
    for name, parameter in moe.named_parameters():
        grad = getattr(plain, name).grad
        error = (parameter.grad.double() - grad).abs().max() / grad.abs().max()
        assert error < 1e-5, name


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_gradcheck_of_what_it_is_compared_with(alone, settings):
    moe = make(alone, num_layers=1, ffn_size=32, **settings).layers[0]
    plain = PlainLayer(moe, hashep.HashRouter(VOCABULARY, seed=4, feature="bigram"))
    ids, x = batch()
    x = x[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: plain(x, ids[:1]), (x,), fast_mode=True)


def experts_alone(model, x):
    """Without what PyTorch computes, whose bits follow from how many rows there are."""
    return model.layers[1](model.layers[0](x))


def train_step(model, context, own, ids, x):
    x = x[own].clone().requires_grad_()
    model.planner.plan(ids[own])
    y = model(x)
    losses = model.planner.aux_losses() if model.planner.shape.gate else None
    loss_of(y, context).backward()
    return y, x.grad, losses


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_ranks_have_the_bits_of_one(world, alone, settings):
    ids, x = batch()
    made = []
    for context in (world, alone):
        model = make(context, **settings)
        own = part(context)
        total = ht.GradientSum(model, context)
        # What all ranks hold gets its gradient sequence by sequence: see GradientSum.
        model.planner.plan(ids[own])
        rows = [(x[i : i + 1] * 1.0).requires_grad_() for i in range(own.start, own.stop)]
        inside = [model.scale * row for row in rows]
        joined = torch.cat([each.detach() for each in inside]).requires_grad_()
        y = model.layers[1](model.layers[0](joined))
        loss_of(y, context).backward()
        for i, each in enumerate(inside):
            each.backward(joined.grad[i : i + 1])
            total.add()
        total.finish()
        norm = ht.clip_grad_norm_(model, 1e-3)
        model.mix.weight.grad = None
        del model.mix
        made.append((y, torch.cat([row.grad for row in rows]), gradients(model), norm))
    (y, dx, found, norm), of_one = made
    assert torch.equal(y, of_one[0][part(world)])
    assert torch.equal(dx, of_one[1][part(world)])
    assert norm == of_one[3] and norm > 1e-3
    for key, grad in found.items():
        assert torch.equal(grad, of_one[2][key]), key


def test_losses_of_gates(world, alone):
    ids, x = batch()
    losses = []
    for context in (world, alone):
        model = make(context, router=None, gate="softmax_top_k", top_k=1)
        model.planner.plan(ids[part(context)])
        experts_alone(model, x[part(context)])
        losses.append(model.planner.aux_losses())
    assert losses[0].z == losses[1].z and losses[0].balance == losses[1].balance
    assert losses[0].balance > 1.9  # of two layers


def test_gradients_are_the_stack_s_memory(world):
    ids, x = batch()
    model = make(world)
    weights = model.layers[0].w1
    address = weights.data_ptr()
    train_step(model, world, part(world), ids, x)
    assert weights.data_ptr() == address
    if len(weights) > 1:
        assert weights.grad.data_ptr() == model.layers[0]._held["w1"].gradient.data_ptr()
    once = gradients(model)
    train_step(model, world, part(world), ids, x)
    for key, grad in gradients(model).items():
        torch.testing.assert_close(grad, 2 * once[key])
    for set_to_none in (True, False):
        for parameter in model.parameters():
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad.zero_()
        train_step(model, world, part(world), ids, x)
        for key, grad in gradients(model).items():
            torch.testing.assert_close(grad, once[key])
    model.layers[0].w1.grad = torch.ones_like(weights)  # the program's own is added to
    train_step(model, world, part(world), ids, x)
    for expert, grad in zip(model.planner.local_experts[0], model.layers[0].w1.grad):
        torch.testing.assert_close(grad, once["layers.0.w1", expert] + 1)


def test_optimizers_of_torch(world):
    ids, x = batch()
    model = make(world)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        y, _, _ = train_step(model, world, part(world), ids, x)
        losses.append(float(hashep.sum_float64(world, [loss_of(y, world).item()])[0]))
        ht.reduce_gradients(model)
        ht.clip_grad_norm_(model, 1.0)
        optimizer.step()
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]


def test_no_grad_keeps_nothing(world):
    ids, x = batch()
    model = make(world)
    planned = model.planner.plan(ids[part(world)])
    with torch.no_grad():
        quiet = model(x[part(world)])
    assert planned.tape.bytes == 0
    assert torch.equal(model(x[part(world)]), quiet)
    assert planned.tape.bytes > 0


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_activation_checkpointing(world, use_reentrant):
    from torch.utils.checkpoint import checkpoint

    ids, x = batch()
    own = part(world)
    found = []
    for checkpoints in (False, True):
        model = make(world)
        model.planner.plan(ids[own])
        rows = x[own].clone().requires_grad_()
        y = checkpoint(model, rows, use_reentrant=use_reentrant) if checkpoints else model(rows)
        loss_of(y, world).backward()
        found.append((y, rows.grad, gradients(model)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    for key, grad in found[0][2].items():
        assert torch.equal(grad, found[1][2][key]), key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast(world, dtype):
    ids, x = batch()
    model = make(world, dtype=dtype)
    moe = model.layers[0]
    model.planner.plan(ids[part(world)])
    exact = make(world).layers[0]
    exact.planner.plan(ids[part(world)])
    rows = x[part(world)].clone().requires_grad_()
    assert moe(rows).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = moe(rows)
        assert y.dtype == torch.bfloat16
        y.float().sum().backward()
    assert rows.grad.dtype == torch.float32 and moe.w1.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), exact(rows), rtol=0.05, atol=0.05)


def test_state_dicts_of_other_ranks(world, alone):
    ids, x = batch()
    model = make(world)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    folder = os.environ["HASHEP_TEST_FOLDER"]
    torch.save(model.state_dict(), f"{folder}/state-{world.rank}.pt")
    hashep.sum_float64(world, [1.0])  # all files are there
    states = [torch.load(f"{folder}/state-{rank}.pt") for rank in range(world.size)]
    merged = ht.merge_state_dicts(states)
    assert merged["layers.0.w1"].shape == (E, F, D)
    other = make(alone, seed=9)
    other.load_state_dict(merged)
    back = make(world, seed=9)
    back.load_state_dict(merged)
    again = make(world, seed=9)
    again.load_state_dict(states[world.rank])
    own = part(world)
    model.planner.plan(ids[own])
    expected = experts_alone(model, x[own])
    for each, context in ((back, world), (again, world), (other, alone)):
        # Of the first one's router.
        router = hashep.HashRouter(VOCABULARY, seed=4, feature="bigram")
        routed = make(context, router=router)
        routed.load_state_dict(each.state_dict())
        routed.planner.plan(ids[part(context)])
        y = experts_alone(routed, x[part(context)])
        assert torch.equal(y if context is world else y[own], expected)
    if world.size > 1:
        with pytest.raises(RuntimeError, match="has no expert"):
            other.load_state_dict(states[world.rank])
        with pytest.raises(ValueError, match="each expert once"):
            ht.merge_state_dicts(states[:1])


def test_ranks_without_an_expert(world):
    ids, x = batch()
    model = make(world, num_experts=1, top_k=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        train_step(model, world, part(world), ids, x)
        ht.reduce_gradients(model)
        assert ht.clip_grad_norm_(model, 1.0) > 0
        optimizer.step()
    torch.save(model.state_dict(), f"{os.environ['HASHEP_TEST_FOLDER']}/one-{world.rank}.pt")
    hashep.sum_float64(world, [1.0])
    files = [f"{os.environ['HASHEP_TEST_FOLDER']}/one-{rank}.pt" for rank in range(world.size)]
    merged = ht.merge_state_dicts([torch.load(file) for file in files])
    assert merged["layers.1.w2"].shape == (1, D, F)
    make(world, num_experts=1, top_k=1, seed=8).load_state_dict(merged)


def test_what_cannot_be_copied(world):
    model = make(world)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy(model)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(model.layers[0])
    for convert in (lambda: model.half(), lambda: model.to(torch.bfloat16), lambda: model.double()):
        with pytest.raises(TypeError, match="stays in torch.float32"):
            convert()
    assert model.float() is model and model.to("cpu") is model


def test_lines_of_bad_input(world):
    model = make(world)
    with pytest.raises(hashep.InputError, match="no batch was planned"):
        model.layers[0](torch.zeros(LENGTH, D))
    for settings, text in [
        ({"router": "magic"}, "'magic' is none of token"),
        ({"router": "balanced"}, "counts"),
        ({"vocab_size": None}, "vocab_size"),
        ({"dtype": torch.float16}, "dtype"),
        ({"gate": "magic", "router": None}, "'magic'"),
        ({"activation": "magic"}, "'magic'"),
    ]:
        with pytest.raises(hashep.InputError, match=text):
            make(world, **settings)
    with pytest.raises(hashep.InputError, match="layer: 2"):
        ht.MoE(model.planner, 2)


@pytest.mark.parametrize("router", ["token", "random", "balanced", "table", "tables", "object"])
def test_routers(world, router):
    table = np.stack([np.arange(VOCABULARY) % E, (np.arange(VOCABULARY) + 1) % E], 1)
    of = {
        "table": table,
        "tables": np.stack([table, table[::-1]]),
        "object": hashep.HashRouter(VOCABULARY, seed=1),
    }.get(router, router)
    ids, x = batch()
    model = make(world, router=of, counts=np.arange(VOCABULARY))
    train_step(model, world, part(world), ids, x)
    if router.startswith("table"):
        plan = model.planner.stack.plan(model.planner.current.batch, 0)
        np.testing.assert_array_equal(plan.experts.reshape(-1, 2), table[ids[part(world)].reshape(-1)])


def test_planning_ahead_of_a_loader(world):
    class Texts(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            ids, x = batch(i)
            return {"ids": ids[part(world)], "x": x[part(world)]}

    model = make(world)
    loader = torch.utils.data.DataLoader(Texts(), batch_size=None, num_workers=1)
    seen = []
    for each, planned in model.planner.ahead(loader, ids=lambda b: b["ids"], depth=2):
        assert planned is model.planner.current
        with torch.no_grad():
            seen.append(model(each["x"]))
    assert len(seen) == 6
    for i, y in enumerate(seen):
        ids, x = batch(i)
        model.planner.plan(ids[part(world)])
        with torch.no_grad():
            assert torch.equal(model(x[part(world)]), y)


def test_beside_torch_distributed(world, alone):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("PyTorch without gloo")
    file = os.environ["HASHEP_TEST_FOLDER"] + "/gloo"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=world.rank, world_size=world.size
    )
    try:
        ids, x = batch()
        model = make(world, num_shared_experts=1)
        ht.ignore_in_ddp(model)
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        model.planner.plan(ids[part(world)])
        y = wrapped(x[part(world)])
        # DDP's way: each rank's mean over its own tokens, averaged over ranks.
        (y.double() ** 2).sum(-1).mean().backward()
        ht.reduce_gradients(model, group="done", average=True)
        other = make(world, num_shared_experts=1)
        train_step(other, world, part(world), ids, x)
        ht.reduce_gradients(other, group="world")
        one = make(alone, num_shared_experts=1)
        train_step(one, alone, part(alone), ids, x)
        ht.reduce_gradients(one)
        expected = gradients(one)
        for key, grad in gradients(other).items():
            torch.testing.assert_close(grad, expected[key], rtol=1e-4, atol=1e-6)
        if SEQUENCES % world.size == 0:  # else means over ranks are not the mean over tokens
            for key, grad in gradients(model).items():
                torch.testing.assert_close(grad, expected[key], rtol=1e-4, atol=1e-6)
    finally:
        torch.distributed.destroy_process_group()

# SPDX-License-Identifier: Apache-2.0
"""The package with numpy: the face of the library, on any number of ranks."""

import math
import os
import resource

import numpy as np
import pytest
import reference

import hashep

SHAPE = hashep.StackShape(
    num_layers=2, hidden_size=16, ffn_size=32, num_experts=6, top_k=2, num_shared_experts=1
)
VOCABULARY = 50
SEQUENCES, LENGTH = 12, 8
ROUTER = hashep.HashRouter(VOCABULARY, seed=3, feature="bigram")
TRAINING = hashep.TrainingOptions(gradient_block=LENGTH)


def part(context):
    """This rank's sequences."""
    rank, size = context.rank, context.size
    return slice(rank * SEQUENCES // size, (rank + 1) * SEQUENCES // size)


def batch(seed=0):
    random = np.random.default_rng(seed)
    ids = random.integers(-1, VOCABULARY, (SEQUENCES, LENGTH))
    x = random.standard_normal((SEQUENCES, LENGTH, SHAPE.hidden_size), np.float32)
    return ids, x


def make(context, shape=SHAPE, router=ROUTER, seed=5, **options):
    routed, shared, gate = reference.weights(shape, seed)
    weights = hashep.ArrayWeights(routed, shared, gate)
    return hashep.Stack(context, shape, router, weights, **options)


def submit(stack, ids):
    return stack.submit(ids.reshape(-1), seq_len=LENGTH)


def as_bf16(values):
    """float32 as uint16 with bfloat16's bits, of values that it holds exactly."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def test_ranks(world, alone):
    assert 0 <= world.rank < world.size
    assert alone.size == 1 and alone.rank == 0
    assert world.nodes.ep_size == world.size
    assert world.transport in ("shm", "hier", "mpi")
    assert world.threads == 1
    assert "MPI" in hashep.mpi_library()


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_forward_is_that_of_numpy(world, activation):
    shape = hashep.StackShape(
        num_layers=2, hidden_size=16, ffn_size=32, num_experts=6, top_k=2, num_shared_experts=1,
        activation=activation,
    )
    ids, x = (each[part(world)] for each in batch())
    stack = make(world, shape)
    y = stack.forward(submit(stack, ids), x)
    tokens = hashep.TokenBatch(ids.reshape(-1), seq_len=LENGTH)
    experts = [ROUTER.route(tokens, layer=layer, num_experts=6, top_k=2) for layer in range(2)]
    expected = reference.stack(x.reshape(-1, 16), experts, shape, reference.weights(shape, 5))
    assert y.shape == x.shape
    np.testing.assert_allclose(y.reshape(-1, 16), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ranks_have_the_bits_of_one(world, alone, dtype):
    ids, x = batch()
    dy = batch(1)[1]
    if dtype == "bfloat16":
        x, dy = as_bf16(x), as_bf16(dy)
    made = {}
    for context in (world, alone):
        stack = make(context, dtype=dtype, training=TRAINING)
        own = part(context)
        planned = submit(stack, ids[own])
        tape = hashep.Tape()
        y = stack.forward(planned, x[own], tape=tape)
        dx = stack.backward(planned, tape, dy[own].copy())
        stack.sum_gradients()
        gradients = {(p.layer, p.name, p.expert): p.gradient.copy() for p in stack.parameters()}
        optimizer = hashep.AdamW(stack, clip_norm=1.0)
        norm = optimizer.step(0.01)
        values = {(p.layer, p.name, p.expert): p.value.copy() for p in stack.parameters()}
        made[context] = (y, dx, gradients, values, norm)
    y, dx, gradients, values, norm = made[world]
    of_one = made[alone]
    np.testing.assert_array_equal(y, of_one[0][part(world)])
    np.testing.assert_array_equal(dx, of_one[1][part(world)])
    assert norm == of_one[4]
    assert any(np.any(each) for each in gradients.values())
    for key, each in gradients.items():
        np.testing.assert_array_equal(each, of_one[2][key], err_msg=str(key))
    for key, each in values.items():
        np.testing.assert_array_equal(each, of_one[3][key], err_msg=str(key))


def test_rows_are_used_in_place(world):
    ids, x = (each[part(world)] for each in batch())
    stack = make(world)
    planned = submit(stack, ids)
    expected = stack.forward(planned, x)
    own = x.copy()
    assert stack.forward(planned, own, own) is own
    np.testing.assert_array_equal(own, expected)
    out = np.full_like(x, np.nan)
    assert stack.forward(planned, x, y=out) is out
    np.testing.assert_array_equal(out, expected)
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(stack.forward(planned, read_only), expected)


def test_parameters_are_the_memory_of_the_stack(world):
    ids, x = (each[part(world)] for each in batch())
    stack = make(world, training=TRAINING)
    before = stack.forward(submit(stack, ids), x)
    addresses = [p.value.__array_interface__["data"][0] for p in stack.parameters()]
    assert addresses == [p.value.__array_interface__["data"][0] for p in stack.parameters()]
    for each in stack.parameters():
        each.value *= 2
    stack.pack_parameters()
    assert not np.array_equal(stack.forward(submit(stack, ids), x), before)
    kept = stack.parameters()[0].value
    expected = kept.copy()
    stack.close()
    np.testing.assert_array_equal(kept, expected)
    with pytest.raises(hashep.InputError, match="closed"):
        stack.parameters()


def test_layers_one_by_one(world):
    ids, x = (each[part(world)] for each in batch())
    stack = make(world, residual=False, training=TRAINING)
    planned, tape, by_layer = submit(stack, ids), hashep.Tape(), hashep.Tape()
    y = stack.forward(planned, x, tape=tape)
    dx = stack.backward(planned, tape, np.ones_like(y))
    rows = x
    for layer in range(2):
        rows = stack.forward_layer(planned, layer, rows, tape=by_layer)
    assert by_layer.bytes == stack.tape_bytes(planned)
    gradient = np.ones_like(y)
    for layer in (1, 0):
        gradient = stack.backward_layer(planned, layer, by_layer, gradient)
    np.testing.assert_array_equal(rows, y)
    np.testing.assert_array_equal(gradient, dx)


def test_plans_without_ranks_are_those_with(world):
    ids, _ = batch()
    stack = make(world)
    planned = submit(stack, ids[part(world)])
    parts = [
        hashep.TokenBatch(
            ids[r * SEQUENCES // world.size : (r + 1) * SEQUENCES // world.size].reshape(-1),
            seq_len=LENGTH,
        )
        for r in range(world.size)
    ]
    geometry = hashep.StackGeometry([hashep.contiguous_placement(6, world.size)] * 2, top_k=2)
    made = hashep.plan_batch(geometry, ROUTER, parts, world.rank)
    assert made.global_tokens == SEQUENCES * LENGTH
    for layer in range(2):
        plan = stack.plan(planned, layer)
        np.testing.assert_array_equal(plan.send_counts, made.layers[layer].send_counts)
        np.testing.assert_array_equal(plan.expert_offsets, made.layers[layer].expert_offsets)
        assert plan.recv_counts.sum() == plan.expert_offsets[-1] == plan.rank_rows[world.rank]
    everywhere = stack.submit_all(parts)
    assert stack.plan(everywhere, 1) == stack.plan(planned, 1)


def test_plan_of_many_ranks():
    ranks = 64
    parts = [hashep.TokenBatch([r, r + 1, 2], seq_len=3) for r in range(ranks)]
    geometry = hashep.StackGeometry([hashep.contiguous_placement(128, ranks)], top_k=2)
    router = hashep.HashRouter(200, seed=1)
    sent = np.array(
        [hashep.plan_batch(geometry, router, parts, r).layers[0].send_counts for r in range(ranks)]
    )
    received = hashep.plan_batch(geometry, router, parts, 7).layers[0].recv_counts
    np.testing.assert_array_equal(sent[:, 7], received)
    assert sent.sum() == ranks * 3 * 2


def test_tables():
    counts = np.zeros(40, np.int64)
    counts[:20] = np.arange(20, 0, -1)
    table = hashep.balanced_table(counts, num_experts=4, top_k=2, seed=1)
    loads = np.zeros(4)
    for row, count in zip(table.experts, counts):
        loads[row] += count
    assert loads.max() / loads.mean() < 1.1
    assert (table.vocab_size, table.top_k) == (40, 2)
    assert hashep.RoutingTable(table.experts) == table
    assert hashep.random_table(40, 4, 2, seed=1) != hashep.random_table(40, 4, 2, seed=2)
    router = hashep.TableRouter([table], num_experts=4)
    found = router.route(hashep.TokenBatch([3, -1, 5], seq_len=3), num_experts=4, top_k=2)
    np.testing.assert_array_equal(found, [table.experts[3], [-1, -1], table.experts[5]])


def test_load_table(tmp_path):
    experts = np.array([[0, 1], [2, 3], [1, 0]], np.int64)
    np.save(tmp_path / "table.npy", experts)
    table = hashep.load_table(str(tmp_path / "table.npy"), num_experts=4)
    np.testing.assert_array_equal(table.experts, experts)
    with pytest.raises(hashep.InputError, match="table.npy"):
        hashep.load_table(str(tmp_path / "table.npy"), num_experts=3)


def test_placements():
    placement = hashep.contiguous_placement(10, 3)
    np.testing.assert_array_equal(placement.rank_of, [0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(placement.local_experts(2), [6, 7, 8, 9])
    loads = [8, 1, 1, 1, 1, 1, 1, 8]
    balanced = hashep.balanced_placement(loads, 2)
    assert np.bincount(balanced.rank_of, weights=loads).tolist() == [11, 11]
    with pytest.raises(hashep.InputError, match="rank: 3"):
        placement.local_experts(3)


def test_values_compare():
    placement = hashep.contiguous_placement(4, 2)
    assert placement == hashep.Placement([0, 0, 1, 1], 2) != hashep.contiguous_placement(4, 1)
    assert placement != 3 and SHAPE != None and hashep.Gate() == hashep.Gate()  # noqa: E711


def test_placement_changes_no_bit(world):
    ids, x = (each[part(world)] for each in batch())
    placement = hashep.Placement([(e * 7 + 1) % world.size for e in range(6)], world.size)
    y = []
    for options in ({}, {"placements": [placement]}):
        stack = make(world, **options)
        y.append(stack.forward(submit(stack, ids), x))
    np.testing.assert_array_equal(*y)


def test_router_of_ones_own(world):
    def route(ids, positions, previous_ids, layer, num_experts, top_k):
        first = (ids + positions + layer) % num_experts
        experts = np.stack([first, (first + 1) % num_experts], axis=1).astype(np.int32)
        experts[ids < 0] = -1
        return experts[:, :top_k]

    ids, x = (each[part(world)] for each in batch())
    stack = make(world, router=hashep.FunctionRouter(route, digest=7))
    planned = submit(stack, ids)
    experts = stack.plan(planned, 1).experts.reshape(-1, 2)
    flat = ids.reshape(-1)
    positions = np.arange(flat.size) % LENGTH
    expected = np.where(flat < 0, -1, (flat + positions + 1) % 6)
    np.testing.assert_array_equal(experts[:, 0], expected)
    stack.forward(planned, x)


def test_tokens_without_positions(world):
    seen = []

    def route(ids, positions, previous_ids, layer, num_experts, top_k):
        seen.append((len(ids), positions is None, previous_ids is None))
        return np.tile(np.arange(top_k, dtype=np.int32), (len(ids), 1))

    stack = make(world, router=hashep.FunctionRouter(route, digest=7))
    stack.forward(stack.submit([1, 2]), np.ones((2, 16), np.float32))
    stack.forward(
        stack.submit([1, 2], positions=[3, 4], previous_ids=[9, 9]), np.ones((2, 16), np.float32)
    )
    assert {(2, True, True), (2, False, False)} <= set(seen)
    needs = make(world)
    with pytest.raises(hashep.InputError):
        needs.forward(needs.submit([1, 2]), np.ones((2, 16), np.float32))


def test_router_that_fails(world):
    def route(ids, *_):
        if len(ids):
            raise KeyError("nothing there")
        return np.empty((0, 2), np.int32)

    ids, x = (each[part(world)] for each in batch())
    stack = make(world, router=hashep.FunctionRouter(route, digest=7))
    planned = submit(stack, ids)
    with pytest.raises(hashep.InputError) as error:
        stack.forward(planned, x)
    assert error.value.on_all_ranks
    if error.value.is_reporter:
        assert "KeyError: 'nothing there'" in str(error.value)


def test_bad_ids_are_told_to_all(world):
    ids, x = (each[part(world)] for each in batch())
    stack = make(world)
    good = stack.forward(submit(stack, ids), x)
    bad = ids.copy()
    if world.rank == world.size - 1:
        bad[0, 0] = VOCABULARY
    with pytest.raises(hashep.InputError) as error:
        stack.forward(submit(stack, bad), x)
    assert error.value.is_reporter == (world.rank == world.size - 1)
    assert isinstance(error.value, ValueError) and isinstance(error.value, hashep.Error)
    np.testing.assert_array_equal(stack.forward(submit(stack, ids), x), good)


def test_bad_arrays(world):
    ids, x = (each[part(world)] for each in batch())
    stack = make(world)
    planned = submit(stack, ids)
    for bad, text in [
        (x.astype(np.float64), "x: float64 is neither float32 nor bfloat16"),
        (x[..., ::2], "x: its elements do not stand one after the other"),
        (x.reshape(-1), "x: has 1 dimensions"),
        (x[..., :8].copy(), "x is \\["),
        ([[1.0]], "x: list is no array"),
        ("x", "x: str is no array"),
    ]:
        with pytest.raises(hashep.InputError, match=text):
            stack.forward(planned, bad, np.empty_like(x))
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    with pytest.raises(hashep.InputError, match="y: ndarray is no array in memory that can be written"):
        stack.forward(planned, x, read_only)
    for bad, text in [
        (np.zeros(3, np.uint8), "ids: uint8 is neither int32 nor int64"),
        (np.zeros(3), "ids: float64 is neither"),
        ([1, 2.5], "ids: a list of other things than integers"),
        (np.array([2**31]), "ids: 2147483648 at index 0"),
    ]:
        with pytest.raises(hashep.InputError, match=text):
            stack.submit(bad, seq_len=1)
    for tokens in ({"seq_len": -1}, {"positions": [1]}, {"positions": [0, 1], "previous_ids": [4, 4]}):
        with pytest.raises(hashep.InputError):
            stack.submit([1, 2], **tokens)
    with pytest.raises(hashep.InputError):
        stack.plan(planned, 2)
    stack.forward(planned, x)  # nothing of it has cost the others anything


def test_bad_settings(world):
    for call, text in [
        (lambda: hashep.Context("everybody"), "comm"),
        (lambda: hashep.Context(transport="pigeon"), "'pigeon' is none of auto, shm"),
        (lambda: hashep.StackOptions(dtype="float16"), "dtype: 'float16' is none of"),
        (lambda: hashep.Gate("magic"), "kind: 'magic'"),
        (lambda: hashep.HashRouter(10, feature="smell"), "feature: 'smell'"),
        (lambda: hashep.RoutingTable(np.zeros(3, np.int64)), "experts: \\[vocab_size, top_k\\]"),
        (lambda: hashep.TableRouter([hashep.RoutingTable(np.array([[9]]))], num_experts=4), "9"),
        (lambda: hashep.open_model("nowhere"), "nowhere"),
        (lambda: make(world, hashep.StackShape(num_layers=1, hidden_size=16, ffn_size=32, num_experts=2, top_k=3)), "top_k"),
        (lambda: make(world, dtype="float32", placements=[]).parameters(), "training|trained"),
    ]:
        with pytest.raises(hashep.InputError, match=text):
            call()
    with pytest.raises(TypeError):
        make(world, colour="red")


def test_weights_that_fail(world):
    weights = hashep.ArrayWeights(lambda layer, expert: {"w9": np.zeros((2, 2), np.float32)})
    with pytest.raises(hashep.InputError) as error:
        hashep.Stack(world, SHAPE, ROUTER, weights)
    if error.value.is_reporter:
        assert "'w9' is no weight of an expert" in str(error.value)


def test_gates(world, alone):
    shape = hashep.StackShape(
        num_layers=2, hidden_size=16, ffn_size=32, num_experts=6, top_k=2, gate=hashep.Gate()
    )
    ids, x = batch()
    made = []
    for context in (world, alone):
        options = hashep.TrainingOptions(gradient_block=LENGTH, balance_loss=0.1, z_loss=0.01)
        stack = make(context, shape, None, training=options)
        own = part(context)
        planned, tape = submit(stack, ids[own]), hashep.Tape()
        y = stack.forward(planned, x[own], tape=tape)
        balance, z = stack.gate_losses(planned, tape)
        stack.backward(planned, tape, np.ones_like(y))
        stack.sum_gradients()
        gate = next(p.gradient.copy() for p in stack.parameters() if p.name == "gate")
        made.append((balance, z, gate))
        with pytest.raises(hashep.InputError):
            stack.gate_losses(planned, hashep.Tape())
    assert made[0][0] >= 1.0 and made[0][1] > 0.0
    assert made[0][:2] == made[1][:2]
    np.testing.assert_array_equal(made[0][2], made[1][2])
    assert np.any(made[0][2])


def shared_folder(world, tmp_path_factory):
    """A folder that all ranks name alike: rank 0's."""
    return os.path.join(os.environ["HASHEP_TEST_FOLDER"], "checkpoints")


def test_checkpoints(world, alone, tmp_path_factory):
    folder = shared_folder(world, tmp_path_factory)
    ids, x = batch()
    stack = make(world, training=TRAINING)
    optimizer = hashep.AdamW(stack)
    own = part(world)

    def train(stack, optimizer, own, steps):
        for _ in range(steps):
            planned, tape = submit(stack, ids[own]), hashep.Tape()
            y = stack.forward(planned, x[own], tape=tape)
            stack.backward(planned, tape, y)
            norm = optimizer.step(0.01)
        return norm

    train(stack, optimizer, own, 2)
    hashep.save_checkpoint(stack, optimizer, folder, vocab_size=VOCABULARY, program='{"place": 7}')
    expected = train(stack, optimizer, own, 2)
    # Every rank goes on alone from what they have written together.
    other = make(alone, seed=6, training=TRAINING)
    of_other = hashep.AdamW(other)
    loaded = hashep.load_checkpoint(other, of_other, folder)
    assert (loaded.steps, of_other.steps) == (2, 2)
    assert loaded.program.replace(" ", "") == '{"place":7}'
    assert train(other, of_other, part(alone), 2) == expected
    model = hashep.open_model(loaded.path)
    assert model.shape.hidden_size == 16 and model.vocab_size == VOCABULARY
    again = hashep.Stack.from_folder(world, loaded.path)
    held = again.forward(submit(again, ids[own]), x[own])
    assert held.shape == x[own].shape
    streamed = hashep.Stack.from_folder(world, loaded.path, weight_memory=64 << 10)
    np.testing.assert_array_equal(streamed.forward(submit(streamed, ids[own]), x[own]), held)
    with pytest.raises(hashep.InputError, match="weight_memory: .* the least that works is"):
        hashep.Stack.from_folder(world, loaded.path, weight_memory=100)
    with pytest.raises(hashep.InputError, match="weight_form: 'half'"):
        hashep.Stack.from_folder(world, loaded.path, weight_form="half")
    with pytest.raises(hashep.InputError, match="nothing|no"):
        hashep.load_checkpoint(other, of_other, folder + "-nowhere")


def test_others_that_are_trained_too(world):
    stack = make(world, training=TRAINING)
    value, gradient = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    optimizer = hashep.AdamW(
        stack, weight_decay=0.0, others=[hashep.Parameter("embedding", value, gradient)]
    )
    assert optimizer.step(0.1) == pytest.approx(6**0.5)
    np.testing.assert_allclose(value, 0.9, rtol=1e-5)
    assert not gradient.any()
    assert optimizer.states()[-1][0].name == "embedding"
    with pytest.raises(hashep.InputError, match="another shape"):
        hashep.Parameter("embedding", value, np.ones((3, 2), np.float32))
    with pytest.raises(hashep.InputError, match="is not float32|neither"):
        hashep.Parameter("embedding", value.astype(np.float64), gradient)


def test_sums_know_no_ranks(world, alone):
    random = np.random.default_rng(3)
    addends = random.standard_normal((12, 4, 5), np.float32) * np.float32(10) ** random.integers(
        -6, 6, (12, 4, 5)
    ).astype(np.float32)
    sums = []
    for context in (world, alone):
        total = hashep.ReproducibleSum(context, 4, 5)
        for addend in addends[context.rank * 12 // context.size : (context.rank + 1) * 12 // context.size]:
            total.add(addend)
        sums.append(total.finish())
    np.testing.assert_array_equal(*sums)
    exact = [[math.fsum(addends[:, r, c].astype(float)) for c in range(5)] for r in range(4)]
    np.testing.assert_allclose(sums[0], exact, rtol=1e-6)
    out = np.empty((4, 5), np.float32)
    total = hashep.ReproducibleSum(world, 4, 5)
    assert total.finish(out) is out and not out.any()
    with pytest.raises(hashep.InputError):
        total.add(np.ones((4, 4), np.float32))


def test_numbers_of_one_rank_are_summed_exactly(world):
    random = np.random.default_rng(1)
    values = random.standard_normal(30) * 10.0 ** random.integers(-20, 20, 30)
    mine = np.zeros(30)
    mine[world.rank :: world.size] = values[world.rank :: world.size]
    np.testing.assert_array_equal(hashep.sum_float64(world, mine), values)
    mine[3] = np.inf if world.rank == world.size - 1 else 1.0
    sums = hashep.sum_float64(world, mine)
    assert np.isnan(sums[3]) and np.isfinite(np.delete(sums, 3)).all()
    assert hashep.sum_float64(world, []).shape == (0,)


def test_no_memory_grows(world):
    """10,000 steps (fewer where ranks share cores): what is kept for a step is given back."""
    ids, x = batch()
    ids, x = ids[: world.size][world.rank], x[: world.size][world.rank]
    shape = hashep.StackShape(num_layers=1, hidden_size=16, ffn_size=16, num_experts=4)
    stack = make(world, shape, training=hashep.TrainingOptions(gradient_block=LENGTH))
    tape, y, dx = hashep.Tape(), np.empty_like(x), np.empty_like(x)

    def steps(count):
        for _ in range(count):
            planned = stack.submit(ids, seq_len=LENGTH)
            stack.forward(planned, x, y, tape)
            stack.backward(planned, tape, y, dx)
            stack.parameters()
        stack.clear_gradients()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB

    steps(1000)
    before = steps(1000)
    assert steps(10_000 if world.size < 3 else 1000) - before < 1024


def test_contexts_come_and_go(world):
    for _ in range(20):
        with hashep.Context(threads=1) as context:
            stack = make(context)
            ids, x = (each[part(context)] for each in batch())
            stack.forward(submit(stack, ids), x)
            stack.close()
        assert context.is_closed
        with pytest.raises(hashep.InputError, match="closed"):
            context.rank


@pytest.mark.parametrize("odd", [-1, 0, 2**40, -(2**40)])
def test_odd_numbers_are_refused_or_taken(odd):
    """Nothing of it may end the interpreter, or take all memory."""
    placement = hashep.contiguous_placement(4, 2)
    geometry = hashep.StackGeometry([placement], top_k=1)
    router = hashep.HashRouter(10)
    tokens = hashep.TokenBatch([1, 2], seq_len=2)
    table = hashep.RoutingTable(np.array([[0], [1]]))
    for call in (
        lambda: hashep.HashRouter(odd),
        lambda: hashep.TokenBatch([1], seq_len=odd),
        lambda: hashep.TokenBatch([1], seq_len=1, first_position=odd),
        lambda: hashep.TokenBatch([odd], seq_len=1),
        lambda: hashep.TableRouter([table], num_experts=odd),
        lambda: hashep.random_table(10, odd),
        lambda: hashep.random_table(10, 4, odd),
        lambda: hashep.balanced_table([1, 2], odd),
        lambda: hashep.balanced_table([1, 2], 4, odd),
        lambda: hashep.balanced_table([odd, 2], 4),
        lambda: hashep.contiguous_placement(4, odd),
        lambda: hashep.Placement([odd], 1),
        lambda: hashep.Placement([0], odd),
        lambda: hashep.balanced_placement([1, 2], odd),
        lambda: hashep.balanced_placement([odd, 2], 1),
        lambda: placement.local_experts(odd),
        lambda: hashep.NodeMap([0, 1]).node_of(odd),
        lambda: hashep.NodeMap([0, 1]).ranks_of(odd),
        lambda: hashep.StackGeometry([placement], top_k=odd),
        lambda: hashep.StackGeometry([placement], gated=odd),
        lambda: hashep.plan_batch(geometry, router, [tokens, tokens], odd),
        lambda: router.route(tokens, layer=odd, num_experts=4),
        lambda: router.route(tokens, num_experts=odd),
        lambda: router.route(tokens, num_experts=4, top_k=odd),
    ):
        try:
            call()
        except (hashep.InputError, TypeError, MemoryError):
            pass
    for call in (
        lambda: hashep.plan_batch(geometry, router, [tokens], 0),
        lambda: hashep.plan_batch(geometry, router, [tokens, None], 0),
        lambda: hashep.plan_batch(geometry, router, [tokens] * 3, 0),
        lambda: hashep.NodeMap([]),
        lambda: hashep.StackGeometry([]),
    ):
        with pytest.raises((hashep.InputError, TypeError)):
            call()

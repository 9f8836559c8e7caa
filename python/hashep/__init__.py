# SPDX-License-Identifier: Apache-2.0
"""Expert-parallel mixture-of-experts layers with static routing.

A program needs these, in this order: the ranks (Context), the sizes of the layers (StackShape), which
experts a token goes to (HashRouter, TableRouter, FunctionRouter; or, to compare with, a Gate), weights
(ArrayWeights, synthetic_weights, open_model), the layers (Stack), and token ids (Stack.submit). Start
it on several ranks with mpirun or srun. hashep.torch has layers for PyTorch.
"""

from ._core import (
    AdamW,
    ArrayWeights,
    Batch,
    BatchPlan,
    Error,
    ExchangePlan,
    FunctionRouter,
    Gate,
    HashRouter,
    InputError,
    LoadedCheckpoint,
    Model,
    NodeMap,
    Parameter,
    Placement,
    ReproducibleSum,
    Router,
    RoutingTable,
    RunError,
    StackBytes,
    StackGeometry,
    StackOptions,
    StackShape,
    TableRouter,
    Tape,
    TokenBatch,
    TrainingOptions,
    WeightSource,
    __version__,
    balanced_placement,
    balanced_table,
    contiguous_placement,
    load_checkpoint,
    load_layer_table,
    load_table,
    mpi_library,
    open_model,
    plan_batch,
    random_table,
    save_checkpoint,
    synthetic_weights,
)
from ._session import Context, Stack
from ._sums import sum_float64

__all__ = [name for name in dir() if not name.startswith("_")] + ["__version__"]

# SPDX-License-Identifier: Apache-2.0
"""All tests but those that start programs run under mpirun, on any number of ranks."""

import os
import sys
import tempfile

import pytest

import hashep

if "HASHEP_TEST_FOLDER" in os.environ:  # ranks have tmp_path apart
    os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.mkdtemp(dir=os.environ["HASHEP_TEST_FOLDER"])


@pytest.fixture(scope="session")
def world():
    """All ranks. A test that fails on one of them has the others wait no longer than the deadline."""
    return hashep.Context(deadline=30, threads=1)


@pytest.fixture(scope="session")
def alone():
    """This rank by itself: what all ranks make together must have the same bits."""
    return hashep.Context("self", threads=1)


def pytest_exception_interact(node, call, report):
    # Said before the others, which may wait for this rank, reach their deadline and fail too.
    sys.stderr.write(report.longreprtext[-2000:] + "\n")

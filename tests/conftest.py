"""What all tests share: one seed, one thread, property tests that draw the same examples, and no learner's progress."""

import os

import pytest
import torch
from hypothesis import settings

from shira_lab.masks import function

# Also for the kernels and servers that tests start: nothing is written into the progress of whoever runs them.
os.environ["SHIRA_LAB_PROGRESS"] = "off"

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask type that a test registers is gone after it."""
    monkeypatch.setattr(function, "_REGISTERED", {})


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The models here are so small that threads cost more than they give."""
    torch.set_num_threads(1)

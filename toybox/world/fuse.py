"""Fusing: on a GPU, run a function over whole pictures as one kernel instead of one an operation.

A function marked `@fused` runs as it is written, until it is called inside `with fusing()`.
There torch.compile turns it into kernels, at the first call, which takes some seconds for each
function. It would do so again for every new shape and every new plain number among the arguments;
fused functions therefore get tensors of fixed shapes only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps

import torch

_backend: ContextVar[str | None] = ContextVar("backend", default=None)


@contextmanager
def fusing(backend: str | None = "inductor") -> Iterator[None]:
    """Compile fused functions inside the `with` block with a back end of torch.compile, or not."""
    token = _backend.set(backend)
    try:
        yield
    finally:
        _backend.reset(token)


def fused(function: Callable) -> Callable:
    """Let a function be compiled inside `fusing`."""

    @cache
    def compiled(backend: str) -> Callable:
        return torch.compile(function, dynamic=False, backend=backend)

    @wraps(function)
    def call(*args: object) -> object:
        backend = _backend.get()
        return function(*args) if backend is None else compiled(backend)(*args)

    return call

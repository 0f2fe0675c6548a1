"""A large matrix product: what times are measured against as the most that a machine does."""

from collections.abc import Callable

import torch

GEMM_SIZE = {"cpu": 2048, "cuda": 8192}


def gemm(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Callable[[], object], float]:
    """A product of two large square matrices: what to run, and its multiply-accumulates."""
    size = GEMM_SIZE.get(device.type, GEMM_SIZE["cpu"])
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(size, size, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), float(size) ** 3

"""The paper's benchmarks, its tables and its numbers."""

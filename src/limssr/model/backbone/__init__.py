"""The language model: which families are known, how one is loaded, its adapters."""

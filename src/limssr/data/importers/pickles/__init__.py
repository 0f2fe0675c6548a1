"""Pickled arrays as inert data: nothing that they name is looked up or called."""

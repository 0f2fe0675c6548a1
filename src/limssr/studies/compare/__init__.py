"""Comparing finished runs: rows, scores on the same draws, differences, ranks, costs, tables and a page.

It reads run folders and predictions; nothing is trained here.
"""

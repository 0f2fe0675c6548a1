"""The rows of the paper's ablation tables as changes to a recipe."""

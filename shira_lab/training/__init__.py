"""Batches of stories, the figures a model is measured by, and training itself."""

"""Benchmarks: every cost a learner feels, as a ratio against a reference that runs in the same process, interleaved."""

"""Adapters on a model: which layers they sit on, how each is made, and what several of them do together."""

"""Models to adapt: the one that ships, a folder, a model of the hub, and shapes without weights."""

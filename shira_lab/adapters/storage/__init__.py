"""Adapters on disk: PEFT's files, smaller ones of our own, and state dicts. Everything read is checked first."""

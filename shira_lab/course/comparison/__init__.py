"""Methods beside each other, fairly: every one tuned over the same learning rates, then repeated with other seeds."""

"""What SHiRA costs on a GPU: one run of ten minutes that checks, measures and says what to choose."""

"""Freed memory that stays with the process, so that page faults do not decide what is faster.

The C library gives large tensors back to the system and takes them anew, page by page. What a page costs differs from
hour to hour on a shared machine: LoRA's merge, which makes a temporary as large as each weight, took four times longer
in some runs than in others. Kept memory favours what needs temporaries.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # as in glibc's malloc.h
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Never give memory back. False where the C library is not glibc: then it goes on as it does."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all((mallopt(M_TRIM_THRESHOLD, LARGEST), mallopt(M_MMAP_MAX, 0)))

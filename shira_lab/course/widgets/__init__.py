"""Apps for a learner's own notebook: each is one object, made and shown with one line.

Each is imported when it is first asked for; __init__.pyi says where it is from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Figures: plain data in (positions, spectra, a run's history), a plotly figure or the bytes of a PNG out.

Each is imported when it is first asked for; __init__.pyi says where it is from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

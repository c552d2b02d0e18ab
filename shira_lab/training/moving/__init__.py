"""Masks that move while they train: drop and grow, or learned scores. The budget is exact after every move.

    drop and grow    :mod:`~shira_lab.training.moving.drop_and_grow`
    learned scores   :mod:`~shira_lab.training.moving.learned`

What belongs to an entry goes with it, as :meth:`shira_lab.layers.AdapterLayer.set_positions` says: its value, its
gradient and what the optimizer remembers. A new entry starts at zero and without a past.
"""

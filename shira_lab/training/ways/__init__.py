"""Other ways to a high rank: each changes a frozen weight W (m, n) by an update of r(m + n) parameters.

    dora         m * (W + BA) / ||W + BA||   DoRA                             k + m, any rank
    shira_dora   m * (W + S) / ||W + S||     SHiRA under DoRA                 k + m, any rank
    hira         W o BA                      HiRA                             k, rank <= r * rank W
    gralora      q x q blocks B A            GraLoRA                          k, rank <= q r
    fourier      k cosines                   FourierFT                        k, any rank
    haar         k Haar wavelets             WaveFT                           k, any rank
    orthogonal   k waves of random sign      a basis that is drawn            k, any rank
    rosa         BA + S                      RoSA; Supra in Super-Tuning      k, any rank

SHiRA is the member of the family whose basis is the identity. :mod:`~shira_lab.training.ways.way` says what a way is.
:class:`~shira_lab.training.ways.config.WayConfig` puts one on a model, where :class:`~shira_lab.PeftModel` keeps any
number of them beside SHiRA and LoRA adapters: mixed sets are saved and loaded as those are.
"""

from shira_lab.training.ways import bases, dora, gralora, hira, rosa  # noqa: F401, each registers its ways
from shira_lab.training.ways.config import WayConfig
from shira_lab.training.ways.way import WAYS, Way, register_way

__all__ = ["WAYS", "Way", "WayConfig", "register_way"]

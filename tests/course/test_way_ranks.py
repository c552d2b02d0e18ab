"""The app of rank laws: each way, each r, and what random parameters measure."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from shira_lab.course.widgets import WayRanks
from shira_lab.course.widgets.way_ranks import MOST_R
from shira_lab.errors import ConfigError
from shira_lab.training.ways import WAYS


@pytest.fixture
def app() -> Iterator[WayRanks]:
    torch.manual_seed(0)
    layer = nn.Linear(48, 32)
    layer.weight.data = torch.randn(32, 3) @ torch.randn(3, 48)
    app = WayRanks(layer)
    yield app
    app.close()


def test_it_says_law_and_measure_of_every_way_at_every_r(app: WayRanks) -> None:
    for app.way in WAYS:
        for app.r in range(2, MOST_R + 1, 2):
            assert app.r <= app.rank <= app.rank_bound
            said = app.status.value
            assert (
                f"Rank at most {app.rank_bound} of 32; random parameters have {app.rank}, LoRA&#x27;s {app.r}." in said
            )
            assert said.count(f"{WAYS[app.way].kind}, r = {app.r}: ") == 1


def test_the_picture_has_each_direction_of_both_and_the_law(app: WayRanks) -> None:
    app.way, app.r = "hira", 4
    assert (app.rank, app.rank_bound) == (12, 12)
    assert app._picture.value.count("<circle") == 64 and "law: 12" in app._picture.value
    assert repr(app) == "WayRanks(way=hira, r=4): rank 12, at most 12"


def test_what_no_way_can_be_is_refused_and_changes_nothing(app: WayRanks) -> None:
    with pytest.raises(ConfigError, match=r"`way='loha'` is no way; there are fourier, "):
        app.way = "loha"
    with pytest.raises(ConfigError, match=r"`r=3` should be even and at most 14\."):
        app.r = 3
    with pytest.raises(ConfigError, match=r"`r=16` should be even and at most 14\."):
        app.r = 16
    assert (app.way, app.r) == ("gralora", 4) and "GraLoRA, r = 4" in app.status.value

"""The arithmetic of a large training, against numbers by hand."""

import pytest

from benchmarks.imagenet import BATCH, PEAK, UPDATES, Cost, rows


@pytest.fixture
def cost():
    return Cost(flops=1e9, d_weights=100, ge_weights=50, statistics=10, d_updates=2)


def test_a_ring_sends_almost_twice_what_is_averaged(cost):
    numbers = 2 * 100 + 50 + 2 * 10
    assert cost.sent(2) == 4 * numbers
    assert cost.sent(1000) == pytest.approx(8 * numbers, rel=0.01)
    assert cost.sent(1) == 0


def test_the_time_is_the_operations_over_the_rate(cost):
    assert cost.hours(0.5) * 3600 * 0.5 * PEAK == pytest.approx(1e9 * BATCH * UPDATES)
    assert cost.seconds(1, 0.5) * UPDATES == pytest.approx(cost.hours(0.5) * 3600)
    assert cost.seconds(4, 0.5) == cost.seconds(1, 0.5) / 4


def test_the_table_names_storage_time_and_network(cost):
    names = [name for name, _ in rows(cost)]
    assert any("storage" in name for name in names) and any("hours" in name for name in names)
    assert any("bytes" in name for name in names)

"""MonitorDisplay draws the history as it is."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from skweiper.baselines import LogitDetector
from skweiper.monitoring import StreamMonitor
from skweiper.plotting import MonitorDisplay


@pytest.fixture
def monitor(clinc150):
    detector = LogitDetector(clinc150.weight, clinc150.bias).fit(clinc150.train[:200])
    return StreamMonitor(detector.calibrate_p_values(clinc150.validation), window=60)


def test_the_history_is_drawn(monitor, clinc150):
    for part in np.split(np.concatenate([clinc150.test[:90], clinc150.test_oos[:90]]), 6):
        monitor.update(part)
    display = MonitorDisplay.from_monitor(monitor)
    np.testing.assert_array_equal(display.wealth_line_.get_xdata(), np.arange(0, 181, 30))
    wealth = display.wealth_line_.get_ydata()
    np.testing.assert_array_equal(wealth[1:], monitor.history.log10_wealth)
    assert display.alarm_level_.get_ydata()[0] == pytest.approx(2)
    labels = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert f"row {monitor.alarm_row}" in labels


def test_nothing_seen_is_refused(monitor):
    with pytest.raises(ValueError, match="has seen no rows"):
        MonitorDisplay.from_monitor(monitor)

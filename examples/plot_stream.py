"""
A stream that drifts
====================

A deployed classifier sees queries one after the other. At some point users begin to ask for
what it was not built for. ``StreamMonitor`` decides on every row, and gathers evidence against
the hypothesis that the stream looks like the calibration rows. The evidence may be looked at
after every row: the probability that it ever reaches the alarm level without drift is bounded.
"""

import numpy as np

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.monitoring import StreamMonitor
from skweiper.plotting import MonitorDisplay

data = load_clinc150()
detector = WeiPerDetector(data.weight, data.bias, method="msp", random_state=0).fit(data.train)
detector.calibrate(data.validation, tpr=0.95).calibrate_p_values(data.validation)

# %%
# A thousand known queries; then one query in five is out of scope:
random_state = np.random.RandomState(0)
known = data.test[random_state.permutation(len(data.test))]
unknown = data.test_oos[random_state.permutation(len(data.test_oos))]
drifted = np.concatenate([known[1000:1800], unknown[:200]])
stream = np.concatenate([known[:1000], drifted[random_state.permutation(len(drifted))]])

# %%
# The monitor gets the rows in batches, as they come, and returns decisions and p-values of each
# row:
monitor = StreamMonitor(detector, alpha=0.01, window=300)
for first in range(0, len(stream), 50):
    rows = monitor.update(stream[first : first + 50])
print(f"drift begins at row 1000; alarm at row {monitor.alarm_row}")
rows.head(3)

# %%
# On the left the evidence, on the right the share of rows that were called OOD, in a sliding
# window:
display = MonitorDisplay.from_monitor(monitor)

# %%
# Without drift nothing is raised:
quiet = StreamMonitor(detector, alpha=0.01)
quiet.update(known)
print(f"alarm: {quiet.alarm_row}, largest evidence: {quiet.martingale.largest_log10_wealth:.2f}")

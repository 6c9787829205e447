"""
Digits that the network never saw
=================================

A small network learns the digits 0 to 6. Shown a 7, 8 or 9 it has to answer with one of the
seven. A detector on its penultimate layer notices.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skweiper import WeiPerDetector
from skweiper.head import penultimate_features
from skweiper.plotting import ScoreDistributionDisplay

X, y = load_digits(return_X_y=True)
X, is_known = X / 16, y < 7
X_train, X_rest, y_train, _ = train_test_split(X[is_known], y[is_known], random_state=0)
X_held_out, X_test = np.array_split(X_rest, 2)
X_unknown = X[~is_known]

# %%
# The network, and what reaches its last layer:
network = MLPClassifier((32,), max_iter=200, tol=1e-3, random_state=0).fit(X_train, y_train)
train, held_out, test, unknown = (
    penultimate_features(network, rows) for rows in (X_train, X_held_out, X_test, X_unknown)
)

# %%
# The detector takes the head from the network, and its threshold from held-out digits: 95 % of
# them pass. On 32 features the averaged softmax probability is the better choice: so few values
# make a poor histogram for WeiPer+KLD.
detector = WeiPerDetector.from_classifier(network, method="msp", random_state=0)
detector.fit(train).calibrate(held_out, tpr=0.95)
print(f"accepted of the known digits: {np.mean(detector.predict(test) == 1):.1%}")
print(f"rejected of the unknown ones: {np.mean(detector.predict(unknown) == -1):.1%}")
display = ScoreDistributionDisplay.from_estimator(detector, test, {"7, 8, 9": unknown})

# %%
# The most suspicious of the digits, and the unknown ones that look most like a known one, with
# the network's answer:
scores = detector.score_samples(unknown)
order = np.argsort(scores)
figure, axes = plt.subplots(2, 6, figsize=(8, 3), layout="constrained")
for ax, row in zip(axes.flat, [*order[:6], *order[-6:]], strict=True):
    ax.imshow(X_unknown[row].reshape(8, 8), cmap="gray_r")
    ax.set(xticks=[], yticks=[], title=f"taken for {network.predict(X_unknown[[row]])[0]}")
axes[0, 0].set_ylabel("lowest scores")
axes[1, 0].set_ylabel("highest scores")
plt.show()

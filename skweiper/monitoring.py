"""A stream of rows: their decisions, and whether the stream still looks in-distribution."""

import json
from bisect import bisect_left, bisect_right, insort
from math import log10
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skweiper._support.containers import index_of
from skweiper._support.parameters import Interval, validate_parameter_constraints
from skweiper._support.score_vectors import finite_vector
from skweiper._typing import FloatArray
from skweiper.base import BaseDetector
from skweiper.conformal import conformal_p_values, ood_discoveries

__all__ = ["ExchangeabilityMartingale", "StreamMonitor"]

EXPONENTS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Bets: the lower, the more is won from small p-values, and lost on others; 1 bets nothing."""
STATE_VERSION = 1


class ExchangeabilityMartingale:
    """A gambler's wealth against the hypothesis that scores come in random order.

    Every score gets its conformal p-value among the scores before it, ties broken at random. Where
    the scores are exchangeable with those of the calibration rows, the p-values are independent
    and uniform, whatever the detector is; the wealth, which is bet on small p-values, then exceeds
    1 / alpha at any time with probability at most alpha (Ville's inequality). So it may be looked
    at after every row. The bets are powers, ``epsilon p**(epsilon - 1)``, of several exponents
    between which a small share of the wealth moves at each step, so that a change which comes late
    is found as well.

    Parameters
    ----------
    calibration_scores : array-like of shape (n_calibration,)
        Scores of held-out in-distribution rows, higher = more in-distribution.
    jump : float, default=0.001
        Share in [0, 1) of the wealth that is spread over all bets before each score.
    random_state : int, default=0
        Seed of the broken ties.

    Attributes
    ----------
    log10_wealth : float
        0 at the start; 2 where the wealth is a hundred times what it was.
    largest_log10_wealth : float
        Of all times so far.
    n_seen : int
        Scores so far, those of calibration left out.

    References
    ----------
    Vovk, Nouretdinov, Gammerman, "Testing Exchangeability On-Line", ICML 2003.
    https://aaai.org/papers/ICML03-100-testing-exchangeability-on-line/
    Vovk, "Testing Randomness Online", Statistical Science 2021. https://arxiv.org/abs/1906.09256

    Examples
    --------
    >>> import numpy as np
    >>> from skweiper.monitoring import ExchangeabilityMartingale
    >>> rng = np.random.RandomState(0)
    >>> martingale = ExchangeabilityMartingale(rng.randn(200))
    >>> bool(martingale.update(rng.randn(500)).max() < 2)
    True
    >>> bool(martingale.update(rng.randn(500) - 2).max() > 2)
    True
    """

    def __init__(
        self, calibration_scores: ArrayLike, *, jump: float = 0.001, random_state: int = 0
    ) -> None:
        constraints = {
            "jump": [Interval(Real, 0, 1, closed="left")],
            "random_state": [Interval(Integral, 0, None, closed="left")],
        }
        given = {"jump": jump, "random_state": random_state}
        validate_parameter_constraints(constraints, given, caller_name=type(self).__name__)
        self._scores = np.sort(finite_vector(calibration_scores, "calibration_scores"))
        self._jump = float(jump)
        self._ties = np.random.RandomState(random_state)
        self._shares = [1 / len(EXPONENTS)] * len(EXPONENTS)
        self.log10_wealth = self.largest_log10_wealth = 0.0
        self.n_seen = 0

    def update(self, scores: ArrayLike) -> FloatArray:
        """Bet on each score in turn.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            In the order in which the rows came.

        Returns
        -------
        ndarray of shape (n_samples,)
            `log10_wealth` after each of them.
        """
        scores = finite_vector(scores, "scores", may_be_empty=True)
        wealth = np.empty(len(scores))
        for i, p_value in enumerate(self._p_values(scores)):
            self._bet(p_value)
            wealth[i] = self.log10_wealth
        self._scores = np.insert(
            self._scores, np.searchsorted(self._scores, np.sort(scores)), np.sort(scores)
        )
        self.n_seen += len(scores)
        return wealth

    def _p_values(self, scores):
        """Yield the p-value of each score among all before it, in (0, 1)."""
        below = np.searchsorted(self._scores, scores, side="left")
        up_to = np.searchsorted(self._scores, scores, side="right")
        earlier: list[float] = []
        for n_before, score in enumerate(scores):
            n_below = below[n_before] + bisect_left(earlier, score)
            n_up_to = up_to[n_before] + bisect_right(earlier, score)
            insort(earlier, score)
            n_equal = n_up_to - n_below + 1  # itself among them
            yield (n_below + (1 - self._ties.random_sample()) * n_equal) / (
                len(self._scores) + n_before + 1
            )

    def _bet(self, p_value):
        """Bet each share of the wealth, and let a little of all of it move between the bets."""
        moved = self._jump / len(EXPONENTS)
        won = [
            (share * (1 - self._jump) + moved) * exponent * p_value ** (exponent - 1)
            for share, exponent in zip(self._shares, EXPONENTS, strict=True)
        ]
        gain = sum(won)
        self._shares = [share / gain for share in won]
        self.log10_wealth += log10(gain)
        self.largest_log10_wealth = max(self.largest_log10_wealth, self.log10_wealth)

    def get_state(self) -> dict[str, Any]:
        """All that was learnt of the stream, as numbers, text and arrays."""
        _, keys, position, *_ = self._ties.get_state()
        return {
            "scores": self._scores,
            "jump": self._jump,
            "shares": np.array(self._shares),
            "log10_wealth": self.log10_wealth,
            "largest_log10_wealth": self.largest_log10_wealth,
            "n_seen": self.n_seen,
            "ties": keys,
            "ties_position": position,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "ExchangeabilityMartingale":
        """The martingale of which `get_state` told.

        Parameters
        ----------
        state : dict

        Returns
        -------
        ExchangeabilityMartingale
        """
        martingale = cls(state["scores"], jump=float(state["jump"]))
        martingale._shares = [float(share) for share in state["shares"]]
        martingale.log10_wealth = float(state["log10_wealth"])
        martingale.largest_log10_wealth = float(state["largest_log10_wealth"])
        martingale.n_seen = int(state["n_seen"])
        keys, position = np.asarray(state["ties"], np.uint32), int(state["ties_position"])
        martingale._ties.set_state(("MT19937", keys, position, 0, 0.0))
        return martingale


class StreamMonitor:
    """Decisions on rows as they come, and an alarm where the stream is no longer the same.

    Parameters
    ----------
    detector : detector
        Fitted, and calibrated by `calibrate_p_values` on held-out in-distribution rows.
    alpha : float, default=0.01
        Probability in (0, 1) of a false alarm, ever, on a stream that is exchangeable with the
        calibration rows.
    window : int, default=1000
        Rows over which rates are reported.
    fdr : float, default=0.1
        Expected share in (0, 1) of in-distribution rows among the rows of the window that are
        counted as discoveries.
    jump : float, default=0.001
        Share in [0, 1) of the martingale's wealth that is spread over all its bets before each row.
    random_state : int, default=0
        Seed of broken ties.

    Attributes
    ----------
    martingale : ExchangeabilityMartingale
    alarm_row : int or None
        Number of the row, from 0 on, at which the wealth first exceeded 1 / alpha.
    history : DataFrame
        A row per update: `n_seen`, `ood_rate` (share of the window's rows that `predict` calls
        OOD), `discovery_rate` (share that false-discovery control does), `log10_wealth`, `alarm`.

    Examples
    --------
    >>> import numpy as np
    >>> from skweiper import WeiPerDetector
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.monitoring import StreamMonitor
    >>> data = load_clinc150()
    >>> detector = WeiPerDetector(data.weight, data.bias, random_state=0).fit(data.train)
    >>> monitor = StreamMonitor(detector.calibrate_p_values(data.validation))
    >>> stream = np.random.RandomState(0).permutation(data.test)
    >>> list(monitor.update(stream[:300]))
    ['score', 'p_value', 'is_ood', 'log10_wealth']
    >>> monitor.alarm_row is None
    True
    >>> rows = monitor.update(data.test_oos[:200])
    >>> 300 < monitor.alarm_row < 400
    True
    """

    def __init__(
        self,
        detector: BaseDetector,
        *,
        alpha: float = 0.01,
        window: int = 1000,
        fdr: float = 0.1,
        jump: float = 0.001,
        random_state: int = 0,
    ) -> None:
        constraints = {
            "alpha": [Interval(Real, 0, 1, closed="neither")],
            "window": [Interval(Integral, 1, None, closed="left")],
            "fdr": [Interval(Real, 0, 1, closed="neither")],
        }
        given = {"alpha": alpha, "window": window, "fdr": fdr}
        validate_parameter_constraints(constraints, given, caller_name=type(self).__name__)
        self.detector = detector
        self.alpha, self.window, self.fdr = float(alpha), int(window), float(fdr)
        self._calibration_scores = _calibration_scores_of(detector)
        self.martingale = ExchangeabilityMartingale(
            self._calibration_scores, jump=jump, random_state=random_state
        )
        self.alarm_row: int | None = None
        self._recent_p_values, self._recent_ood = np.empty(0), np.empty(0, bool)
        self._history: list[dict[str, Any]] = []

    def update(self, X: ArrayLike) -> pd.DataFrame:
        """Score the next rows of the stream.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            In the order in which they came.

        Returns
        -------
        DataFrame of n_samples rows, with the index of X where X is a DataFrame
            `score` (higher = more in-distribution), `p_value` (conformal, small = OOD), `is_ood`
            (the decision of `predict`), `log10_wealth` after the row.

        Raises
        ------
        ValueError
            Bad values or shapes, or a detector that was calibrated anew since the stream began.
        """
        return self.update_scores(self.detector.score_samples(X), index_of(X))

    def update_scores(self, scores: ArrayLike, index: Any = None) -> pd.DataFrame:
        """Take the next rows of the stream by the scores that this detector gave them.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Of `score_samples`, in the order in which the rows came.
        index : Index of n_samples entries, default=None
            What names the rows.

        Returns
        -------
        DataFrame of n_samples rows
            As `update` gives it.

        Raises
        ------
        ValueError
            Scores that are not finite or not one-dimensional, an index of another length, or a
            detector that was calibrated anew since the stream began.
        """
        self._check_still_calibrated()
        scores = finite_vector(scores, "scores", may_be_empty=True)
        if index is not None and len(index) != len(scores):
            raise ValueError(
                f"index must name each of the {len(scores)} rows, got {len(index)} entries."
            )
        rows = pd.DataFrame(
            {
                "score": scores,
                "p_value": conformal_p_values(self._calibration_scores, scores),
                "is_ood": scores < self.detector.offset_,
                "log10_wealth": self.martingale.update(scores),
            },
            index=index,
        )
        self._remember(rows)
        return rows

    def _check_still_calibrated(self):
        """Refuse p-values among other scores than those that the wealth was won from."""
        scores = getattr(self.detector, "conformal_scores_", None)
        if scores is None or not np.array_equal(scores, self._calibration_scores):
            raise ValueError(
                "The detector was fitted or calibrated anew since this monitor began: its p-values "
                "would be of two detectors. Begin with a new StreamMonitor."
            )

    def _remember(self, rows):
        """Move the window on, and note the alarm and the rates."""
        n_before = self.martingale.n_seen - len(rows)
        beyond = np.flatnonzero(rows.log10_wealth.to_numpy() >= -log10(self.alpha))
        if self.alarm_row is None and len(beyond):
            self.alarm_row = n_before + int(beyond[0])
        recent = np.concatenate([self._recent_p_values, rows.p_value])
        self._recent_p_values = recent[-self.window :]
        self._recent_ood = np.concatenate([self._recent_ood, rows.is_ood])[-self.window :]
        self._history.append(self._rates())

    def _rates(self):
        found = ood_discoveries(self._recent_p_values, self.fdr)
        return {
            "n_seen": self.martingale.n_seen,
            "ood_rate": float(self._recent_ood.mean()) if len(self._recent_ood) else np.nan,
            "discovery_rate": float(found.mean()) if len(found) else np.nan,
            "log10_wealth": self.martingale.log10_wealth,
            "alarm": self.alarm_row is not None,
        }

    @property
    def history(self) -> pd.DataFrame:
        """The rates after each update."""
        columns = ["n_seen", "ood_rate", "discovery_rate", "log10_wealth", "alarm"]
        return pd.DataFrame(self._history, columns=columns)

    def get_state(self) -> dict[str, Any]:
        """All that was learnt of the stream, as NumPy arrays without objects: for `numpy.savez`.

        The detector is not part of it.

        Returns
        -------
        dict of str to ndarray
        """
        own = {
            "version": STATE_VERSION,
            "parameters": json.dumps([self.alpha, self.window, self.fdr]),
            "alarm_row": -1 if self.alarm_row is None else self.alarm_row,
            "recent_p_values": self._recent_p_values,
            "recent_ood": self._recent_ood,
            "history": json.dumps(self._history),
        }
        inner = {f"martingale_{name}": v for name, v in self.martingale.get_state().items()}
        return {name: np.asarray(value) for name, value in (own | inner).items()}

    @classmethod
    def from_state(cls, detector: BaseDetector, state: Any) -> "StreamMonitor":
        """The monitor of which `get_state` told, to go on where it was.

        Parameters
        ----------
        detector : detector
            The one that the monitor had.
        state : mapping of str to ndarray
            As `get_state` gave it, or as `numpy.load` reads it.

        Returns
        -------
        StreamMonitor

        Raises
        ------
        ValueError
            A state of another version, or of a detector calibrated on other rows.
        """
        if "version" not in state or int(state["version"]) != STATE_VERSION:
            raise ValueError(
                "This is no state of a StreamMonitor of this version. Begin with a new one."
            )
        alpha, window, fdr = json.loads(str(state["parameters"]))
        prefix = "martingale_"
        inner = {n.removeprefix(prefix): state[n] for n in state if n.startswith(prefix)}
        monitor = cls(detector, alpha=alpha, window=window, fdr=fdr)
        monitor.martingale = ExchangeabilityMartingale.from_state(inner)
        _check_same_calibration(detector, inner)
        alarm_row = int(state["alarm_row"])
        monitor.alarm_row = None if alarm_row < 0 else alarm_row
        monitor._recent_p_values = np.asarray(state["recent_p_values"], np.float64)
        monitor._recent_ood = np.asarray(state["recent_ood"], bool)
        monitor._history = json.loads(str(state["history"]))
        return monitor


def _check_same_calibration(detector, state):
    """Refuse a martingale's state that holds other calibration scores than the detector.

    Raises
    ------
    ValueError
    """
    known, scores = _calibration_scores_of(detector), np.asarray(state["scores"])
    if len(scores) != len(known) + int(state["n_seen"]) or not np.isin(known, scores).all():
        raise ValueError(
            "The state belongs to a detector that was calibrated on other rows: its p-values "
            "would mean nothing. Load that detector, or begin with a new monitor."
        )


def _calibration_scores_of(detector):
    """Scores of a detector's calibration rows.

    Raises
    ------
    ValueError
        `calibrate_p_values` was not called.
    """
    scores = getattr(detector, "conformal_scores_", None)
    if scores is None:
        raise ValueError(
            f"This {type(detector).__name__} has no calibration scores. Call "
            "calibrate_p_values(X_id) with held-out in-distribution rows after fit."
        )
    return scores

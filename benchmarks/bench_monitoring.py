"""False alarms of the martingale on ID streams, its delay on mixed ones, and the window's rates.

    python benchmarks/bench_monitoring.py [--streams 1000] [--output benchmarks/results] [--publish]

For each stream, calibration rows and the stream itself are independent draws, with replacement, of
the held-out in-distribution rows of CLINC150 (validation and test together), so that they are
exchangeable. In mixed streams each row is, with the given probability, a draw of the out-of-scope
queries instead, from the 501st row on. With --publish, the tables go into docs/results.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from reporting import machine, markdown_table, publish, save

from skweiper import WeiPerDetector
from skweiper.baselines import LogitDetector
from skweiper.conformal import conformal_p_values, ood_discoveries
from skweiper.datasets import load_clinc150
from skweiper.monitoring import ExchangeabilityMartingale

N_CALIBRATION = 1200
N_STREAM = 10_000
N_BEFORE, N_AFTER, STEP = 500, 20_000, 500
ALPHAS = (0.1, 0.05, 0.01, 0.001)
SHARES = (0.01, 0.05, 0.2, 1.0)
WINDOW, FDR = 1000, 0.1


def scores():
    """Scores of held-out ID rows and of OOD rows, by the name of the detector."""
    data = load_clinc150()
    detectors = {
        "WeiPer+KLD": WeiPerDetector(data.weight, data.bias, random_state=0),
        "MSP": LogitDetector(data.weight, data.bias, method="msp"),
    }
    held_out = np.concatenate([data.validation, data.test])
    for name, detector in detectors.items():
        detector.fit(data.train)
        yield name, detector.score_samples(held_out), detector.score_samples(data.test_oos)


def martingale_of(id_scores, rng, seed):
    """A martingale on a calibration set that was drawn."""
    calibration = rng.choice(id_scores, N_CALIBRATION)
    return ExchangeabilityMartingale(calibration, random_state=seed)


def largest_wealth(id_scores, seed):
    """log10 of the largest wealth over an ID stream."""
    rng = np.random.RandomState(seed)
    martingale = martingale_of(id_scores, rng, seed)
    martingale.update(rng.choice(id_scores, N_STREAM))
    return martingale.largest_log10_wealth


def mixed(id_scores, ood_scores, share, n_rows, rng):
    """Scores of a stream with OOD rows in it, and where these are."""
    is_ood = rng.random_sample(n_rows) < share
    return np.where(is_ood, rng.choice(ood_scores, n_rows), rng.choice(id_scores, n_rows)), is_ood


def delay(id_scores, ood_scores, share, alpha, seed):
    """Rows from the first mixed one to the alarm; inf where there is none, -1 where it is early."""
    rng = np.random.RandomState(seed)
    martingale = martingale_of(id_scores, rng, seed)
    level = -np.log10(alpha)
    if martingale.update(rng.choice(id_scores, N_BEFORE)).max() >= level:
        return -1
    for first in range(0, N_AFTER, STEP):
        stream, _ = mixed(id_scores, ood_scores, share, STEP, rng)
        alarms = np.flatnonzero(martingale.update(stream) >= level)
        if len(alarms):
            return first + alarms[0] + 1
    return np.inf


def false_alarms(name, id_scores, n_streams):
    """Share of ID streams with an alarm, for each alpha."""
    wealth = np.array([largest_wealth(id_scores, seed) for seed in range(n_streams)])
    for alpha in ALPHAS:
        share = np.mean(wealth >= -np.log10(alpha))
        error = np.sqrt(share * (1 - share) / n_streams)
        yield {
            "detector": name,
            "alpha": alpha,
            "n_streams": n_streams,
            "false_alarm_share": share,
            "standard_error": error,
        }


def delays(name, id_scores, ood_scores, n_streams, alpha=0.01):
    """Rows until the alarm, for each share of OOD rows."""
    for share in SHARES:
        seeds = range(n_streams)
        rows = np.array([delay(id_scores, ood_scores, share, alpha, seed) for seed in seeds])
        rows = rows[rows >= 0]
        low, median, high = np.quantile(rows, (0.1, 0.5, 0.9), method="higher")
        yield {
            "detector": name,
            "ood_share": share,
            "n_streams": len(rows),
            "found": np.mean(np.isfinite(rows)),
            "delay_q10": low,
            "delay_median": median,
            "delay_q90": high,
        }


def discoveries(name, id_scores, ood_scores, n_streams):
    """What false-discovery control finds in a window, and how much of it is wrong."""
    for share in (0.0, *SHARES[:-1]):
        wrong, found, rates = [], [], []
        for seed in range(n_streams):
            rng = np.random.RandomState(seed)
            calibration = rng.choice(id_scores, N_CALIBRATION)
            window, is_ood = mixed(id_scores, ood_scores, share, WINDOW, rng)
            called = ood_discoveries(conformal_p_values(calibration, window), FDR)
            wrong.append(np.sum(called & ~is_ood) / max(1, called.sum()))
            found.append(np.sum(called & is_ood) / max(1, is_ood.sum()))
            rates.append(called.mean())
        yield {
            "detector": name,
            "ood_share": share,
            "discovery_rate": np.mean(rates),
            "false_among_discoveries": np.mean(wrong),
            "ood_rows_found": np.mean(found),
        }


def percent(shares, digits=1):
    """Shares as text."""
    return [f"{100 * share:.{digits}f} %" for share in shares]


def shown_alarms(table):
    """Shares of streams with a false alarm, a column per detector, as the guides show them."""
    cells = table.assign(
        alpha=percent(table.alpha),
        share=[
            f"{100 * row.false_alarm_share:.1f} % ± {100 * row.standard_error:.1f}"
            for row in table.itertuples()
        ],
    )
    wide = cells.pivot_table("share", "alpha", "detector", aggfunc="first", sort=False)
    return wide.reset_index()


def shown_delays(table):
    """Rows to the alarm; empty where most streams have none."""
    rows = {"median": "delay_median", "0.1": "delay_q10", "0.9": "delay_q90"}
    cells = {
        "OOD rows": percent(table.ood_share, 0),
        "detector": table.detector,
        "alarm came in": percent(table.found),
    }
    for title, column in rows.items():
        seen = np.isfinite(table[column])
        cells[f"rows to it: {title}"] = table[column].map("{:,.0f}".format).where(seen, "")
    return in_turns(pd.DataFrame(cells))


def shown_discoveries(table):
    """What is called OOD in a window, what of it wrongly, and what of the OOD rows."""
    cells = {
        "OOD rows": percent(table.ood_share, 0),
        "detector": table.detector,
        "called OOD": percent(table.discovery_rate, 2),
        "of these in-distribution": percent(table.false_among_discoveries),
        "OOD rows found": np.where(table.ood_share > 0, percent(table.ood_rows_found), ""),
    }
    return in_turns(pd.DataFrame(cells))


def in_turns(table):
    """Rows of one share of OOD rows together, shares in the order of their first rows."""
    order = {share: place for place, share in enumerate(table["OOD rows"].unique())}
    return table.sort_values("OOD rows", key=lambda column: column.map(order), kind="stable")


SHOWN = {
    "false alarms": ("monitoring_false_alarms", shown_alarms),
    "delay": ("monitoring_delay", shown_delays),
    "discoveries": ("monitoring_discoveries", shown_discoveries),
}
"""What is published of each table, and how it is called there."""


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    return parser.parse_args()


def run():
    arguments = parsed()
    tables = {"false alarms": [], "delay": [], "discoveries": []}
    for name, id_scores, ood_scores in scores():
        few = max(1, arguments.streams // 5)
        tables["false alarms"] += false_alarms(name, id_scores, arguments.streams)
        tables["delay"] += delays(name, id_scores, ood_scores, few)
        tables["discoveries"] += discoveries(name, id_scores, ood_scores, few)
    tables = {title: pd.DataFrame(rows) for title, rows in tables.items()}
    save(arguments.output, "monitoring", machine(), tables)
    for title, table in tables.items():
        print(f"{title}\n{markdown_table(table)}\n", flush=True)
        if arguments.publish:
            name, show = SHOWN[title]
            publish(name, show(table))


if __name__ == "__main__":
    run()

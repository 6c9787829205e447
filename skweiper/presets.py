"""The published hyperparameters of WeiPer+KLD, by dataset and network.

Source: Granz, Heurich, Landgraf, NeurIPS 2024, and the authors' repository. The published
perturbation is the explicit one.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["PRESETS"]


def _preset(delta, n_bins, lambda_1, lambda_2, smoothing, smoothing_perturbed):
    return MappingProxyType(
        {
            "method": "kld",
            "projection": "explicit",
            "n_repeats": 100,
            "delta": delta,
            "n_bins": n_bins,
            "lambda_1": lambda_1,
            "lambda_2": lambda_2,
            "smoothing": smoothing,
            "smoothing_perturbed": smoothing_perturbed,
            "epsilon": 0.01,
            "epsilon_perturbed": 0.025,
        }
    )


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cifar10-resnet18": _preset(1.8, 100, 2.5, 0.1, 4, 15),
        "cifar100-resnet18": _preset(2.4, 100, 0.1, 1.0, 4, 40),
        "imagenet-resnet50": _preset(2.4, 100, 2.5, 0.25, 40, 15),
        "imagenet-vit-b16": _preset(2.0, 80, 2.5, 0.1, 40, 15),
    }
)
"""Keyword arguments for `WeiPerDetector`: `WeiPerDetector(weight, bias, **PRESETS[name])`."""

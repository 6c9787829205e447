"""Out-of-distribution detection on precomputed features, in the manner of scikit-learn.

Everything below is imported when it is first asked for: `import skweiper` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skweiper.version import __version__

if TYPE_CHECKING:  # what type checkers and editors see of the names below
    from skweiper import baselines as baselines
    from skweiper import cli as cli
    from skweiper import conformal as conformal
    from skweiper import datasets as datasets
    from skweiper import distributed as distributed
    from skweiper import evaluation as evaluation
    from skweiper import export as export
    from skweiper import head as head
    from skweiper import io as io
    from skweiper import metrics as metrics
    from skweiper import model_selection as model_selection
    from skweiper import monitoring as monitoring
    from skweiper import plotting as plotting
    from skweiper import presets as presets
    from skweiper import registry as registry
    from skweiper import scores as scores
    from skweiper import shaping as shaping
    from skweiper.detector import WeiPerDetector as WeiPerDetector
    from skweiper.ensemble import EnsembleDetector as EnsembleDetector
    from skweiper.presets import PRESETS as PRESETS
    from skweiper.recommendation import recommend as recommend
    from skweiper.registry import all_detectors as all_detectors
    from skweiper.transformer import WeiPerTransformer as WeiPerTransformer

__all__ = [
    "PRESETS",
    "EnsembleDetector",
    "WeiPerDetector",
    "WeiPerTransformer",
    "__version__",
    "all_detectors",
    "baselines",
    "cli",
    "conformal",
    "datasets",
    "distributed",
    "evaluation",
    "export",
    "head",
    "io",
    "metrics",
    "model_selection",
    "monitoring",
    "plotting",
    "presets",
    "recommend",
    "registry",
    "scores",
    "shaping",
]

_MODULE_OF = {
    "EnsembleDetector": "ensemble",
    "PRESETS": "presets",
    "WeiPerDetector": "detector",
    "WeiPerTransformer": "transformer",
    "all_detectors": "registry",
    "recommend": "recommendation",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'skweiper' has no attribute {name!r}")
    if name not in _MODULE_OF:
        return import_module(f"skweiper.{name}")
    value = globals()[name] = getattr(import_module(f"skweiper.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

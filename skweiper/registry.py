"""The detectors of this library in one list, for benchmarks, the command line and users."""

import re
from importlib import import_module
from inspect import getdoc, signature
from types import MappingProxyType
from typing import NamedTuple

from sklearn.utils import get_tags

__all__ = ["DetectorEntry", "all_detectors"]

CLASSES = MappingProxyType(
    {
        "weiper": "skweiper.detector.WeiPerDetector",
        "ensemble": "skweiper.ensemble.EnsembleDetector",
        "logit": "skweiper.baselines.LogitDetector",
        "temperature_scaling": "skweiper.baselines.TemperatureScalingDetector",
        "kl_matching": "skweiper.baselines.KLMatchingDetector",
        "openmax": "skweiper.baselines.OpenMaxDetector",
        "dice": "skweiper.baselines.DICEDetector",
        "gradnorm": "skweiper.baselines.GradNormDetector",
        "mahalanobis": "skweiper.baselines.MahalanobisDetector",
        "relative_mahalanobis": "skweiper.baselines.RelativeMahalanobisDetector",
        "knn": "skweiper.baselines.KNNDetector",
        "kernel_pca": "skweiper.baselines.KernelPCADetector",
        "she": "skweiper.baselines.SHEDetector",
        "vim": "skweiper.baselines.ViMDetector",
        "residual": "skweiper.baselines.ResidualDetector",
        "actsub": "skweiper.baselines.ActSubDetector",
        "fdbd": "skweiper.baselines.FDBDDetector",
        "nnguide": "skweiper.baselines.NNGuideDetector",
        "nci": "skweiper.baselines.NCIDetector",
        "neco": "skweiper.baselines.NECODetector",
        "relation_graph": "skweiper.baselines.RelationGraphDetector",
    }
)
"""Short name, and where the class is; everything else the class says of itself."""

# Authors, "Title", venue and year. Address
REFERENCE = re.compile(
    r'References\n-+\n(?P<authors>[^"]+), "[^"]+", (?P<venue>[^"]+?)\.\s+(?P<link>https://\S+)'
)


class DetectorEntry(NamedTuple):
    """One detector of the library.

    Attributes
    ----------
    name : str
        Short name, as the command line takes it.
    estimator : type
        The class.
    needs_head : bool
        Whether it takes `weight` and `bias` of a final layer. Without them X holds logits.
    needs_labels : bool
        Whether `fit` needs the class of each row. Detectors with `labels="head"` do not.
    paper : str
        Authors, venue and year.
    link : str
        Address of the paper.
    """

    name: str
    estimator: type
    needs_head: bool
    needs_labels: bool
    paper: str
    link: str


def all_detectors() -> list[DetectorEntry]:
    """All detectors of the library, WeiPer first.

    Returns
    -------
    list of DetectorEntry
        Named tuples (name, estimator, needs_head, needs_labels, paper, link);
        `pandas.DataFrame(all_detectors())` shows them as a table.

    Examples
    --------
    >>> from skweiper import all_detectors
    >>> {entry.name: entry.estimator for entry in all_detectors()}["knn"]
    <class 'skweiper.baselines.knn.KNNDetector'>
    """
    return [_entry(name, *path.rsplit(".", 1)) for name, path in CLASSES.items()]


def _entry(name, module, class_name):
    estimator = getattr(import_module(module), class_name)
    needs_head = "weight" in signature(estimator).parameters
    needs_labels = get_tags(estimator()).target_tags.required
    return DetectorEntry(name, estimator, needs_head, needs_labels, *_paper_and_link(estimator))


def _paper_and_link(estimator):
    """Authors with venue, and address, of the first reference of the class."""
    reference = REFERENCE.search(getdoc(estimator) or "")
    if reference is None:  # python -OO strips docstrings
        return "", ""
    authors, venue, link = (" ".join(part.split()) for part in reference.groups())
    return f"{authors}, {venue}", link

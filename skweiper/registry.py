"""The detectors of this library in one list, for benchmarks, the command line and users."""

from importlib import import_module
from typing import NamedTuple

ENTRIES = (
    # name, module, class, needs head, needs labels, paper, link
    (
        "weiper",
        "skweiper.detector",
        "WeiPerDetector",
        True,
        False,
        "Granz, Heurich, Landgraf, NeurIPS 2024",
        "https://arxiv.org/abs/2405.17164",
    ),
    (
        "logit",
        "skweiper.baselines",
        "LogitDetector",
        True,
        False,
        "Hendrycks and Gimpel, ICLR 2017",
        "https://arxiv.org/abs/1610.02136",
    ),
    (
        "temperature_scaling",
        "skweiper.baselines",
        "TemperatureScalingDetector",
        True,
        True,
        "Guo et al., ICML 2017",
        "https://arxiv.org/abs/1706.04599",
    ),
    (
        "kl_matching",
        "skweiper.baselines",
        "KLMatchingDetector",
        True,
        False,
        "Hendrycks et al., ICML 2022",
        "https://arxiv.org/abs/1911.11132",
    ),
    (
        "openmax",
        "skweiper.baselines",
        "OpenMaxDetector",
        True,
        False,
        "Bendale and Boult, CVPR 2016",
        "https://arxiv.org/abs/1511.06233",
    ),
    (
        "dice",
        "skweiper.baselines",
        "DICEDetector",
        True,
        False,
        "Sun and Li, ECCV 2022",
        "https://arxiv.org/abs/2111.09805",
    ),
    (
        "gradnorm",
        "skweiper.baselines",
        "GradNormDetector",
        True,
        False,
        "Huang, Geng, Li, NeurIPS 2021",
        "https://arxiv.org/abs/2110.00218",
    ),
    (
        "mahalanobis",
        "skweiper.baselines",
        "MahalanobisDetector",
        True,
        False,
        "Lee et al., NeurIPS 2018",
        "https://arxiv.org/abs/1807.03888",
    ),
    (
        "relative_mahalanobis",
        "skweiper.baselines",
        "RelativeMahalanobisDetector",
        True,
        False,
        "Ren et al., 2021",
        "https://arxiv.org/abs/2106.09022",
    ),
    (
        "knn",
        "skweiper.baselines",
        "KNNDetector",
        False,
        False,
        "Sun et al., ICML 2022",
        "https://arxiv.org/abs/2204.06507",
    ),
    (
        "she",
        "skweiper.baselines",
        "SHEDetector",
        True,
        False,
        "Zhang et al., ICLR 2023",
        "https://openreview.net/forum?id=KkazG4lgKL",
    ),
    (
        "vim",
        "skweiper.baselines",
        "ViMDetector",
        True,
        False,
        "Wang et al., CVPR 2022",
        "https://arxiv.org/abs/2203.10807",
    ),
    (
        "residual",
        "skweiper.baselines",
        "ResidualDetector",
        True,
        False,
        "Wang et al., CVPR 2022",
        "https://arxiv.org/abs/2203.10807",
    ),
    (
        "fdbd",
        "skweiper.baselines",
        "FDBDDetector",
        True,
        False,
        "Liu and Qin, ICML 2024",
        "https://arxiv.org/abs/2312.11536",
    ),
    (
        "nnguide",
        "skweiper.baselines",
        "NNGuideDetector",
        True,
        False,
        "Park, Jung, Teoh, ICCV 2023",
        "https://arxiv.org/abs/2309.14888",
    ),
    (
        "nci",
        "skweiper.baselines",
        "NCIDetector",
        True,
        False,
        "Liu and Qin, CVPR 2025",
        "https://arxiv.org/abs/2311.01479",
    ),
    (
        "relation_graph",
        "skweiper.baselines",
        "RelationGraphDetector",
        True,
        False,
        "Kim et al., NeurIPS 2023",
        "https://arxiv.org/abs/2301.12321",
    ),
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


def detectors():
    """All detectors of the library, WeiPer first.

    Returns
    -------
    list of DetectorEntry
        Named tuples (name, estimator, needs_head, needs_labels, paper, link);
        `pandas.DataFrame(detectors())` shows them as a table.

    Examples
    --------
    >>> from skweiper import detectors
    >>> {entry.name: entry.estimator for entry in detectors()}["knn"]
    <class 'skweiper.baselines.knn.KNNDetector'>
    """
    return [
        DetectorEntry(name, getattr(import_module(module), class_name), *facts)
        for name, module, class_name, *facts in ENTRIES
    ]

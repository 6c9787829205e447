"""Fitted detectors as files: what was fitted on what, and no code that runs when they are read."""

import os
from typing import Any, NamedTuple
from zipfile import is_zipfile

from skweiper._support.whole_files import written_whole
from skweiper._typing import PathLike
from skweiper.version import __version__

__all__ = ["SavedModel", "load_model", "save_model"]

JOBLIB_ENDINGS = (".joblib", ".pkl", ".pickle")
KIND = "skweiper model"
FORMAT = 1

TRUSTED = (
    "sklearn.utils._bunch.Bunch",
    "skweiper._weiper.density.Bins",
    "skweiper._weiper.engines.contract.Request",
    "skweiper._weiper.execution.LastExecution",
    "skweiper._weiper.perturbation.Perturbation",
    "skweiper._weiper.rules.KLD",
    "skweiper._weiper.rules.LearntKLD",
    "skweiper._weiper.rules.LearntMeanScore",
    "skweiper._weiper.rules.MeanScore",
    "skweiper._weiper.statistics.Densities",
    "skweiper._weiper.statistics.Ranges",
    "skweiper._weiper.statistics.ValueRange",
    "skweiper.baselines.actsub.ActSubDetector",
    "skweiper.baselines.dice.DICEDetector",
    "skweiper.baselines.fdbd.FDBDDetector",
    "skweiper.baselines.gradnorm.GradNormDetector",
    "skweiper.baselines.kernel_pca.KernelPCADetector",
    "skweiper.baselines.kl_matching.KLMatchingDetector",
    "skweiper.baselines.knn.KNNDetector",
    "skweiper.baselines.logit.LogitDetector",
    "skweiper.baselines.mahalanobis.MahalanobisDetector",
    "skweiper.baselines.nci.NCIDetector",
    "skweiper.baselines.neco.NECODetector",
    "skweiper.baselines.nnguide.NNGuideDetector",
    "skweiper.baselines.openmax.OpenMaxDetector",
    "skweiper.baselines.relation.RelationGraphDetector",
    "skweiper.baselines.relative_mahalanobis.RelativeMahalanobisDetector",
    "skweiper.baselines.residual.ResidualDetector",
    "skweiper.baselines.she.SHEDetector",
    "skweiper.baselines.temperature_scaling.TemperatureScalingDetector",
    "skweiper.baselines.vim.ViMDetector",
    "skweiper.detector.WeiPerDetector",
    "skweiper.ensemble.EnsembleDetector",
    "skweiper.ensemble.Standard",
    "skweiper.head.Head",
)
"""All that a file may hold beside NumPy's, SciPy's and scikit-learn's own types: data, no code."""


class SavedModel(NamedTuple):
    """A fitted detector, and where it comes from.

    Attributes
    ----------
    detector : estimator
        Fitted, with `score_samples`.
    about : dict
        `skweiper` (version), `detector` (name), `settings`, `training`, `head` and `calibration`
        (path, shape, dtype and fingerprint of each, or None). Empty for a detector that was saved
        alone.
    """

    detector: Any
    about: dict[str, Any]


def save_model(path: PathLike, model: SavedModel) -> None:
    """Write a model to a file, which is written whole or not at all.

    Parameters
    ----------
    path : str or PathLike
        By the ending .joblib as a pickle, which is loaded with `trusted=True` only; by any other,
        such as .skops, in skops' format, which runs no code when it is loaded.
    model : SavedModel

    Raises
    ------
    ImportError
        skops is not installed.
    OSError
        The file cannot be written.
    TypeError
        The detector holds a type that would not be loaded again, such as a function.
    """
    content = {"kind": KIND, "format": FORMAT, **model._asdict()}
    content["about"] = {**model.about, "skweiper": __version__}
    dump = _dump_by_joblib if is_pickle(path) else _dump_by_skops
    with written_whole(path) as file:
        dump(content, file)


def _dump_by_joblib(content, file):
    import joblib

    joblib.dump(content, file)


def _dump_by_skops(content, file):
    skops_io = _skops()
    data = skops_io.dumps(content)
    unknown = sorted(set(skops_io.get_untrusted_types(data=data)) - set(TRUSTED))
    if unknown:
        raise TypeError(
            f"A model file holds no {', '.join(unknown)}: it could not be loaded safely. Save it "
            "under a name that ends with .joblib, and load it with --trusted."
        )
    file.write(data)


def load_model(path: PathLike, *, trusted: bool = False) -> SavedModel:
    """Read a model from a file.

    Parameters
    ----------
    path : str or PathLike
        Written by `save_model`, or a fitted detector alone by skops or joblib.
    trusted : bool, default=False
        Whether to load pickles (.joblib, .pkl), which run whatever code they hold.

    Returns
    -------
    SavedModel

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        No model, a damaged file, a pickle without `trusted`, or types that this library does not
        save.
    ImportError
        skops is not installed.

    Warns
    -----
    UserWarning
        The model was saved by another version.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(2, "No such model file", os.fspath(path))
    if is_pickle(path) and not trusted:
        raise ValueError(
            f"{path} is a pickle: to load one is to run whatever code it holds. If you trust "
            "where it comes from, pass --trusted; or save the model under a name that ends with "
            ".skops."
        )
    content = _read_pickle(path) if is_pickle(path) else _read_skops(path)
    return _checked(path, content)


def require(detector, name, path):
    """Refuse a detector of another library that lacks what a command needs of it.

    Parameters
    ----------
    detector : estimator
    name : str
        Of the attribute.
    path : str
        Of its file.

    Raises
    ------
    TypeError
    """
    if not hasattr(detector, name):
        raise TypeError(
            f"{path} holds a {type(detector).__name__}, which has no {name}. Pass a detector of "
            "this library; of a pipeline, score its last step on features that went through the "
            "others."
        )


def is_pickle(path):
    """Whether a model file is a pickle, by the ending of its name."""
    return os.fspath(path).lower().endswith(JOBLIB_ENDINGS)


def is_model_file(path):
    """Whether a file is called as models are."""
    return is_pickle(path) or os.fspath(path).lower().endswith(".skops")


def _skops():
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "Model files need skops, which is not installed. Run: pip install 'skweiper[cli]'."
        ) from error
    return skops.io


def _read_pickle(path):
    import joblib

    try:
        return joblib.load(path)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a pickle: {error}. Save it again.") from error


def _read_skops(path):
    skops_io = _skops()
    from skops.io.exceptions import UntrustedTypesFoundException

    if not is_zipfile(path):
        raise ValueError(
            f"{path} is no model file: skops writes zip archives, and it is none. Pass what "
            "`skweiper fit -o` wrote; it may have been cut short."
        )
    try:
        return skops_io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException:
        unknown = sorted(set(skops_io.get_untrusted_types(file=path)) - set(TRUSTED))
        raise ValueError(
            f"{path} holds types that skweiper does not save, {', '.join(unknown)}, and is not "
            "loaded. Where it is yours, load it with skops.io in Python."
        ) from None
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a model: {error!r}. It is damaged, or was written by "
            "something else than skweiper fit. Fit and save it again."
        ) from error


def _checked(path, content):
    if isinstance(content, dict) and content.get("kind") == KIND:
        if content["format"] > FORMAT:
            raise ValueError(
                f"{path} was saved by skweiper {content['about']['skweiper']}, in a format that "
                f"skweiper {__version__} does not know. Install that version."
            )
        return SavedModel(content["detector"], content["about"])
    if hasattr(content, "score_samples") and hasattr(content, "get_params"):
        return SavedModel(content, {})
    raise ValueError(
        f"{path} holds no detector but {type(content).__name__}. Pass what skweiper fit -o wrote."
    )

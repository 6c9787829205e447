"""What holds of every call: a result, or a refusal that names what is wrong."""

import re
import warnings
from contextlib import contextmanager
from traceback import walk_tb

import joblib
import numpy as np

from tests.fuzz.estimators import SUBJECTS

THINGS = (
    *("X", "X_id", "y", "rows?", "samples?", "n_samples", "features?", "columns?", "labels?"),
    *("class", "classes", "head", "logits", "scores?", "n_splits", "tpr"),
)
PARAMETERS = {name for subject in SUBJECTS for name in subject.template.get_params()}
NAMES = re.compile(rf"\b({'|'.join([*THINGS, *sorted(PARAMETERS)])})\b")
DOORS = ("sklearn.utils", "sklearn.base", "sklearn.model_selection", "sklearn.metrics._scorer")
"""Where scikit-learn checks what it is given. It refuses too; what lies deeper only fails."""


class Refusal(Exception):
    """A call was refused in a way that tells the caller what to do; not raised, but returned."""


def attempt(call, *arguments, **keywords):
    """The result of a call, or the `Refusal` of it.

    Fails where the call raises anything else, or warns of anything but the caller's data.
    """
    with only_warnings_of_data():
        try:
            return call(*arguments, **keywords)
        except (ValueError, TypeError) as error:
            assert_refuses(error)
            return Refusal(f"{type(error).__name__}: {error}")


@contextmanager
def only_warnings_of_data():
    """Context in which a warning is an error, unless it is one for the user to read."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        yield


def assert_refuses(error):
    """Check that an error is raised by the library, or at a door of scikit-learn, with a name."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    inner = [name for name in modules if not name.startswith("tests.")]
    is_raised_here = inner and inner[-1].startswith(("skweiper", *DOORS))
    went_deeper = any(name.startswith("sklearn.") and not is_door(name) for name in inner)
    if not is_raised_here or went_deeper or not NAMES.search(str(error)):
        raise AssertionError(
            f"{type(error).__name__} from {modules[-1]} is no refusal: {error}"
        ) from error


def is_door(module):
    """Whether scikit-learn checks arguments in a module, or hands them on."""
    return module.startswith((*DOORS, "sklearn.pipeline"))


def accepted(call, *arguments, **keywords):
    """The result of a call that must not be refused."""
    found = attempt(call, *arguments, **keywords)
    assert not isinstance(found, Refusal), str(found)
    return found


def refused(call, *arguments, **keywords):
    """The message of a call that must be refused."""
    found = attempt(call, *arguments, **keywords)
    assert isinstance(found, Refusal), f"not refused: {found!r}"
    return str(found)


def assert_same_bits(found, expected):
    """Check that two arrays hold the same bits, of the same dtype."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def state_of(estimator):
    """What an estimator holds: which objects, and what the arrays among them contain."""
    return {
        name: (id(value), joblib.hash(value) if type(value) is np.ndarray else None)
        for name, value in vars(estimator).items()
    }

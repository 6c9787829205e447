"""A hyperparameter named `score` beside scikit-learn's method of that name."""

from skweiper.known_outliers import labelled_auroc


class ScoreParameter:
    """Descriptor: `detector.score(X, y)` is the AUROC; assigning sets the hyperparameter.

    scikit-learn calls `estimator.score(X, y)` wherever no `scoring` is given, and the
    hyperparameter that chooses the score has the same name. The value lives in the instance's
    dictionary, where `get_params` of a `HasScoreParameter` reads it.
    """

    def __get__(self, detector, owner=None):
        return self if detector is None else detector._auroc

    def __set__(self, detector, value):
        vars(detector)["score"] = value


class HasScoreParameter:
    """Mixin of detectors with a hyperparameter `score`."""

    score = ScoreParameter()

    @property
    def _score_parameter(self):
        return vars(self)["score"]

    def get_params(self, deep=True):
        """Hyperparameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Also those of contained estimators.

        Returns
        -------
        dict
        """
        return {**super().get_params(deep), "score": self._score_parameter}

    def _auroc(self, X, y):
        """Area under the ROC curve of `score_samples(X)`, in-distribution positive.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            -1 marks OOD samples, any other label ID ones. NaN, with a warning that says why,
            where one kind is missing.

        Returns
        -------
        float, in [0, 1]
        """
        return labelled_auroc(y, self.score_samples(X))

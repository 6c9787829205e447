"""What the names of arrays and columns say about them."""

import re

__all__ = [
    "BIAS_NAMES",
    "FEATURE_NAMES",
    "HEAD_GROUPS",
    "HEAD_NAMES",
    "WEIGHT_NAMES",
    "bare_layer",
    "is_id_name",
    "is_label_name",
    "last_part",
    "layer_of",
]

FEATURE_NAMES = {
    *("feat_list", "features", "feature", "feats", "feat", "embeddings", "embedding"),
    *("penultimate", "penultimate_features", "x", "z", "arr_0", "data", "vectors", "vector"),
}
"""Of an array of features; OpenOOD writes `feat_list`."""
LABEL_NAMES = {
    *("label_list", "labels", "label", "y", "targets", "target", "classes", "class"),
    *("class_id", "class_name", "label_id", "label_name", "y_true"),
}
ID_NAMES = {
    *("id", "ids", "index", "key", "keys", "uuid", "guid", "name", "names", "path", "paths"),
    *("file", "files", "filename", "filenames", "file_name", "image", "sample", "url"),
}
ID_ENDINGS = ("_id", "_ids", "_uuid", "_key", "_path", "_name", "_names", "_index")
WEIGHT_NAMES = ("weight", "weights", "kernel", "coef", "coef_", "w")
BIAS_NAMES = ("bias", "biases", "intercept", "intercept_", "b")
HEAD_NAMES = {
    *("", "fc", "classifier", "head", "heads.head", "head.fc", "lm_head", "linear", "output"),
    *("logits", "score", "last_linear", "cls", "predictions", "output_layer", "heads"),
}
"""Layers that are the last of a network; without a name, an array is of that layer alone."""
HEAD_GROUPS = {"classifier", "head", "heads", "fc", "lm_head"}
WRAPPERS = {
    *("module", "model", "net", "network", "backbone", "_orig_mod", "params", "state_dict"),
    *("model_state_dict", "model_weights", "layers"),
}
"""Names of what is around a network, in front of its layers' own."""


def layer_of(name: str, kinds: tuple[str, ...]) -> str | None:
    """Name of the layer that a parameter belongs to.

    Parameters
    ----------
    name : str
        Such as "model.fc.weight", "fc_weight" or "dense/kernel:0".
    kinds : tuple of str
        `WEIGHT_NAMES` or `BIAS_NAMES`.

    Returns
    -------
    str or None
        Such as "model.fc"; None where it is no parameter of these kinds.
    """
    name = re.sub(r":[0-9]+$", "", name)
    for kind in kinds:
        stem = name[: -len(kind)]
        if name.lower().endswith(kind) and (not stem or stem[-1] in "./_"):
            return stem[:-1]
    return None


def bare_layer(layer: str) -> str:
    """Name of a layer in its network, dotted, in lower case.

    Parameters
    ----------
    layer : str

    Returns
    -------
    str
    """
    parts = re.split(r"[./]", layer.lower())
    while parts and parts[0] in WRAPPERS:
        parts = parts[1:]
    return ".".join(parts)


def last_part(name: str) -> str:
    """The last component of a dotted or nested name, in lower case.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    return re.split(r"[./:]", name)[-1].lower()


def is_label_name(name: str) -> bool:
    """Whether a column or array of this name holds labels.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
    """
    name = last_part(name)
    return name in LABEL_NAMES or name.endswith(("_label", "_labels"))


def is_id_name(name: str) -> bool:
    """Whether a column or array of this name names the rows.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
    """
    name = last_part(name)
    is_of_classes = is_label_name(name) or name.startswith("class")
    return not is_of_classes and (name in ID_NAMES or name.endswith(ID_ENDINGS))

"""The command line, `skweiper` or `python -m skweiper`, and the model files that it writes."""

from skweiper.cli.entry import main
from skweiper.cli.model_files import SavedModel, load_model, save_model

__all__ = ["SavedModel", "load_model", "main", "save_model"]

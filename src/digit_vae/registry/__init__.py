"""Trained runs as models of MLflow: packaged, registered with their evidence, promoted, served."""

import digit_vae.tracking  # noqa: F401 - sets what MLflow reads when it is imported

"""A convolutional (beta-)variational autoencoder for handwritten digits, and what it takes to trust its numbers."""

import os
import sys
import tempfile
from pathlib import Path

from digit_vae.base.quiet import QuietStart

__version__ = "0.2.0"

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a user's own settings of Keras say
# TensorFlow reads the first when it is imported, from whichever module; some of its notes come before it does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if not os.access(Path.home(), os.W_OK):  # else Matplotlib warns of it in every stage
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / f"digit-vae-matplotlib-{os.getuid()}"))
sys.meta_path.insert(0, QuietStart())

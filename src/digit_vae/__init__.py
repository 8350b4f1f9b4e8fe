"""A convolutional (beta-)variational autoencoder for handwritten digits, and what it takes to trust its numbers."""

import os
import sys

from digit_vae.base.onednn import cpuinfo, switched_on
from digit_vae.base.quiet import QuietStart, writable_folder

__version__ = "0.2.0"

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a user's own settings of Keras say
# TensorFlow reads the first when it is imported, from whichever module; some of its notes come before it does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ |= switched_on(cpuinfo(), os.environ)
os.environ |= writable_folder(os.environ)  # else Matplotlib warns in every stage of a home that it cannot write
sys.meta_path.insert(0, QuietStart())

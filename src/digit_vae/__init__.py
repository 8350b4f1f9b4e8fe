"""A convolutional (beta-)variational autoencoder for handwritten digits, and what it takes to trust its numbers."""

import os

# TensorFlow reads this when it is first imported, from whichever module. A few of its start-up lines precede it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a user's own settings of Keras say

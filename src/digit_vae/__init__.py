"""A convolutional (beta-)variational autoencoder for handwritten digits, and what it takes to trust its numbers."""

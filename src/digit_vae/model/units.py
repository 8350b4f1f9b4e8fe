"""The units of each layer with a ReLU, by the layer's name; of a convolution, its channels. Needs no TensorFlow."""

UNITS = {"conv_1": 32, "conv_2": 64, "hidden": 16, "dense": 7 * 7 * 64, "conv_transpose_1": 64, "conv_transpose_2": 32}

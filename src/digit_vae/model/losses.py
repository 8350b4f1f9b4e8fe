"""The terms of the beta-ELBO (Higgins et al. 2017, eq. 4), each one a value per image in nats.

loss = reconstruction_loss + beta * kl_loss;  at beta = 1 it is the negative ELBO (Kingma & Welling 2014, eq. 3)
"""

from keras import KerasTensor as Tensor
from keras import ops


def reconstruction_loss(images: Tensor, logits: Tensor) -> Tensor:
    """-log p(x|z) of independent Bernoulli pixels: binary cross-entropy summed over the pixels.

    images: (B, 28, 28, 1) in [0, 1]; logits: (B, 28, 28, 1), the log-odds of the pixels. Returns: (B,) float32.
    For grey pixels this is no likelihood, and its minimum is the pixels' own entropy, not 0.

    -x log s(l) - (1 - x) log(1 - s(l)) = log(1 + exp(l)) - x l, with the sigmoid s. Keras writes it with log1p, whose
    gradient is a reciprocal, which TensorFlow starts from the processor's own estimate (rcpps): on Intel and AMD all
    weights differed. The gradient of softplus divides, which every processor does alike.
    """
    images, logits = ops.cast(images, "float32"), ops.cast(logits, "float32")
    return ops.sum(ops.softplus(logits) - images * logits, axis=(1, 2, 3))


def kl_per_dimension(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """KL(N(z_mean, exp(z_log_var)) || N(0, 1)) for each latent dimension (Kingma & Welling 2014, appendix B).

    z_mean, z_log_var: (B, latent_dim). Returns: (B, latent_dim) float32; its sum over the dimensions is kl_loss.
    """
    z_mean, z_log_var = ops.cast(z_mean, "float32"), ops.cast(z_log_var, "float32")
    return 0.5 * (ops.square(z_mean) + ops.exp(z_log_var) - 1.0 - z_log_var)


def kl_loss(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """KL(q(z|x) || p(z)) of diagonal Gaussians. z_mean, z_log_var: (B, latent_dim). Returns: (B,) float32."""
    return ops.sum(kl_per_dimension(z_mean, z_log_var), axis=1)

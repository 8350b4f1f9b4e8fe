"""The paper's model in PyTorch, which is no dependency: compared with where it is installed.

A plain loop over shuffled tensors in memory, on the CPU and all its threads; bfloat16 is PyTorch's autocast.
"""

import time

import numpy as np
import torch
from torch import nn

from digit_vae.config.schema import RunParams


class VAE(nn.Module):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 16),
            nn.ReLU(),
        )
        self.z_mean, self.z_log_var = nn.Linear(16, latent_dim), nn.Linear(16, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, 64 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 3, padding=1),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):  # as Keras starts
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The negative ELBO, mean over the batch (nats per image)."""
        hidden = self.encoder(images)
        z_mean, z_log_var = self.z_mean(hidden).float(), self.z_log_var(hidden).float()
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        logits = self.decoder(z).float()
        pixels = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        kl = 0.5 * (z_mean.square() + z_log_var.exp() - 1 - z_log_var).sum()
        return (pixels + kl) / len(images)


def fit(
    params: RunParams, images: np.ndarray, validation_images: np.ndarray, *, compiled: bool = False
) -> tuple[list[float], float]:
    """Trains a new model. Arguments and return are those of `digit_vae.speed.keras_fit.fit`.

    compiled: by torch.compile, whose work falls into the first epoch.
    """
    torch.manual_seed(params.seed)
    learn, validation = (torch.from_numpy(each.transpose(0, 3, 1, 2).copy()) for each in (images, validation_images))
    model = VAE(params.latent_dim)
    vae = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), params.learning_rate, eps=1e-7)
    seconds = []
    for _ in range(params.epochs):
        started = time.perf_counter()
        for batch in torch.randperm(len(learn)).split(params.batch_size):
            optimizer.zero_grad()
            with _precision(params):
                loss = vae(learn[batch])
            loss.backward()
            optimizer.step()
        with torch.no_grad(), _precision(params):
            val_loss = sum(float(vae(batch)) * len(batch) for batch in validation.split(params.batch_size))
        seconds.append(time.perf_counter() - started)
    return seconds, val_loss / len(validation)


def _precision(params: RunParams) -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=params.precision == "mixed_bfloat16")

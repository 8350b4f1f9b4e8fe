"""Compares a picture's reconstruction loss with those of the test images: what is unlike them is reconstructed badly.

The loss is -log p(x|z) at z = z_mean, without a draw of z: the same picture always has the same loss.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, json_bytes, read_json
from digit_vae.base.shapes import NUMBER
from digit_vae.data.arrays import read_listed
from digit_vae.serving.trained import TrainedRun

if TYPE_CHECKING:
    from digit_vae.model.vae import VAE

SHARES = (*range(100), 99.9, 100)  # percent of the test images
NO_DIGIT = 99.9
BATCH = 1000  # images that are looked at at once

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]


class Compared(NamedTuple):
    """loss: nats. share: percent of the test images with a lower loss; None where there are no test images. noun: what
    an image shows, for the note.
    """

    loss: float
    share: float | None
    noun: str = "digit"

    @property
    def is_digit(self) -> bool:
        return self.share is None or self.share <= NO_DIGIT

    @property
    def note(self) -> str:
        """Two lines for people."""
        loss = f"reconstruction loss {self.loss:.1f} nats:"
        if self.share is None:
            return f"{loss}\nthere are no test images here to compare with"
        if not self.is_digit:
            return f"{loss}\nno {self.noun}: higher than that of {NO_DIGIT} % of the test images"
        return f"{loss}\nhigher than that of {self.share:.0f} % of the test images"


def reconstruction_losses(vae: "VAE", images: Images) -> Floats:
    """images: (N, 28, 28, 1) uint8. Returns: (N,) nats."""
    from digit_vae.evaluation.elbo import scaled_batches
    from digit_vae.model.losses import reconstruction_loss

    batches = ((batch, vae.encoder(batch, training=False)[0]) for batch in scaled_batches(images, BATCH))
    parts = [reconstruction_loss(batch, vae.decoder(z_mean, training=False)) for batch, z_mean in batches]
    return np.concatenate(parts).astype(np.float64)


def loss_quantiles(losses: Floats) -> dict[str, list[float]]:
    """The percentiles of the losses, for losses.json beside a run's committed weights."""
    nats = [round(float(value), 3) for value in np.percentile(losses, SHARES)]
    return {"percent": [float(share) for share in SHARES], "nats": nats}


def losses_file(run: TrainedRun) -> bytes:
    """losses.json of the run, for those who have no test images. Raises: UserError when a file is missing."""
    from digit_vae.evaluation.elbo import load_vae

    vae = load_vae(run.params, run.encoder, run.decoder, made_by=run.made_by)
    return json_bytes(loss_quantiles(reconstruction_losses(vae, read_listed("test_images.npy")[0])))


def typical_losses(run: TrainedRun, vae: "VAE") -> dict[str, list[float]] | None:
    """The quantiles of the test images' losses: from losses.json beside the weights, or else from the test images.

    Returns: None if neither is here. Raises: UserError when losses.json is damaged.
    """
    path = run.encoder.with_name("losses.json")
    if path.is_file():
        found = read_json(path, made_by=run.made_by, keys={"percent": [NUMBER], "nats": [NUMBER]})
        if len(found["percent"]) != len(found["nats"]):
            raise damaged(path, run.made_by, "percent and nats are not of one length")
        return found
    try:
        images, _ = read_listed("test_images.npy")
    except UserError:
        return None
    return loss_quantiles(reconstruction_losses(vae, images))


def compared(losses: Floats, quantiles: dict[str, Any] | None, noun: str = "digit") -> list[Compared]:
    """Each loss beside those of the test images; a loss above all of theirs is above 100 % of them."""
    if quantiles is None:
        return [Compared(float(loss), None, noun) for loss in losses]
    shares = np.interp(losses, quantiles["nats"], quantiles["percent"])
    return [Compared(float(loss), float(share), noun) for loss, share in zip(losses, shares, strict=True)]

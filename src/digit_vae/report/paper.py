"""What the paper reports in numbers: its Table I, and nothing else.

Source: Brandon Marquez Salazar, "Variational Autoencoder for Digit Images Generation", Table I, "Training Metrics and
Time Comparison per Epoch: CPU vs. GPU" (Google Colaboratory; the GPU was an NVIDIA Tesla T4).
"""

from typing import NamedTuple


class Epoch(NamedTuple):
    """One epoch: seconds, and losses in nats per image."""

    seconds: float
    loss: float
    reconstruction_loss: float
    val_loss: float


TABLE_1: dict[str, tuple[Epoch, ...]] = {
    "CPU": (
        Epoch(93, 271.71, 270.31, 185.32),
        Epoch(138, 180.16, 174.65, 171.62),
        Epoch(86, 171.17, 165.08, 167.95),
        Epoch(88, 167.90, 161.65, 165.60),
        Epoch(140, 165.42, 159.01, 163.75),
        Epoch(85, 163.62, 157.11, 162.05),
        Epoch(143, 162.07, 155.55, 161.18),
        Epoch(136, 160.93, 154.37, 159.98),
        Epoch(84, 160.00, 153.46, 159.39),
        Epoch(146, 159.20, 152.67, 158.62),
    ),
    "GPU": (
        Epoch(16, 269.50, 267.80, 193.63),
        Epoch(3, 192.16, 188.83, 187.40),
        Epoch(4, 187.11, 183.68, 184.71),
        Epoch(5, 184.73, 181.23, 182.44),
        Epoch(3, 183.05, 179.48, 180.61),
        Epoch(5, 181.35, 177.70, 179.02),
        Epoch(3, 180.04, 176.30, 177.81),
        Epoch(5, 178.88, 175.12, 176.98),
        Epoch(3, 178.03, 174.26, 176.22),
        Epoch(3, 177.17, 173.37, 175.61),
    ),
}

SAMPLES_RECONSTRUCTED = {"CPU": 5, "GPU": 4}  # of 10, at least, by eye (section IV)


def paper_curves() -> dict[str, list[float]]:
    """The paper's losses on the test images after each epoch, by device."""
    return {label: [epoch.val_loss for epoch in epochs] for label, epochs in TABLE_1.items()}


def paper_losses() -> dict[str, float]:
    """The same after the last epoch."""
    return {label: losses[-1] for label, losses in paper_curves().items()}

"""Trials of a search that nobody trained: a loss that follows from their options by a formula."""

import contextlib
import math

from digit_vae.search.inputs import inputs_of
from digit_vae.search.proposals import due, plan_of
from digit_vae.search.record import LOSSES, Made, Result, Search, Trial, write_search

DATA = {"train_images": "a" * 64, "validation": "b" * 64}
MACHINE = {"cpu": "Example CPU", "cores": 2, "gpu": None, "device": "cpu", "precision": "float32"}
STARTED = 1_700_000_000.0
KL = 6.5


def loss_at(options):
    """The negative ELBO of a recipe: least at a learning rate of 0.003 with a hidden bias of 1, in nats."""
    return 145 + 4 * math.log(options["learning_rate"] / 0.003) ** 2 + 3 * (options["hidden_bias"] - 1) ** 2


def diverges(options):
    return options["learning_rate"] > 0.006


def trial(params, number, options):
    """The trial with that number and those options."""
    result = None if diverges(options) else result_at(options)
    failed = "training diverged: loss is nan after epoch 1" if result is None else None
    of_round = number // params.search.a_round
    return Trial(number=number, round=of_round, options=options, result=result, failed=failed, made=made(number))


def result_at(options, epochs=2):
    ends = {"loss": loss_at(options) - 1, "val_loss": loss_at(options), "val_kl_loss": KL}
    ends["val_reconstruction_loss"] = loss_at(options) - KL
    losses = {name: [ends[name] + 10 * (epochs - epoch) for epoch in range(1, epochs + 1)] for name in LOSSES}
    return Result(epochs=losses, collapsed_dimensions=0, dead_units={"hidden": 3})


def made(number, epochs=2):
    started = STARTED + 100 * number
    clocks = {"train_seconds": [30.0] * epochs, "validation_seconds": [2.0] * epochs}
    finished = [started + 40 * epoch for epoch in range(1, epochs + 1)]
    return Made(
        started_at=started,
        finished_at=started + 90,
        machine=MACHINE,
        commit="0" * 40,
        epochs=clocks | {"finished_at": finished},
    )


def searched(params, data=DATA):
    """The whole search that `params` ask for."""
    plan, found = plan_of(params), Search(inputs=inputs_of(params, data), trials=[])
    while wanted := due(plan, found.trials):
        for number, options in wanted.items():
            found = found.with_trial(trial(params, number, options))
    return found


def write_searched(root, params):
    found = searched(params)
    with contextlib.chdir(root):
        write_search(found)
    return found

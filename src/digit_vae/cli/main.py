"""The command `digit-vae`: its first argument names a command, which gets the other arguments.

A command is the `main` of a module that is imported only when it is called: help and mistakes answer at once.
"""

import argparse
import importlib
from collections.abc import Sequence
from typing import NamedTuple

from digit_vae import __version__
from digit_vae.base.command import run


class Command(NamedTuple):
    """function: of `module`, takes the arguments.

    uses_models: whether it only uses trained models, and so runs in any folder with any code.
    """

    module: str
    purpose: str
    function: str = "main"
    uses_models: bool = False


COMMANDS = {
    "repro": Command("digit_vae.cli.repro", "the paper's graph, with the runs side by side"),
    "beyond": Command("digit_vae.cli.repro", "the runs that go beyond the paper on top", function="beyond_main"),
    "search": Command("digit_vae.cli.search", "seek a better recipe: trials that one fold's validation images judge"),
    "smoke": Command("digit_vae.verification.smoke", "the graph on a small part of the data, in a temporary copy"),
    "verify": Command("digit_vae.verification.verify", "train runs anew and compare them with what is published"),
    "changes": Command("digit_vae.verification.changes", "what a branch changes: params, metrics, figures"),
    "track": Command("digit_vae.tracking.track", "bring into MLflow what it lacks"),
    "verify-tracking": Command("digit_vae.tracking.track", "compare MLflow with the files", function="verify_main"),
    "ui": Command("digit_vae.tracking.ui", "MLflow's user interface on this machine"),
    "register": Command("digit_vae.registry.register", "make a run a version of the model in MLflow's registry"),
    "promote": Command("digit_vae.registry.promote", "make a registered run the champion, if it passes the gate"),
    "serve": Command("digit_vae.registry.serve", "the champion on this machine, for other programs"),
    "measure-serving": Command("digit_vae.registry.throughput", "requests a second of `digit-vae serve`"),
    "site": Command("digit_vae.site.command", "the results as pages to look at, on this machine"),
    "bench": Command("digit_vae.speed.bench", "measure this machine's speed: an hour, with nothing beside it"),
    "times": Command("digit_vae.speed.pass_time", "what a pass of `make repro` spent its time on, as a sum"),
    "operations": Command("digit_vae.speed.operations", "hash what each operation gives on this processor"),
    "summary": Command("digit_vae.cli.summary", "write the numbers of README.md and reports/README.md"),
    "tidy": Command("digit_vae.cli.tidy", "move files of runs that params.yaml does not declare into leftovers/"),
    "schema": Command("digit_vae.cli.schema", "write params.schema.json, with which editors check params.yaml"),
    "photographs": Command("digit_vae.serving.photographs", "how many digits in damaged pictures are recognised"),
    "generate": Command("digit_vae.cli.generate", "images from the prior, as PNG", uses_models=True),
    "reconstruct": Command("digit_vae.cli.reconstruct", "originals over their reconstructions", uses_models=True),
    "export": Command("digit_vae.cli.export", "encoder and decoder as ONNX files", uses_models=True),
    "encode": Command("digit_vae.cli.encode", "z_mean and z_log_var of each image, as CSV", uses_models=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line (None: the process's own), runs the command and exits with its status."""
    listed = "\n".join(f"  {name:<16} {command.purpose}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="digit-vae",
        description="A reproducible pipeline around a variational autoencoder for handwritten digits or your images.",
        epilog=f"commands:\n{listed}\n\n`digit-vae COMMAND --help` says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"digit-vae {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="of the command")
    parsed = parser.parse_args(arguments)
    command = COMMANDS[parsed.command]
    run(
        lambda: getattr(importlib.import_module(command.module), command.function)(parsed.arguments),
        anywhere=command.uses_models,
    )

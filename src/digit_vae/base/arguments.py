"""The command line: the parser of a command, and numbers with their bounds, `type=` of an argument."""

import argparse
from collections.abc import Callable


def parser_of(command: str, about: str | None, *, examples: str = "") -> argparse.ArgumentParser:
    """The parser of `digit-vae <command>`, which shows `about` and `examples` as they are written."""
    return argparse.ArgumentParser(
        prog=f"digit-vae {command}",
        description=about,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def parse(value: str) -> int:
        is_whole = value.isascii() and value.isdecimal() and len(value) <= len(str(maximum))
        if not is_whole or not minimum <= int(value) <= maximum:
            raise argparse.ArgumentTypeError(f"expected a whole number from {minimum} to {maximum}; received {value!r}")
        return int(value)

    return parse


def number(minimum: float, maximum: float) -> Callable[[str], float]:
    """A parser of finite numbers in a range."""

    def parse(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not minimum <= found <= maximum:
            raise argparse.ArgumentTypeError(f"expected a number from {minimum:g} to {maximum:g}; received {value!r}")
        return found

    return parse

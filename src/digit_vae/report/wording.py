"""The phrases that the report is made of: Markdown of pictures, links and folded tables; differences in words."""

from collections.abc import Iterable, Mapping, Sequence

from digit_vae.config.params import BASELINE
from digit_vae.analysis.statistics import LEVEL, Difference, Spread
from digit_vae.report.tables import Table, probability, signed

HISTORIES = "`models/<run>/history.json` (published: `reports/published/`, of extended runs `reports/extended/runs/`)"


def image(file: str, text: str) -> str:
    return f"![{text}](figures/{file}.png)"


def table_files(*names: str) -> str:
    return ", ".join(f"[{name}.csv](tables/{name}.csv)" for name in names)


def metrics_files(names: Iterable[str]) -> str:
    return ", ".join(f"[{name}.json](metrics/runs/{name}.json)" for name in dict.fromkeys(names))


def folded(title: str, table: Table) -> str:
    """A table that is shown on demand."""
    return f"<details><summary>{title}</summary>\n\n{table.markdown()}\n</details>"


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(values: Sequence[float]) -> str:
    """From the least to the greatest of whole numbers."""
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def beside(value: float, reference: float) -> str:
    return f"{abs(value - reference):.2f} {'below' if value <= reference else 'above'}"


def interval(difference: Difference, unit: str = " nats", digits: int = 2) -> str:
    low, high = signed(difference.low, digits), signed(difference.high, digits)
    return f"{signed(difference.mean, digits)}{unit} [{low}, {high}]"


def difference(metric: Mapping) -> Difference:
    """That of a number in reports/metrics/variants/<variant>.json."""
    return Difference(metric["difference"], metric["difference_low"], metric["difference_high"])


def over_folds(metric: Mapping) -> Spread:
    """Mean and standard deviation over the folds, of the same number."""
    return Spread(metric["mean"], metric["std"])


def detected(metric: Mapping) -> bool:
    return metric["p_holm"] < LEVEL


def in_words(metric: Mapping) -> str:
    """A difference in nats, and what its adjusted p-value says of it."""
    higher = "higher" if metric["difference"] > 0 else "lower"
    outcome = f"{higher} than `{BASELINE}`" if detected(metric) else "no detectable difference"
    return f"{interval(difference(metric))}, adjusted p {probability(metric['p_holm'])}: {outcome}"


def told_apart(metrics: Mapping[str, Mapping], digits: int = 2) -> str:
    """One metric over the compared variants: those with a detectable difference from the baseline, and the others."""
    apart = {name: metric for name, metric in metrics.items() if detected(metric)}
    parts = []
    for word, sign in (("higher", 1), ("lower", -1)):
        of_sign = [
            f"`{name}` {interval(difference(metric), '', digits)}"
            for name, metric in apart.items()
            if metric["difference"] * sign > 0
        ]
        parts += [f"{word} than `{BASELINE}`: {', '.join(of_sign)}"] if of_sign else []
    others = [name for name in metrics if name not in apart]
    return "; ".join(parts + ([f"no detectable difference: {quoted(others)}"] if others else []))


def paragraphs(sections: Sequence[Sequence[str]]) -> str:
    return "\n\n".join(part.strip() for section in sections for part in section if part.strip()) + "\n"

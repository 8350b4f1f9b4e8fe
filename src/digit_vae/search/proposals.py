"""Which options the trials of a search have: those of a round follow from the record of the rounds before it.

The sampler is Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; all options together, as in Falkner et
al. 2018). Each round asks a new one, with a seed of its own, that is told the trials of the earlier rounds in the order
of their numbers: in which order they ended, on how many machines and in how many calls, is the same to it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from digit_vae.base.errors import UserError
from digit_vae.base.paths import SEARCH
from digit_vae.config.schema import Params
from digit_vae.config.search import NumberRange, SearchParams, WholeRange
from digit_vae.search.record import ANEW, Trial
from digit_vae.search.space import Limits, Options, Value, first_points, space

DIGITS = 3  # of a proposed number: enough to tell recipes apart, few enough to be the same on every processor


class Plan(NamedTuple):
    """What decides the trials beside their results."""

    search: SearchParams
    limits: Mapping[str, Limits]
    first: Sequence[Options]


def plan_of(params: Params) -> Plan:
    return Plan(params.search, space(params.search), first_points(params))


def due(plan: Plan, trials: Sequence[Trial]) -> dict[int, Options]:
    """The trials of the earliest round that has some without a record, by number; none when the search is complete."""
    search, recorded = plan.search, {trial.number for trial in trials}
    missing = [number for number in range(search.trials) if number not in recorded]
    if not missing:
        return {}
    number_of_round = missing[0] // search.a_round
    proposed = proposals(plan, number_of_round, trials)
    return {number: options for number, options in proposed.items() if number in missing}


def proposals(plan: Plan, number_of_round: int, trials: Sequence[Trial]) -> dict[int, Options]:
    """The options of each trial of a round, by number. trials: those of the earlier rounds count, in any order."""
    search = plan.search
    distributions = {option: _distribution(limits) for option, limits in plan.limits.items()}
    study = _study(_sampler(search, number_of_round))
    for trial in sorted(trials, key=lambda each: each.number):
        if trial.round < number_of_round:
            study.add_trial(_told(trial, distributions))
    asked = [study.ask(distributions).params for _ in range(search.a_round)]
    drawn = [{option: _short(value, plan.limits[option]) for option, value in each.items()} for each in asked]
    start = number_of_round * search.a_round
    return {start + place: _first(plan, start + place) or options for place, options in enumerate(drawn)}


def check_recorded(plan: Plan, trials: Sequence[Trial]) -> None:
    """Makes every recorded round again. Raises: UserError with the first trial that is not what its round proposes."""
    for number_of_round in sorted({trial.round for trial in trials}):
        proposed = proposals(plan, number_of_round, trials)
        for trial in (each for each in trials if each.round == number_of_round):
            if trial.options != proposed.get(trial.number):
                raise UserError(
                    f"{SEARCH}: expected trial {trial.number} to have what round {number_of_round} proposes, "
                    f"{_words(proposed.get(trial.number))}; received {_words(trial.options)}: it was edited, or "
                    f"proposed by another version of Optuna; {ANEW}"
                )


def _words(options: Options | None) -> str:
    return ", ".join(f"{option} {value}" for option, value in options.items()) if options else "no such trial"


def _sampler(search: SearchParams, number_of_round: int) -> BaseSampler:
    seed = int(np.random.SeedSequence((search.seed, number_of_round)).generate_state(1)[0])
    if number_of_round < search.startup_rounds:
        return RandomSampler(seed)
    # constant_liar: the trials of one round keep away from each other.
    return TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True)


def _study(sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, direction="minimize")


def _told(trial: Trial, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """A trial as the sampler is told it. One without a result counts as worse than all others: Optuna would take no
    notice of one that it calls failed, and propose its neighbours.
    """
    return create_trial(
        state=TrialState.COMPLETE if trial.result else TrialState.PRUNED,
        value=trial.result.loss if trial.result else None,
        params={option: trial.options[option] for option in distributions},
        distributions=dict(distributions),
    )


def _distribution(limits: Limits) -> BaseDistribution:
    match limits:
        case NumberRange(low=low, high=high, log=log):
            return FloatDistribution(low, high, log=log)
        case WholeRange(low=low, high=high):
            return IntDistribution(low, high)
        case _:
            return CategoricalDistribution(tuple(limits))


def _short(value: Value, limits: Limits) -> Value:
    """A number of a range with few digits, still within the range."""
    if not isinstance(limits, NumberRange):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), limits.low), limits.high)


def _first(plan: Plan, number: int) -> Options | None:
    return plan.first[number] if number < len(plan.first) else None

"""Probabilistic programs, classic and with language models, and the algorithms that infer their posteriors."""

from educe.prob import laws
from educe.prob.algorithm import Algorithm, Weighted, collapse, compose
from educe.prob.continuous import Beta, Dirichlet, Exponential, Gamma, HalfCauchy, HalfNormal, Normal
from educe.prob.diagnostics import effective_sample_size, split_r_hat
from educe.prob.discrete import Bernoulli, Categorical, Finite, Poisson, Uniform
from educe.prob.dist import Dist
from educe.prob.driver import Inference, drive, run, run_async, run_steps, together
from educe.prob.enumeration import enumerate_exact, paths
from educe.prob.hmc import HMC, hmc
from educe.prob.importance import importance
from educe.prob.language_model import TextModel, lm_steps, lm_text, lm_token
from educe.prob.mh import chain, independent, mh, single_site
from educe.prob.moves import (
    advance,
    ess_below,
    finish,
    rejuvenate,
    repeat,
    resample,
    select,
    spawn,
)
from educe.prob.mutants import MUTANTS
from educe.prob.numbers import LogNumber, Weight, as_probability, as_weight, log_of
from educe.prob.particle import Particle, Site
from educe.prob.particle_gibbs import conditional_smc, particle_gibbs
from educe.prob.pimh import pimh
from educe.prob.program import Program, check_pure, program
from educe.prob.requests import Draw, Evaluate, Factor, barrier, factor, observe, score
from educe.prob.resample_move import rmsmc
from educe.prob.resampling import Ancestors
from educe.prob.smc import smc
from educe.prob.source import Source
from educe.prob.vector import Layout, Slot, layout, log_density, value_and_gradient

__all__ = [
    "HMC",
    "MUTANTS",
    "Algorithm",
    "Ancestors",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Dirichlet",
    "Dist",
    "Draw",
    "Evaluate",
    "Exponential",
    "Factor",
    "Finite",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "Inference",
    "Layout",
    "LogNumber",
    "Normal",
    "Particle",
    "Poisson",
    "Program",
    "Site",
    "Slot",
    "Source",
    "TextModel",
    "Uniform",
    "Weight",
    "Weighted",
    "advance",
    "as_probability",
    "as_weight",
    "barrier",
    "chain",
    "check_pure",
    "collapse",
    "compose",
    "conditional_smc",
    "drive",
    "effective_sample_size",
    "enumerate_exact",
    "ess_below",
    "factor",
    "finish",
    "hmc",
    "importance",
    "independent",
    "laws",
    "layout",
    "lm_steps",
    "lm_text",
    "lm_token",
    "log_density",
    "log_of",
    "mh",
    "observe",
    "particle_gibbs",
    "paths",
    "pimh",
    "program",
    "rejuvenate",
    "repeat",
    "resample",
    "rmsmc",
    "run",
    "run_async",
    "run_steps",
    "score",
    "select",
    "single_site",
    "smc",
    "spawn",
    "split_r_hat",
    "together",
    "value_and_gradient",
]

"""Probabilistic programs, classic and with language models, and the algorithms that infer their posteriors."""

from educe.prob import laws, vi
from educe.prob.adaptation import Info, Tuning
from educe.prob.algorithm import Algorithm, Weighted, collapse, compose
from educe.prob.any_order import AnyOrderARM
from educe.prob.bernoulli_logits import BernoulliLogits
from educe.prob.calibration import Calibration, calibrate
from educe.prob.chains import ChainKernel, Chains
from educe.prob.continuous import Beta, Dirichlet, Exponential, Gamma, HalfCauchy, HalfNormal, Normal
from educe.prob.diagnostics import (
    effective_sample_size,
    pareto_k,
    plot_ranks,
    r_hat,
    rank_histogram,
    split_r_hat,
    tail_effective_sample_size,
    to_arviz,
)
from educe.prob.discrete import Bernoulli, Categorical, Finite, Poisson, Uniform
from educe.prob.dist import Dist
from educe.prob.driver import Inference, drive, run, run_async, run_steps, together
from educe.prob.elliptical_slice import elliptical_slice
from educe.prob.enumeration import enumerate_exact, paths
from educe.prob.factor_graph import FactorGraph
from educe.prob.forward_diffusion import (
    DeterministicInverse,
    ForwardDiffusion,
    Views,
    cosine_schedule,
)
from educe.prob.gibbs import gibbs, gibbs_site
from educe.prob.hmc import hmc
from educe.prob.importance import importance
from educe.prob.ising import Ising
from educe.prob.language_model import TextModel, lm_steps, lm_text, lm_token
from educe.prob.leapfrog import State, leapfrog
from educe.prob.mala import mala
from educe.prob.marginal_model import MarginalModel
from educe.prob.masked_network import MaskedNetwork
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
from educe.prob.nuts import nuts
from educe.prob.particle import Particle, Site
from educe.prob.particle_filter import particle_filter
from educe.prob.particle_gibbs import conditional_smc, particle_gibbs
from educe.prob.pimh import pimh
from educe.prob.plan import Plan
from educe.prob.program import Program, check_pure, program
from educe.prob.progress import show_progress
from educe.prob.projections import ViewDenoiser, pixel_centres, posterior_reference, radon
from educe.prob.requests import Draw, Evaluate, Factor, Twist, barrier, factor, observe, score, twist
from educe.prob.resample_move import rmsmc
from educe.prob.resampling import Ancestors
from educe.prob.signal_diffusion import SignalDiffusion
from educe.prob.slice_sampling import slice_sampling
from educe.prob.smc import smc
from educe.prob.smc2 import filtered, smc2
from educe.prob.source import Source
from educe.prob.steps import Done, StepProgram, steps
from educe.prob.tempered import tempered
from educe.prob.vector import Layout, Slot, Target, layout, log_density, target, value_and_gradient

__all__ = [
    "MUTANTS",
    "Algorithm",
    "Ancestors",
    "AnyOrderARM",
    "Bernoulli",
    "BernoulliLogits",
    "Beta",
    "Calibration",
    "Categorical",
    "ChainKernel",
    "Chains",
    "DeterministicInverse",
    "Dirichlet",
    "Dist",
    "Done",
    "Draw",
    "Evaluate",
    "Exponential",
    "Factor",
    "FactorGraph",
    "Finite",
    "ForwardDiffusion",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "Inference",
    "Info",
    "Ising",
    "Layout",
    "LogNumber",
    "MarginalModel",
    "MaskedNetwork",
    "Normal",
    "Particle",
    "Plan",
    "Poisson",
    "Program",
    "SignalDiffusion",
    "Site",
    "Slot",
    "Source",
    "State",
    "StepProgram",
    "Target",
    "TextModel",
    "Tuning",
    "Twist",
    "Uniform",
    "ViewDenoiser",
    "Views",
    "Weight",
    "Weighted",
    "advance",
    "as_probability",
    "as_weight",
    "barrier",
    "calibrate",
    "chain",
    "check_pure",
    "collapse",
    "compose",
    "conditional_smc",
    "cosine_schedule",
    "drive",
    "effective_sample_size",
    "elliptical_slice",
    "enumerate_exact",
    "ess_below",
    "factor",
    "filtered",
    "finish",
    "gibbs",
    "gibbs_site",
    "hmc",
    "importance",
    "independent",
    "laws",
    "layout",
    "leapfrog",
    "lm_steps",
    "lm_text",
    "lm_token",
    "log_density",
    "log_of",
    "mala",
    "mh",
    "nuts",
    "observe",
    "pareto_k",
    "particle_filter",
    "particle_gibbs",
    "paths",
    "pimh",
    "pixel_centres",
    "plot_ranks",
    "posterior_reference",
    "program",
    "r_hat",
    "radon",
    "rank_histogram",
    "rejuvenate",
    "repeat",
    "resample",
    "rmsmc",
    "run",
    "run_async",
    "run_steps",
    "score",
    "select",
    "show_progress",
    "single_site",
    "slice_sampling",
    "smc",
    "smc2",
    "spawn",
    "split_r_hat",
    "steps",
    "tail_effective_sample_size",
    "target",
    "tempered",
    "to_arviz",
    "together",
    "twist",
    "value_and_gradient",
    "vi",
]

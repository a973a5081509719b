"""The standard errors of settings compared with one baseline, and joint draws of their differences.

1. Documents. K is the covariance over test sets of the mean differences d̄, W_r the part of K_rr
   that seeds bring (evaluation/differences). A is K scaled so that A_rr = max(K_rr − W_rr, K_rr/4).
2. Seeds. s_r² = Σ (d_s − d̄)²/(n − 1). With few seeds it is a poor estimate, so settings lend each
   other: m = (ν0·s0² + (n−1)·s²) / (ν0 + n−1), see `moderate`, and s̃² = max(m, s²). ν =
   min(ν0 + n−1, max(n−1, N/(1 + (R−1)/4))) degrees of freedom, N = Σ_r (n_r − 1): differences from
   one baseline correlate by ½ and their variances by ¼. From 8 seeds on, s² and n − 1.
3. Joint draws, δ = d̄ + τ_r·(L_B z)_r + (L_A z′)_r, where L L′ is the covariance, B_rq = ½·s̃_r·s̃_q/n
   (B_rr = s̃_r²/n), z and z′ are standard normal, τ² = ν/χ²_ν. Of χ²_ν the part that is a setting's
   own is drawn by setting, the rest once. se_r² = s̃_r²/n + A_rr.

Moderated variances: Smyth 2004.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from nersweep.evaluation.differences import Difference, worth
from nersweep.evaluation.influence import Floats

OWN = 7  # degrees of freedom from which a setting relies on its own variance: 8 seeds


def moderate(variances: Floats, freedom: Floats) -> tuple[Floats, Floats, Floats]:
    """Estimate the prior of variances (..., R): s̃² (..., R), ν0 and s0² (...).

    freedom: degrees of freedom of each, > 0, (R,). Each s² is s0²·F(freedom, ν0). The
    moments of e = log s² − ψ(d/2) + log(d/2) give ψ′(ν0/2) = var(e) − mean ψ′(d/2) and log s0² =
    mean(e) + ψ(ν0/2) − log(ν0/2): Smyth 2004, section 6.2. Where var(e) is too small, ν0 is
    infinite and s0² the pooled variance, as in limma. s̃² = (ν0·s0² + d·s²)/(ν0 + d).

    A variance of 0 counts as 1e-5 of the median of the others, as in limma; if all are 0 they stay.
    One variance alone stays what it is, with ν0 = 0.
    """
    if variances.shape[-1] < 2 or not variances.any():
        zeros = np.zeros(variances.shape[:-1])
        return variances.copy(), zeros, zeros
    positive = np.where(variances > 0, variances, np.nan)
    floor = 1e-5 * np.nanmedian(positive, axis=-1, keepdims=True)
    half = freedom / 2
    e = np.log(np.maximum(variances, floor)) - special.digamma(half) + np.log(half)
    excess = e.var(-1, ddof=1) - special.polygamma(1, half).mean()
    pooled = (freedom * variances).sum(-1) / freedom.sum()
    prior = 2 * inverse_trigamma(np.where(excess > 0, excess, 1.0))
    location = np.exp(e.mean(-1) + special.digamma(prior / 2) - np.log(prior / 2))
    prior, location = np.where(excess > 0, [prior, location], [np.full_like(prior, np.inf), pooled])
    weight = 1 / (1 + freedom / prior[..., None])  # of the prior, 1 for ν0 = ∞
    moderated = weight * location[..., None] + (1 - weight) * variances
    return moderated, prior, location


def inverse_trigamma(values: Floats) -> Floats:
    """Return y with ψ′(y) = values, values > 0, by Newton's method on 1/ψ′ from a table.

    Smyth 2004, appendix.
    """
    table = np.geomspace(1e-6, 1e8, 2000)
    logs = np.log(special.polygamma(1, table))  # descending
    y = np.exp(np.interp(-np.log(values), -logs, np.log(table)))
    for _ in range(2):
        trigamma = special.polygamma(1, y)
        y = y + trigamma * (1 - trigamma / values) / special.polygamma(2, y)
    return np.asarray(y)


def posterior_freedom(prior: Floats, freedom: Floats) -> Floats:
    """Return ν (..., R): see the module. prior: ν0 (...); freedom: n − 1, (..., R)."""
    rows = freedom.shape[-1]
    pooled = freedom.sum(-1, keepdims=True) / (1 + (rows - 1) / 4)
    nu = np.minimum(prior[..., None] + freedom, np.maximum(freedom, pooled))
    return np.where(freedom >= OWN, freedom, nu)


def seed_variances(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return s̃² (..., R) as the module defines it, and ν0 (...)."""
    if (freedom >= OWN).all():
        return variances, np.zeros(variances.shape[:-1])
    moderated, prior, _ = moderate(variances, freedom)
    return np.where(freedom >= OWN, variances, np.maximum(moderated, variances)), prior


@lru_cache(maxsize=2)
def standard_normals(draws: int, columns: int) -> Floats:
    """Return standard normals (draws, columns), always the same ones. Do not write to them."""
    return np.random.default_rng(0).normal(size=(draws, columns))


def stretches(nu: Floats, freedom: Floats, draws: int) -> Floats:
    """Return draws of τ = √(ν/χ²_ν), (draws, R).

    χ²_ν is the sum of a setting's own χ² with `freedom` degrees and of a common one with the rest.
    """
    chi = np.empty((draws, len(nu)))
    for row, (whole, own) in enumerate(zip(nu.tolist(), freedom.tolist(), strict=True)):
        chi[:, row] = chi_squares(own, draws, row + 1)
        if whole > own:
            chi[:, row] += chi_squares(whole - own, draws, 0)
    return np.asarray(np.sqrt(nu / chi))


@lru_cache(maxsize=64)
def chi_squares(freedom: float, draws: int, stream: int) -> Floats:
    """Return draws of χ² (draws,), the same ones for the same arguments. Do not write to them."""
    return np.random.default_rng((1, stream)).chisquare(freedom, size=draws)


class Family:
    """Settings that are compared with one baseline, and joint draws of their differences."""

    def __init__(self, differences: Sequence[Difference], draws: int) -> None:
        self.differences = differences
        self.draws = draws
        self.means = np.array([difference.mean for difference in differences])
        self.sizes = np.array([difference.size for difference in differences])
        self.freedom = np.array([difference.freedom for difference in differences])
        own = self.sizes * [difference.variance for difference in differences]
        self.variances, self.prior = seed_variances(own, self.freedom)
        self.documents, self.root = self.document_covariance()

    def document_covariance(self) -> tuple[Floats, Floats]:
        """Return A_rr (R,) and a square root of A (R, R)."""
        count = len(self.differences)
        if not count:
            return np.zeros(0), np.zeros((0, 0))
        influences = np.array([difference.influence for difference in self.differences])
        covariance = influences.shape[1] * np.cov(influences).reshape(count, count)
        whole = covariance.diagonal()
        interactions = np.array([difference.interaction for difference in self.differences])
        documents = np.maximum(whole - interactions, whole / 4)
        scale = np.sqrt(np.divide(documents, whole, out=np.zeros(count), where=whole > 0))
        values, vectors = np.linalg.eigh(covariance * np.outer(scale, scale))
        return documents, vectors * np.sqrt(np.maximum(values, 0))

    def sizes_with(self, seeds: int | None) -> Floats:
        """Return the independent runs that so many seeds are worth (R,); None: those there are."""
        if seeds is None:
            return self.sizes
        return np.array([worth(float(seeds), each.overlap) for each in self.differences])

    def errors(self, seeds: int | None = None) -> Floats:
        """Return se_r (R,), with these seeds for all settings instead of those they have."""
        return np.sqrt(self.variances / self.sizes_with(seeds) + self.documents)

    def covariance(self) -> Floats:
        """Return A + B, (R, R)."""
        errors = np.sqrt(self.variances / self.sizes)
        seeds = np.outer(errors, errors) * (1 + np.eye(len(errors))) / 2
        return np.asarray(seeds + self.root @ self.root.T)

    def deviations(self, seeds: int | None = None) -> Floats:
        """Return joint draws of δ − d̄, (draws, R): see the module."""
        count = len(self.differences)
        sizes = self.sizes_with(seeds)
        freedom = np.full(count, float(seeds - 1)) if seeds else self.freedom
        nu = posterior_freedom(self.prior, freedom)
        normals = standard_normals(self.draws, 2 * count + 1)
        # Half of the variance is the baseline's: its normal is drawn once, in the last column.
        drawn: Floats = np.sqrt(0.5) * (normals[:, :count] + normals[:, -1:])
        drawn *= np.sqrt(self.variances / sizes) * stretches(nu, freedom, self.draws)
        drawn += normals[:, count:-1] @ self.root.T
        return drawn

    def statistics(self, seeds: int | None = None) -> Floats:
        """Return draws of |δ − d̄|/se, (draws, R), and of 0 where se is 0."""
        errors = self.errors(seeds)
        deviations = np.abs(self.deviations(seeds))
        return np.divide(deviations, errors, out=np.zeros_like(deviations), where=errors > 0)


def critical(maxima: Floats, alpha: float) -> float:
    """Return q: p = (1 + #{maxima ≥ t})/(1 + #maxima) is below alpha exactly where t > q.

    maxima: sorted. Infinite where there are too few draws for such a p.
    """
    most = int(np.ceil(alpha * (len(maxima) + 1) - 1))  # the count must be below it
    return float(maxima[len(maxima) - most]) if most > 0 else np.inf

"""The baseline is a setting by its name, or else the first of its loss."""

from dataclasses import dataclass

from nersweep.results.baseline import baseline_of


@dataclass(frozen=True)
class Setting:
    setting: str
    loss: str | None


PLAIN = Setting("cross_entropy", "cross_entropy")
BALANCED = Setting("cross_entropy-entity_balanced", "cross_entropy")
FOCAL = Setting("focal-g2", "focal")
UNKNOWN = Setting("gone", None)


def test_the_setting_of_that_name_comes_before_others_of_the_loss():
    assert baseline_of([BALANCED, FOCAL, PLAIN]) is PLAIN
    assert baseline_of([FOCAL, PLAIN, BALANCED], BALANCED.setting) is BALANCED


def test_of_a_loss_the_first_setting_by_name_is_taken():
    odd = Setting("cross_entropy-a", "cross_entropy")
    assert baseline_of([FOCAL, BALANCED, odd]) is odd
    assert baseline_of([PLAIN, FOCAL], "focal") is FOCAL


def test_there_may_be_none():
    assert baseline_of([FOCAL, UNKNOWN]) is None
    assert baseline_of([]) is None

"""What a data set is like, without training: `python -m nersweep.diagnose data=conll2003 weights=effective`."""

from omegaconf import DictConfig

from nersweep import cli


def describe(config: DictConfig) -> None:
    """Prints sizes, notes, and the table of label, count and weight."""
    from nersweep import plan, run  # torch and transformers cost seconds, which --help need not pay

    run.show_facts(plan.learn(plan.check(config)))


def main() -> None:
    cli.main(describe)


if __name__ == "__main__":
    main()

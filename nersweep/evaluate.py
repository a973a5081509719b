"""`python -m nersweep.evaluate`: score the model of a run, on its own data or on other data."""

from nersweep.command.keywords import run_program
from nersweep.deployment.evaluation import EvaluateOptions, evaluate


def main() -> None:
    """Run the command line."""
    run_program(EvaluateOptions, "python -m nersweep.evaluate", evaluate)


if __name__ == "__main__":
    main()

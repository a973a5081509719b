"""`python -m nersweep.predict`: tag texts with the model of a run."""

from nersweep.command.keywords import run_program
from nersweep.deployment.prediction import PredictOptions, predict


def main() -> None:
    """Run the command line."""
    run_program(PredictOptions, "python -m nersweep.predict", predict)


if __name__ == "__main__":
    main()

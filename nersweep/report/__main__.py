"""`python -m nersweep.report`: report the last sweep, or the runs that the arguments select."""

from nersweep.command.keywords import run_program
from nersweep.report.report import report
from nersweep.report.sources import ReportOptions


def main() -> None:
    """Run the command line."""
    run_program(ReportOptions, "python -m nersweep.report", report)


if __name__ == "__main__":
    main()

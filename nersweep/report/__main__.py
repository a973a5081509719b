"""`python -m nersweep.report`: the report of the last sweep, or of the runs that are named."""

from nersweep.report.answer import main

if __name__ == "__main__":
    main()

"""The command line as ``python -m dovetail.plugins.cli``."""

from . import main

if __name__ == "__main__":
    main()

"""`python -m limssr` is the command line."""

import sys

from limssr.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m blockd``: the same as the `blockd` command."""

import sys

from blockd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

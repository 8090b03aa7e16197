"""``python -m blockd``: the same as the `blockd` command."""

import sys

if __name__ == "__main__":
    try:
        from blockd.cli.main import main
    except KeyboardInterrupt:  # before main is there to catch it
        sys.exit(130)
    sys.exit(main())

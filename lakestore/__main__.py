"""`python -m lakestore`: the command line."""

from lakestore.cli import main

if __name__ == "__main__":
    main()

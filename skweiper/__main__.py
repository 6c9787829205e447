"""`python -m skweiper`: the command line."""

from skweiper.cli import main

if __name__ == "__main__":
    main()

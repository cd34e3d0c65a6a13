"""`python -m esn_dist` is `esn-dist`."""

from esn_dist.cli import main

main()

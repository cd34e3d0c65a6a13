"""What the answers say: effects, intervals, margins, failures. Works from xarray datasets alone, on a laptop."""

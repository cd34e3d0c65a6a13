"""What every test shares: property tests are never failed by a slow machine."""

from hypothesis import settings

settings.register_profile("esn_dist", deadline=None)
settings.load_profile("esn_dist")

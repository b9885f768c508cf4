"""What holds for every test: one profile for generated examples, without a deadline on a busy machine."""

from hypothesis import settings

settings.register_profile("minka", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("minka")

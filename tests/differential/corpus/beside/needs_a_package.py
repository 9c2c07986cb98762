"""Imports a package that does not exist."""

import no_package_of_this_name  # type: ignore[import-not-found]  # there is none


def get_custom_generator(env, **kwargs):
    return no_package_of_this_name.generator()

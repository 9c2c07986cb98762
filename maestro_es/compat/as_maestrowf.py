"""After ``import maestro_es.compat.as_maestrowf``, ``import maestrowf`` finds the modules of maestro-es."""

from maestro_es.compat.hook import install

install()

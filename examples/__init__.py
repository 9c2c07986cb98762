"""The example studies. This file makes them a package, `maestro_es.examples`, so that the wheel contains them."""

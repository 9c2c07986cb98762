"""``python -m maestro_es``."""

from maestro_es.cli.main import main

if __name__ == "__main__":
    main()

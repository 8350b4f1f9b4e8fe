"""`python -m digit_vae` is the command `digit-vae`."""

from digit_vae.cli.main import main

if __name__ == "__main__":
    main()

"""The trained network on the image as it is."""

OPTIONS: dict[str, dict] = {}

"""The one place where bytes from outside become our objects: bounded before they are read, every error made ours."""

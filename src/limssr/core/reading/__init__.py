"""Reading of files from outside: sizes are limited before reading, and every error becomes one of ours."""

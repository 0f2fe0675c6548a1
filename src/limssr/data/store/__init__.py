"""A feature store on disk: format, reader, writer."""

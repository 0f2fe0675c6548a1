"""A run behind an HTTP interface, with a page for people; needs the packages of `limssr[serve]`."""

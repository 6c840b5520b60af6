"""Catalogues of offers: the table built in, tables fetched from a cloud, tables a user brings."""

"""The configuration: schema, composition, checks, and the objects that it describes."""

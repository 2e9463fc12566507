"""The catalogue's facts: one small module for each family of networks."""

"""nersweep: compare losses and class weights for named-entity recognition, with statistics."""

__version__ = "0.1.0"

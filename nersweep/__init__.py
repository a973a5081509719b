"""nersweep: which loss, with which class weights, is better on your named-entity data, and is it real?"""

__version__ = "0.1.0"
